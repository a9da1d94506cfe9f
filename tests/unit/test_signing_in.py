"""The identity provider of a configuration: what is refused in words, what the pages are given."""

from pathlib import Path

import pytest

from gateway.config import Config, ConfigError, Oidc, read_config
from gateway.serve.signing_in import make_provider
from gateway.web.oidc.claims import Person

SECTION = '[oidc]\nissuer = "https://id.acme.example/realm"\nclient_id = "gw"\n'


def configure(folder: Path, more: str, section: str = SECTION) -> Config:
    path = folder / "gateway.toml"
    path.write_text(f'{section}{more}\n[web]\npublic_url = "https://mail.acme.example/"\n', "utf-8")
    return read_config(path)


@pytest.mark.parametrize(
    ("section", "more", "said"),
    [
        ('[oidc]\nissuer = "http://id.acme.example"\nclient_id = "x"\n', "", "must be https://"),
        ('[oidc]\nissuer = "https://id.acme.example"\n', "", "client_id is empty"),
        (SECTION, 'scopes = "email"', "lacks openid"),
        (SECTION, 'create = "admin"', "not one of clerk, auditor"),
        (SECTION, 'create = "clerk"', "needs oidc.tenants or oidc.tenant_claim"),
        (SECTION, 'tenants = "acme"', "not of the form"),
    ],
)
def test_a_provider_that_cannot_work_is_refused(tmp_path: Path, section: str, more: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configure(tmp_path, more, section)


def test_the_pages_are_given_what_was_configured(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n", "ascii")
    secret.chmod(0o600)
    more = 'client_secret_file = "secret"\ntenants = "acme.example=acme, beta.example = beta"\ncreate = "clerk"'
    with pytest.raises(ConfigError, match="not of the form"):
        configure(tmp_path, more)
    made = make_provider(configure(tmp_path, more.replace(" = beta", "=beta")))
    assert made and made.terms.redirect == "https://mail.acme.example/login/oidc/callback"
    assert (made.terms.client_secret, made.terms.label) == ("s3cret", "id.acme.example")
    assert "s3cret" not in repr(made.terms)
    assert made.terms.tenant_of(Person("i", "s", "ana@beta.example")) == "beta"
    assert made.terms.tenant_of(Person("i", "s", "ana@sub.beta.example")) == ""
    assert made.terms.tenant_of(Person("i", "s", "ana@beta.example", tenant="acme")) == "acme"
    assert make_provider(Config()) is None


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    config = Config(folder=str(tmp_path), oidc=Oidc(issuer="https://x.example", client_id="c", client_secret_file="s"))
    with pytest.raises(ConfigError, match="cannot be read"):
        make_provider(config)
    path = tmp_path / "s"
    path.write_text("", "ascii")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        make_provider(config)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="is empty"):
        make_provider(config)

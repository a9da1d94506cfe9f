"""Logging out at the identity provider too, and what the doctor says of a provider."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from journeys.pages import FORM, ORIGIN, Clock
from journeys.shell import Shell
from journeys.test_oidc import Pages, idp, pages, seeded, who
from postroom.identity_provider import CLIENT, IdentityProvider, make_key, slowly
from starlette.testclient import TestClient

from gateway.store.users import User
from gateway.web.oidc import leaving
from gateway.web.oidc import provider as provider_module

__all__ = ["idp", "pages", "seeded", "who"]  # fixtures; the others are those of all pages


def log_out(browser: TestClient) -> Any:
    csrf = re.search(r'name="csrf" value="([\w-]+)"', browser.get("/account").text)
    assert csrf
    answer = browser.post("/logout", data={"csrf": csrf[1]}, headers=FORM)
    assert browser.get("/inbox").status_code == 303, "whatever the provider does, the session here has ended"
    return answer


def test_who_came_by_the_provider_logs_out_there_too(pages: Pages, who: User, idp: IdentityProvider) -> None:
    idp.document = {"end_session_endpoint": f"{idp.issuer}/logout?x=1"}
    browser = pages.log_in()[2]
    left = log_out(browser)
    there = left.headers["refresh"].removeprefix("0; url=")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(there).query).items()}
    token = asked.pop("id_token_hint")
    assert there.startswith(f"{idp.issuer}/logout?x=1&") and token.count(".") == 2
    assert asked == {"x": "1", "client_id": CLIENT, "post_logout_redirect_uri": f"{ORIGIN}/login"}
    assert left.status_code == 200 and f'href="{there}"'.replace("&", "&amp;") in left.text
    assert "Oana" not in left.text and "location" not in left.headers
    again = browser.post("/logout", data={"csrf": form_token(browser)}, headers=FORM)
    assert again.headers["location"] == "/login", "once"


def form_token(browser: TestClient) -> str:
    found = re.search(r'name="csrf" value="([\w-]+)"', browser.get("/login").text)
    assert found
    return found[1]


def test_a_large_token_is_not_carried_about(pages: Pages, who: User, idp: IdentityProvider) -> None:
    idp.document = {"end_session_endpoint": f"{idp.issuer}/logout"}
    idp.claims = {"groups": "x" * leaving.MOST_TOKEN}
    there = log_out(pages.log_in()[2]).headers["refresh"]
    assert "id_token_hint" not in there and f"client_id={CLIENT}" in there


@pytest.mark.parametrize("endpoint", [None, 7, "http://evil.example/out", "javascript:alert(1)"])
def test_no_page_to_log_out_or_one_that_leads_elsewhere_is_not_gone_to(
    pages: Pages, who: User, idp: IdentityProvider, endpoint: Any
) -> None:
    idp.document = {"end_session_endpoint": endpoint} if endpoint is not None else {}
    left = log_out(pages.log_in()[2])
    assert (left.status_code, left.headers["location"]) == (303, "/login")


def test_a_provider_that_is_away_holds_nobody_up(
    pages: Pages, who: User, idp: IdentityProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "END_SECONDS", 0.2)
    browser = pages.log_in()[2]
    monkeypatch.setattr(provider_module, "FRESH", clock.now - clock.now)  # nothing is remembered
    idp.answers["/.well-known/openid-configuration"] = slowly
    left = log_out(browser)
    assert (left.status_code, left.headers["location"]) == (303, "/login")


# -- the doctor


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made("init", "--domain", "acme.test")
    return made


@pytest.fixture
def real() -> Iterator[IdentityProvider]:
    made = IdentityProvider(lambda: datetime.now(UTC))
    yield made
    made.stop()


def test_the_doctor_says_how_the_provider_is(shell: Shell, real: IdentityProvider) -> None:
    def found() -> dict[str, str]:
        told = shell("doctor", "--json", status=1 if wrong else 0).json
        return next((one for one in told if one["what"] == "identity provider"), {})

    wrong = False
    assert found() == {}, "nobody is named"
    shell.set(oidc__issuer=f'"{real.issuer}"', oidc__client_id='"gateway"')
    one = found()
    assert one["state"] == "ok" and "1 signing key;" in one["words"] and "/login/oidc/callback" in one["words"]
    wrong = True
    for document, words in (
        ({"issuer": "https://other.example"}, "calls itself"),
        ({"code_challenge_methods_supported": ["plain"]}, "code_challenge_methods_supported"),
        ({"jwks_uri": f"{real.issuer}/none"}, "answered 404"),
    ):
        real.document = document
        one = found()
        assert one["state"] == "wrong" and words in one["words"] and "openid-configuration" in one["todo"], one
    real.document, real.published = {}, make_key("k2")
    real.published = type("Encrypting", (), {"as_dict": lambda self, private: {"kty": "RSA", "use": "enc"}})()
    assert "no key that signatures" in found()["words"]
    real.stop()
    assert found()["state"] == "wrong"

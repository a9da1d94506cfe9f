"""`gateway tenant smtp` as an admin types it: accounts by password and by OAuth, what is shown, and what never is."""

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from journeys.shell import Shell, send
from journeys.token_endpoint import TokenEndpoint, token_endpoint
from postroom.ports import free_port

SECRET = "hunter2, the tenant's password"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with the tenant acme, which every test copies."""
    made = Shell(tmp_path_factory.mktemp("tenant-smtp"))
    made("init", "--domain", "gateway.test")
    made("tenant", "add", "acme", "--company", "Acme Servicii SRL")
    return made.folder


@pytest.fixture
def shell(tmp_path: Path, installation: Path) -> Iterator[Shell]:
    """It; at the end, no secret was printed, nor lies in the database in clear."""
    made = Shell(tmp_path / "here")
    shutil.copytree(installation, made.folder)
    yield made
    stored = b"".join(path.read_bytes() for path in made.data.glob("gateway.db*"))
    for secret in (SECRET, "good-1", "refresh-1", "app-secret"):
        assert secret not in made.printed
        assert secret.encode() not in stored
        assert base64.b64encode(secret.encode()) not in stored


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with token_endpoint() as made:
        yield made


def account(shell: Shell, *more: str, given: str = SECRET + "\n", status: int = 0) -> str:
    made = shell("tenant", "smtp", "set", "acme", "--host", "smtp.acme.test", "--username", "facturare@acme.test",
                 "--password-stdin", *more, given=given, status=status)  # fmt: skip
    return made.out + made.err


def test_an_account_is_set_up_like_one_of_a_mail_program(shell: Shell) -> None:
    assert "all mail of acme goes through it as facturare@acme.test" in account(shell)
    shown = shell("tenant", "smtp", "show", "acme", "--json").json
    assert (shown["server"]["port"], shown["server"]["security"], shown["in_use"]) == (587, "starttls", True)
    assert shown["inbox_address"] == "acme@inbox.gateway.test"
    assert "facturare@acme.test" in shell("tenant", "show", "acme", "--json").json["identities"]
    words = shell("tenant", "smtp", "show", "acme").out
    assert "not tried yet" in words and "run `gateway tenant smtp test`" in words and "fallback:     off" in words
    assert "was not tried yet" in shell("doctor").out


def test_tls_from_the_start_has_its_port_and_the_port_its_tls(shell: Shell) -> None:
    account(shell, "--security", "tls")
    assert shell("tenant", "smtp", "show", "acme", "--json").json["server"]["port"] == 465
    account(shell, "--port", "465")
    shown = shell("tenant", "smtp", "show", "acme", "--json").json
    assert (shown["server"]["security"], shown["server"]["version"]) == ("tls", 2)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--host", "no host"), "is not a host"),
        (("--port", "70000"), "is not a port"),
        (("--address", "nobody"), "say with --address"),
        (("--connections", "0"), "1 to 100"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words(shell: Shell, more: tuple[str, ...], words: str) -> None:
    said = shell("tenant", "smtp", "set", "acme", "--host", "a.test", "--username", "a@acme.test", "--password-stdin",
                 *more, given=SECRET, status=2 if "--address" in more else 1)  # fmt: skip
    assert words in said.err


def test_an_empty_password_is_no_password(shell: Shell) -> None:
    assert "empty" in account(shell, given="\n", status=1)


def test_clearing_goes_back_to_the_gateway_and_does_not_strand_mail(shell: Shell) -> None:
    account(shell)
    assert shell("tenant", "smtp", "fallback", "acme", "30m", "--json").json["fallback"] == "30m"
    send(shell, "ana@client.test", From="facturare@acme.test")
    said = shell("tenant", "smtp", "clear", "acme", status=1)
    assert "1 mails wait for this server" in said.err
    assert shell("tenant", "smtp", "clear", "acme", "--yes", "--json").json["waiting"] == 1
    assert shell("tenant", "show", "acme", "--json").json["sending"] == "shared"
    assert "no SMTP server of its own" in shell("tenant", "smtp", "show", "acme", status=1).err


def test_kept_for_later_changes_nothing_yet(shell: Shell) -> None:
    assert "goes on as before" in account(shell, "--later")
    assert shell("tenant", "show", "acme", "--json").json["sending"] == "shared"


def test_a_test_of_a_server_that_does_not_answer_says_so_and_fails(shell: Shell) -> None:
    shell.set(delivery__allow_private="true")
    account(shell, "--host", "127.0.0.1", "--port", str(free_port()))
    said = shell("tenant", "smtp", "test", "acme", "--json", status=1).json
    assert [step["what"] for step in said["steps"]] == ["connection"] and "no connection" in said["steps"][0]["words"]


def test_a_private_address_is_refused_unless_that_is_permitted(shell: Shell) -> None:
    account(shell, "--host", "127.0.0.1", "--port", str(free_port()))
    said = shell("tenant", "smtp", "test", "acme", status=1)
    assert "delivery.allow_private permits that" in said.out


# -- OAuth


def consent(shell: Shell, endpoint: TokenEndpoint, *more: str) -> str:
    """Begin a consent; the address to open."""
    made = shell("tenant", "smtp", "set", "acme", "--oauth", "custom", "--host", "smtp.acme.test",
                 "--username", "facturare@acme.test", "--client-id", "app", "--scope", "mail",
                 "--authorize-url", "https://id.acme.test/authorize", "--token-url", endpoint.url, *more,
                 "--json")  # fmt: skip
    return str(made.json["open"])


def test_a_consent_is_given_in_the_browser_and_finished_here(shell: Shell, endpoint: TokenEndpoint) -> None:
    url = consent(shell, endpoint)
    assert url.startswith("https://id.acme.test/authorize?") and "code_challenge_method=S256" in url
    assert "no SMTP server" in shell("tenant", "smtp", "show", "acme", status=1).err, "not before it was given"
    back = endpoint.allow(url)
    shell("tenant", "smtp", "set", "acme", "--code", "-", given=back + "\n")
    shown = shell("tenant", "smtp", "show", "acme", "--json").json
    assert (shown["server"]["auth"], shown["in_use"]) == ("oauth", True)
    assert endpoint.asked[0]["code_verifier"] and "client_secret" not in endpoint.asked[0]
    said = shell("tenant", "smtp", "set", "acme", "--code", back, status=1).err
    assert "was used already" in said


def test_a_consent_of_somebody_else_or_with_a_wrong_verifier_is_refused(shell: Shell, endpoint: TokenEndpoint) -> None:
    url = consent(shell, endpoint)
    forged = re.sub(r"state=[^&]+", "state=forged", endpoint.allow(url))
    assert "not begun here" in shell("tenant", "smtp", "set", "acme", "--code", forged, status=1).err
    endpoint.codes["the-code"] = ("another challenge", "x")
    back = re.sub(r"code=[^&]+", "code=the-code", f"http://localhost:8765/?code=x&{url[url.index('state=') :]}")
    assert "gave no token: invalid_grant" in shell("tenant", "smtp", "set", "acme", "--code", back, status=1).err
    shell("tenant", "add", "beta", "--company", "Beta")
    back = endpoint.allow(consent(shell, endpoint))
    assert "not begun here" in shell("tenant", "smtp", "set", "beta", "--code", back, status=1).err


def test_an_application_may_be_allowed_by_itself(shell: Shell, endpoint: TokenEndpoint) -> None:
    shell("tenant", "smtp", "set", "acme", "--oauth", "microsoft", "--username", "facturare@acme.test", "--client-id",
          "app", "--client-credentials", "--client-secret-stdin", "--directory", "acme.test", "--token-url",
          endpoint.url, given="app-secret\n")  # fmt: skip
    shown = shell("tenant", "smtp", "show", "acme", "--json").json["server"]
    assert (shown["host"], shown["grant"]) == ("smtp.office365.com", "client_credentials")
    assert endpoint.asked[0]["scope"] == "https://outlook.office365.com/.default"


def test_a_secret_goes_to_https_only(shell: Shell) -> None:
    said = shell("tenant", "smtp", "set", "acme", "--oauth", "custom", "--host", "a.test", "--username", "a@acme.test",
                 "--client-id", "app", "--authorize-url", "https://id.test/a", "--token-url", "http://id.test/t",
                 status=1)  # fmt: skip
    assert "is not an https:// address" in said.err

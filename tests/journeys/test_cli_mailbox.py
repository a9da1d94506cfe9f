"""`gateway mailbox` as typed: secrets are never printed nor kept in clear, and what is wrong is said in words."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from journeys.letters import compose
from journeys.shell import Shell
from journeys.token_endpoint import TokenEndpoint, token_endpoint
from postroom.dovecot import PASSWORD, Dovecot

USER = "clienti@acme.test"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with the tenant acme, which every test copies."""
    made = Shell(tmp_path_factory.mktemp("mailbox"))
    made("init", "--domain", "gateway.test")
    made("tenant", "add", "acme", "--company", "Acme Servicii SRL")
    config = made.folder / "gateway.toml"
    config.write_text(
        config.read_text() + "\n[delivery]\nallow_private = true\n"
        if "\n[delivery]" not in config.read_text()
        else config.read_text().replace("\n[delivery]", "\n[delivery]\nallow_private = true", 1)
    )
    return made.folder


@pytest.fixture
def shell(tmp_path: Path, installation: Path) -> Iterator[Shell]:
    """It; at the end, no secret was printed, nor lies in the database in clear."""
    made = Shell(tmp_path / "here")
    shutil.copytree(installation, made.folder)
    yield made
    stored = b"".join(path.read_bytes() for path in made.data.glob("gateway.db*"))
    for secret in (PASSWORD, "good-1", "refresh-1", "app-secret"):
        if secret != PASSWORD:  # a word that any text may hold
            assert secret not in made.printed
        assert f'"{secret}"'.encode() not in stored
        assert base64.b64encode(secret.encode()) not in stored


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with token_endpoint() as made:
        yield made


def add(shell: Shell, dovecot: Dovecot, *more: str, status: int = 0, password: str = PASSWORD) -> str:
    dovecot.add_user(USER)
    made = shell("mailbox", "add", "clienti", "-t", "acme", "--host", "127.0.0.1", "--port", str(dovecot.imaps_port),
                 "--username", USER, "--password-stdin", "--trust", str(dovecot.cert), *more,
                 given=password + "\n", status=status)  # fmt: skip
    return made.out + made.err


@pytest.mark.timeout(300)
def test_a_mailbox_is_added_tested_changed_listed_and_removed(shell: Shell, dovecot: Dovecot) -> None:
    assert f"{USER} is read from now on" in add(shell, dovecot)
    assert "there is a mailbox clienti already" in add(shell, dovecot, status=1)
    dovecot.append(USER, compose("Salut", to=USER, author="Ion <ion@client.test>"))
    found = shell("mailbox", "test", "clienti")
    assert "IDLE" in found.out and "INBOX: " in found.out and "0 would be taken (reports_and_replies)" in found.out
    shell("mailbox", "set", "clienti", "--takes", "all", "--after", "move:Junk")
    steps = {one["what"]: one["words"] for one in shell("mailbox", "test", "clienti", "--json").json["steps"]}
    assert "1 would be taken (all)" in steps["mail"] and "person from ion@client.test: Salut" in steps["mail"]
    (one,) = shell("mailbox", "list", "--json").json
    assert (one["account"]["after"], one["account"]["move_to"]) == ("move", "Junk")
    assert (one["tenant"], one["state"], one["taken"]) == ("acme", "", 0)
    assert one["spool"] == {"mails": 0, "size": 0, "since": None}
    assert "not looked at yet" in shell("mailbox", "list").out
    looked = shell("doctor").out
    assert "mailbox clienti of acme" in looked and "none waits to be judged" in looked
    assert "is read no more" in shell("mailbox", "rm", "clienti").out
    assert "has no mailbox clienti" in shell("mailbox", "test", "clienti", status=1).err
    assert shell("mailbox", "list", "--json").json == []


def test_a_test_says_what_is_wrong_without_saying_the_password(shell: Shell, dovecot: Dovecot) -> None:
    add(shell, dovecot, password="not the password")
    found = shell("mailbox", "test", "clienti", status=1)
    assert "WRONG" in found.out and "login refused" in found.out and "not the password" not in shell.printed
    shell("mailbox", "set", "clienti", "--password-stdin", "--folder", "Nowhere", given=PASSWORD + "\n")
    assert "Nowhere" in shell("mailbox", "test", "clienti", status=1).out
    shell("mailbox", "set", "clienti", "--folder", "INBOX", "--host", "localhost", "--port", "1")
    assert "refused" in shell("mailbox", "test", "clienti", status=1).out


def test_what_could_not_work_is_refused_in_words(shell: Shell, dovecot: Dovecot) -> None:
    for options, words in (
        (("--since", "yesterday"), "is not a day"),
        (("--after", "burn"), "--after is leave, seen, delete, or move:FOLDER"),
        (("--after", "move"), "--after is leave, seen, delete, or move:FOLDER"),
    ):
        assert words in add(shell, dovecot, *options, status=2 if "--after" in options else 1)
    made = shell("mailbox", "add", "Big Box", "--host", "x", "--username", "u", status=1)
    assert "cannot be a mailbox's name" in made.err


def test_a_mailbox_is_connected_by_a_consent_in_a_browser(shell: Shell, endpoint: TokenEndpoint) -> None:
    made = shell("mailbox", "add", "clienti", "--host", "localhost", "--username", USER, "--oauth", "custom",
                 "--client-id", "app", "--authorize-url", "https://login.test/auth", "--token-url", endpoint.url,
                 "--scope", "imap", "--json")  # fmt: skip
    ended = endpoint.allow(made.json["open"])
    wrong = shell("mailbox", "add", "clienti", "--code", ended.replace("state=", "state=x"), status=1)
    assert "begin again" in wrong.err
    assert f"{USER} is read from now on" in shell("mailbox", "add", "clienti", "--code", "-", given=ended + "\n").out
    (one,) = shell("mailbox", "list", "--json").json
    assert (one["account"]["auth"], one["account"]["grant"]) == ("oauth", "authorization_code")
    again = shell("mailbox", "set", "clienti", "--connect", "--json").json
    assert shell("mailbox", "set", "clienti", "--code", endpoint.allow(again["open"])).status == 0
    assert endpoint.tokens == 2

"""The command line as an admin types it: the real `cli.py` in a folder of its own, with what it prints and its status.

Each command is a process; a module-wide installation (one tenant, one credential, one user, one domain) is shared by
the tests that only look or that bring mail of their own. Nothing serves there, so what is queued stays queued.
"""

import json
import re
import shutil
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.rdatatype
import dns.zone
import pytest
from journeys.forked import ROOT
from journeys.serving import Serving, Sink, install, run_sink, serve, submit
from journeys.shell import ID, SECONDS, Shell, mail, send
from postroom.ports import free_port

DOCUMENT = ROOT / "tests" / "corpus" / "documents" / "invoice_ro.json"
REPORTS = ROOT / "tests" / "corpus" / "reports"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An installation with the tenant acme, a credential, a user and a domain."""
    made = Shell(tmp_path_factory.mktemp("cli"))
    made("init", "--domain", "gateway.test")
    made.set(submission__port="0", submission__tls_port="0", receiver__port="0", web__port="0")
    made("tenant", "add", "acme", "--company", "Acme Servicii SRL", "--contact", "office@acme.test")
    made.secrets.append(made("credential", "add", "--username", "billing", "--json").json["password"])
    made.secrets.append(made("user", "add", "ana@acme.test", "--name", "Ana", "--json").json["password"])
    made("domain", "add", "--tenant", "acme", "acme.test")
    made.secrets += [line.partition(":")[2] for line in (made.data / "gateway.key").read_text().split()]
    return made


# -- setting up


def test_init_makes_an_installation_and_changes_nothing_the_second_time(tmp_path: Path) -> None:
    shell = Shell(tmp_path)

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "gateway.toml", *shell.data.glob("*.[ck]*"))}

    assert "wrote gateway.toml" in shell("init", "--domain", "acme.test").out
    before = files()
    assert before.keys() == {"gateway.toml", "gateway.key", "tls.crt", "tls.key"}
    assert b'hostname = "mail.acme.test"' in before["gateway.toml"]
    assert stat.S_IMODE(shell.data.stat().st_mode) == 0o700
    for name in ("gateway.key", "tls.key"):
        assert stat.S_IMODE((shell.data / name).stat().st_mode) == 0o600, name
    keys = shell("domain", "list", "--json").json
    assert "wrote" not in shell("init", "--domain", "other.test").out
    assert shell("domain", "list", "--json").json == keys
    assert files() == before


def test_a_trial_without_a_domain_says_that_its_names_are_examples(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert "examples" in shell("init").out
    assert "is an example" in shell("doctor").out


def test_commands_without_an_installation_say_how_to_make_one(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    told = shell("serve", status=1).err
    assert told == "gateway: there is no configuration gateway.toml; make one with `gateway init`\n"
    (tmp_path / "gateway.toml").write_text("")
    assert "run `gateway init`" in shell("tenant", "list", status=1).err
    assert list(tmp_path.iterdir()) == [tmp_path / "gateway.toml"]


def test_a_wrong_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[delivery]\nrelays = 1\n", "utf-8")
    told = Shell(tmp_path)("tenant", "list", status=1).err
    assert told == "gateway: unknown key delivery.relays; did you mean delivery.relay?\n"


# -- tenants and what belongs to them


def test_lists_print_for_people_and_as_json(shell: Shell) -> None:
    wanted: dict[tuple[str, ...], dict[str, object]] = {
        ("tenant", "list"): {"tenant": "acme", "company": "Acme Servicii SRL", "suspended": False},
        ("credential", "list"): {"username": "billing", "networks": [], "revoked_at": None},
        ("user", "list"): {"email": "ana@acme.test", "name": "Ana", "role": "clerk"},
        ("domain", "list"): {"domain": "acme.test", "tenant": "acme", "state": "active"},
    }
    for command, facts in wanted.items():
        rows = shell(*command, "--json").json
        assert any(facts.items() <= row.items() for row in rows), command
    assert re.search(r"^acme +Acme Servicii SRL +ro ", shell("tenant", "list").out, re.M)


def test_the_operator_takes_a_login_back(shell: Shell) -> None:
    assert shell("user", "totp", "reset", "ana@acme.test", "--json").json == {"email": "ana@acme.test", "had": False}
    assert shell("user", "logout", "ana@acme.test", "--json").json == {"email": "ana@acme.test", "ended": 0}
    assert shell("user", "unlink", "ana@acme.test", "--json").json == {"email": "ana@acme.test", "unlinked": 0}
    assert "no user" in shell("user", "totp", "reset", "nobody@acme.test", status=1).err
    shell("user", "totp", "demand")
    assert shell("tenant", "show", "acme", "--json").json["options"] == {"second_step": True}
    shell("user", "totp", "demand", "--off")
    assert shell("tenant", "show", "acme", "--json").json["options"] == {}


def test_settings_are_checked_before_they_are_kept(shell: Shell) -> None:
    assert "time zone 'Mars/X'" in shell("tenant", "set", "acme", "--timezone", "Mars/X", status=1).err
    assert "taken by the gateway" in shell("tenant", "add", "send", "--company", "X", status=1).err
    assert "so wide" in shell("credential", "add", "--network", "0.0.0.0/0", status=1).err
    shell("tenant", "set", "acme", "--colour", "#aa0011", "--suspend")
    shown = shell("tenant", "show", "acme", "--json").json
    assert (shown["timezone"], shown["brand"], shown["suspended"]) == ("Europe/Chisinau", {"colour": "#aa0011"}, True)
    assert "suspended" in shell("send", "-", given=mail("ana@client.test"), status=1).err
    shell("tenant", "set", "acme", "--resume")


def test_a_logo_is_set_refused_in_words_and_removed(shell: Shell) -> None:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (600).to_bytes(4) + (200).to_bytes(4) + b"\x08\x06\0\0\0"
    (shell.folder / "logo.png").write_bytes(head)
    (shell.folder / "logo.svg").write_bytes(b"<svg/>")
    assert shell("tenant", "logo", "acme", "logo.png", "--json").json == {"tenant": "acme", "width": 600, "height": 200}
    assert "neither PNG nor JPEG" in shell("tenant", "logo", "acme", "logo.svg", status=1).err
    assert "--remove" in shell("tenant", "logo", "acme", status=2).err
    assert "has no logo any more" in shell("tenant", "logo", "acme", "--remove").out
    assert "had no logo" in shell("tenant", "logo", "acme", "--remove").out


def test_a_made_password_is_shown_once_and_never_again(shell: Shell) -> None:
    made = shell("credential", "add", "--username", "second").out
    password = re.search(r"^password  (\S{20,})$", made, re.M)
    assert password
    assert "shown this once" in made
    given = "a password of my own"
    assert given not in shell("credential", "add", "--username", "third", "--password-stdin", given=given + "\n").out
    assert "revoked" in shell("credential", "revoke", "second").out
    looked = Shell(shell.folder)
    for command in ("credential list", "user list", "tenant show acme", "domain records acme.test"):
        looked(*command.split(), "--json")
    for secret in (password[1], given, *shell.secrets, "argon2", "PRIVATE"):
        assert secret not in looked.printed


def test_the_records_of_a_domain_are_a_zone(shell: Shell) -> None:
    text = "$TTL 300\n" + shell("domain", "records", "--zone", "gateway.test").out
    zone: Any = dns.zone.from_text(text, origin="gateway.test.", relativize=False, check_origin=False)
    found = {(str(name), dns.rdatatype.to_text(data.rdtype)) for name, node in zone.items() for data in node}
    assert {("gateway.test.", "TXT"), ("_dmarc.gateway.test.", "TXT"), ("return.gateway.test.", "MX")} <= found
    assert ("inbox.gateway.test.", "MX") in found
    keys = [
        b"".join(data.strings).decode()
        for name, node in zone.items()
        if "_domainkey" in str(name)
        for rdataset in node
        for data in rdataset
    ]
    assert sorted(re.findall(r"k=(\w+)", " ".join(keys))) == ["ed25519", "rsa"]
    rows = shell("domain", "records", "gateway.test", "--json").json
    assert {row["value"] for row in rows} >= set(keys)
    assert all(row["why"] for row in rows)


# -- sending and following


def test_documents_and_mails_are_sent_and_traced(shell: Shell) -> None:
    (shell.folder / "mail.eml").write_text(mail("Ion <ion@client.test>", X_AR_Number="F-77"), "utf-8")
    shutil.copy(DOCUMENT, shell.folder / "invoice.json")
    told = shell("send", "invoice.json", "mail.eml").out
    ids = re.findall(rf"Queued ({ID}), thread ({ID})", told)
    assert len(ids) == 2
    assert "template new_invoice" in told
    traced = shell("trace", "F-77", "--json").json
    assert [(one["message_id"], one["thread_id"]) for one in traced[0]["messages"]] == [ids[1]]
    assert "ana.rusu@vinaria.example: not tried yet" in shell("trace", "CP-2026-0042").out
    assert shell("trace", "nobody@client.test", status=1).err == "Error: nothing is known of 'nobody@client.test'\n"
    shown = shell("inbox", "show", ids[1][1]).out
    assert "Factura" in shown


def test_what_cannot_be_sent_is_refused_and_nothing_is_kept(shell: Shell) -> None:
    document = json.loads(DOCUMENT.read_text("utf-8"))
    before = shell("queue", "list", "--state", "all", "--json").json
    refused = [
        (json.dumps(document | {"status": "draft"}), "is a draft"),
        (json.dumps(document | {"curency": "MDL"}), "curency"),
        (mail("ana@client.test", X_AR_Numbr="1"), "did you mean X-AR-Number?"),
    ]
    for given, words in refused:
        told = shell("send", "-", given=given, status=1).err
        assert told.startswith("refused: 554 5.6.0 ")
        assert words in told
    assert shell("queue", "list", "--state", "all", "--json").json == before


def test_a_delivery_is_held_released_cancelled_and_tried_again(shell: Shell) -> None:
    id = send(shell, "queue@client.test")
    assert shell("queue", "hold", id, "--why", "the amount is wrong").out == f"{id}: held 1 delivery\n"
    held = shell("queue", "list", "--held", "--to", "queue@", "--json").json
    assert [(one["id"], one["state"], one["hold"]) for one in held] == [(f"{id}.1", "queued", "the amount is wrong")]
    shell("queue", "release", f"{id}.1")
    shell("queue", "cancel", id)
    assert "nothing was held" in shell("queue", "hold", id, status=1).out
    shell("queue", "retry", id)
    made = shell("queue", "show", id, "--json").json["deliveries"]
    assert [(one["state"], one["hold"]) for one in made] == [("queued", "")]
    events = [line["what"] for line in shell("trace", id, "--json").json[0]["messages"][0]["timeline"]]
    assert events[1:] == ["message.held", "message.released", "message.canceled", "message.queued"]


def test_a_trigger_is_switched_and_a_document_is_marked_as_sent(shell: Shell) -> None:
    shell("template", "set", "new_invoice", "--automatic")
    listed = {row["template"]: row for row in shell("template", "list", "--json").json}
    assert listed["new_invoice"]["automatic"] and listed["new_invoice"]["changed"] == ["automatic"]
    assert not listed["paid_invoice"]["enabled"]
    assert "there is no template" in shell("template", "set", "nothing", "--automatic", status=1).err
    shell("template", "set", "new_invoice", "--default")
    assert not shell("template", "list", "--json").json[0]["automatic"]
    shell("send", "--to", "marked@client.test", str(DOCUMENT))
    [name] = [row["document"] for row in shell("document", "list", "--json").json][:1]
    assert "is marked as sent" in shell("document", "sent", name).out
    assert shell("document", "show", name, "--json").json["sent_at"]
    assert "there is no document" in shell("document", "show", "invoice/none", status=1).err


def test_lists_that_are_empty_say_so(tmp_path: Path) -> None:
    shell = Shell(tmp_path)  # nothing ever happened here
    shell("init", "--domain", "gateway.test")
    shell("tenant", "add", "acme", "--company", "Acme Servicii SRL")
    assert shell("suppression", "list", "--json").json == []
    assert shell("inbox", "list").out == "nothing to do\n"


def test_errors_are_words_and_a_status(shell: Shell) -> None:
    wrong = {
        "tenant show nobody": (1, "there is no tenant 'nobody' (there are: acme)"),
        "queue show 00000000000000000000": (1, "there is no message"),
        "suppression remove a@b.test": (1, "is not suppressed"),
        "domain add acme.test": (1, "another tenant"),
        "tenant set acme": (2, "say what to change"),
        "queue list --limt 3": (2, "--limit"),
        "frobnicate": (2, "No such command"),
    }
    for command, (status, words) in wrong.items():
        told = shell(*command.split(), status=status)
        assert words in told.err, command
        assert told.out == ""
        assert status == 2 or told.err.count("\n") == 1, command


def test_a_fault_of_ours_is_one_line_with_status_2(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gateway.db").write_bytes(b"this is no database" * 100)
    told = Shell(tmp_path)("tenant", "list", status=2).err
    assert told.startswith("gateway: ")
    assert told.count("\n") == 1


def test_a_full_disk_is_one_line_and_shows_no_value(shell: Shell) -> None:
    password = "a password on a full disk"
    args = ("credential", "add", "--username", "unlucky", "--password-stdin")
    told = shell(*args, given=password + "\n", status=2, file_bytes=1024)
    assert re.fullmatch(r"gateway: the database [^\n]*\n", told.err), told.err
    assert told.out == ""
    assert "unlucky" not in shell("credential", "list").out


# -- reports


def test_reports_are_explained_without_an_installation(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    tried = shell("bounce", "try", "550 5.1.1 no such user", "--json").json
    assert (tried["reason"], tried["suppresses"]) == ("mailbox_unknown", True)
    report = str(REPORTS / "standard-three-recipients.eml")
    parsed = shell("bounce", "parse", report, "--json").json
    assert parsed["mail"]["kind"] == "bounce"
    assert len(parsed["mail"]["report"]["recipients"]) == 3
    assert "by rule 'status of an unknown mailbox'" in shell("bounce", "parse", report).out
    paths = [report, str(tmp_path / "missing.eml"), str(REPORTS / "person.eml")]
    lines = shell("bounce", "parse", "--batch", given="\n".join(paths) + "\n").out.strip().split("\n")
    found = [json.loads(line) for line in lines]
    assert [line["path"] for line in found] == paths
    assert [line["kind"] for line in found] == ["bounce", "normal", "normal"]
    assert found[1]["error"]


# -- the doctor


def test_the_doctor_finds_a_key_file_that_others_can_read(shell: Shell) -> None:
    key = shell.data / "gateway.key"
    findings = {one["what"]: one for one in shell("doctor", "--json").json}
    assert findings["database"]["state"] == findings["DKIM"]["state"] == findings["tenant acme"]["state"] == "ok"
    key.chmod(0o644)
    try:
        assert "WRONG    key file" in shell("doctor", status=1).out
        assert "readable by others" in shell("send", "-", given=mail("ana@client.test"), status=1).err
        assert "readable by others" in shell("serve", status=1).err
    finally:
        key.chmod(0o600)


def test_the_doctor_goes_on_without_a_database(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell("init", "--domain", "acme.test")
    (tmp_path / "data" / "gateway.db").unlink()
    out = shell("doctor", status=1).out
    assert "WRONG    database: there is no database" in out
    assert "key file" in out


# -- serving


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A next hop."""
    with run_sink() as made:
        yield made


@pytest.fixture
def serving(tmp_path: Path, sink: Sink) -> Iterator[tuple[Shell, Serving]]:
    """An installation that serves and relays to the sink."""
    shell = install(tmp_path, sink)
    with serve(shell) as made:
        yield shell, made


def test_a_mail_goes_in_and_out_and_the_trace_says_accepted(serving: tuple[Shell, Serving], sink: Sink) -> None:
    shell, gateway = serving
    ports = gateway.wait_for("gateway.ready")
    code, answer = submit(ports["submission"], shell.data / "tls.crt", shell.secrets[0])
    found = re.match(rf"2\.0\.0 Queued ({ID}), thread ({ID})".encode(), answer)
    assert code == 250
    assert found
    until = time.monotonic() + SECONDS
    while "attempt 1" not in (traced := shell("trace", found[1].decode()).out):
        assert time.monotonic() < until, traced
        time.sleep(1)
    assert traced.startswith("ion@client.test: accepted by 127.0.0.1")
    assert "250 2.0.0 taken by the sink" in traced
    path, recipient, raw = sink.mails[0]
    assert re.fullmatch(r"b\+[a-z2-7]{16}@return\.gateway\.test", path)
    assert recipient == "ion@client.test"
    assert b"From: Acme Servicii SRL <noreply-invoice@gateway.test>\r\n" in raw
    assert raw.count(b"DKIM-Signature:") == 2
    assert "already" in shell("serve", status=1).err  # one process per node
    findings = {one["what"]: one["state"] for one in shell("doctor", "--json").json}
    assert findings["submission"] == findings["receiver"] == findings["web"] == "ok"
    with socket.create_connection(("127.0.0.1", ports["submission"]), timeout=SECONDS):  # somebody idles
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(SECONDS / 2) == 0
    assert "gateway.stopping" in {line["event"] for line in gateway.events()}
    assert shell.secrets[0] not in gateway.log.read_text("utf-8")


def test_a_taken_port_is_said_and_nothing_serves(shell: Shell, tmp_path: Path) -> None:
    other = Shell(tmp_path / "copy")
    shutil.copytree(shell.folder, other.folder)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        other.set(receiver__port=str(taken.getsockname()[1]))
        told = other("serve", status=1).err
    assert "gateway: cannot listen on 127.0.0.1:" in told


def test_events_are_read_on_from_the_last_one(shell: Shell) -> None:
    send(shell, "feed@client.test")
    message = send(shell, "feed@client.test", X_AR_Tag="run-7")
    deadline = time.monotonic() + SECONDS
    while True:  # the feed ends two seconds ago
        found = [json.loads(line) for line in shell("events", "--json").out.splitlines()]
        mine = [one for one in found if one["message"] == message]
        if mine or time.monotonic() > deadline:
            break
    assert [(one["type"], one["tags"]) for one in mine] == [("message.accepted", ["run-7"])]
    assert found == sorted(found, key=lambda one: str(one["id"]))
    later = shell("events", "--after", found[-2]["id"], "--json").out.splitlines()
    assert json.loads(later[0]) == found[-1]
    assert "message.accepted" in shell("events", "--type", "message.accepted").out
    assert "did you mean recipient.bounced?" in shell("events", "--type", "recipient.bounce", status=2).err
    assert shell("events", "--since", "2099-01-01").out == "no events\n"
    assert "is no time" in shell("events", "--since", "soon", status=2).err


def test_webhooks_are_added_tried_and_removed(shell: Shell) -> None:
    url = "https://127.0.0.1:9/hooks"
    made = shell("webhook", "add", url, "--type", "recipient.bounced", "--json").json
    shell.secrets.append(made["secret"])
    listed = shell("webhook", "list", "--json").json
    assert [(one["id"], one["url"], one["types"]) for one in listed] == [(made["endpoint"], url, ["recipient.bounced"])]
    assert "no address that may be dialled" in shell("webhook", "test", made["endpoint"], status=1).out
    assert [one["type"] for one in shell("webhook", "log", made["endpoint"], "--json").json] == ["webhook.test"]
    shell("webhook", "rm", made["endpoint"])
    assert "no endpoint" in shell("webhook", "rm", made["endpoint"], status=1).err

"""The servers of the postroom really work: what the other tests lean on is itself tested.

Run by pytest; each test starts what it needs. No gateway is involved.
"""

import base64
import email
import smtplib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import dkim
import psycopg
import pytest
import sqlalchemy
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from postroom.chromium import Chromium
from postroom.dovecot import Dovecot
from postroom.opendkim import OpenDkim
from postroom.ports import LOOPBACK, free_port, wait_until
from postroom.postfix import Postfix
from postroom.postgres import Postgres

pytestmark = pytest.mark.integration

PLAIN = "data:text/html,<body style='margin:0;background:canvas;color-scheme:light dark'>"


@dataclass(frozen=True)
class Kept:
    """A mail that came to the sink."""

    return_path: str
    recipients: list[str]
    raw: bytes


class Sink:
    """An SMTP server that keeps what it gets: a return path's domain."""

    def __init__(self) -> None:
        self.mails: list[Kept] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append(Kept(envelope.mail_from or "", list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 kept"


@pytest.fixture
def sink() -> Iterator[tuple[Sink, int]]:
    kept, port = Sink(), free_port()
    controller = Controller(kept, hostname=LOOPBACK, port=port)
    controller.start()
    yield kept, port
    controller.stop()


def write_mail(to: str, author: str = "ar@tenant.test") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = author, to, "Factură nouă"
    mail["Date"], mail["Message-ID"] = "Tue, 24 Nov 2026 10:00:00 +0200", "<one@tenant.test>"
    mail.set_content("Bună ziua,\n\nvă trimitem factura.\n")
    return mail


def send(port: int, mail: EmailMessage | bytes, to: str, return_path: str, options: list[str] | None = None) -> None:
    raw = mail if isinstance(mail, bytes) else mail.as_bytes()
    with smtplib.SMTP(LOOPBACK, port, local_hostname="gateway.tenant.test", timeout=20) as client:
        client.starttls()
        client.sendmail(return_path, [to], raw, rcpt_options=options or [])


def read_report(raw: bytes) -> str:
    """The per-recipient fields of a report, as text."""
    report = email.message_from_bytes(raw)
    assert report.get_content_type() == "multipart/report"
    return next(part.as_string() for part in report.walk() if part.get_content_type() == "message/delivery-status")


def test_a_mail_reaches_its_mailbox_through_postfix_and_dovecot(
    start_postfix: Callable[..., Postfix], dovecot: Dovecot
) -> None:
    ana = dovecot.add_user("postroom.ana@customer.test")  # the Dovecot is shared with other tests
    postfix = start_postfix(users=[ana], lmtp_port=dovecot.lmtp_port)
    send(postfix.port, write_mail(ana), ana, "b@return.test")
    [raw] = dovecot.wait_for_mail(ana)
    got = email.message_from_bytes(raw)
    assert got["Return-Path"] == "<b@return.test>"
    assert got["Message-ID"] == "<one@tenant.test>"
    postfix.wait_for_log(r"to=<postroom\.ana@customer\.test>.* status=sent")


def test_a_mail_reaches_a_maildir_where_there_is_no_dovecot(start_postfix: Callable[..., Postfix]) -> None:
    postfix = start_postfix(users=["ion@customer.test"])
    send(postfix.port, write_mail("ion@customer.test"), "ion@customer.test", "b@return.test")
    [raw] = postfix.wait_for_mail("ion@customer.test")
    assert b"<one@tenant.test>" in raw


def test_an_unknown_user_is_refused_at_rcpt_and_other_answers_are_as_told(
    start_postfix: Callable[..., Postfix],
) -> None:
    postfix = start_postfix(
        users=["full@customer.test"],
        defer={"full@customer.test": "452 4.2.2 mailbox full"},
        reject={"gone@customer.test": "554 5.7.1 not here"},
    )
    answers = {}
    with smtplib.SMTP(LOOPBACK, postfix.port, timeout=20) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        assert client.has_extn("dsn")
        client.mail("b@return.test")
        for user in ("nobody", "full", "gone"):
            answers[user] = client.rcpt(f"{user}@customer.test")
        answers["elsewhere"] = client.rcpt("x@elsewhere.test")
    assert {user: code for user, (code, _) in answers.items()} == {
        "nobody": 550,
        "full": 452,
        "gone": 554,
        "elsewhere": 554,
    }
    assert b"5.1.1" in answers["nobody"][1]
    assert b"4.2.2 <full@customer.test>: Recipient address rejected: mailbox full" in answers["full"][1]


@pytest.mark.parametrize("with_dovecot", [True, False], ids=["lmtp", "maildir"])
def test_a_mail_accepted_for_an_unknown_user_comes_back_as_a_report(
    start_postfix: Callable[..., Postfix], sink: tuple[Sink, int], with_dovecot: bool, request: pytest.FixtureRequest
) -> None:
    kept, port = sink
    lmtp_port = request.getfixturevalue("dovecot").lmtp_port if with_dovecot else None
    postfix = start_postfix(unknown="accept_then_bounce", lmtp_port=lmtp_port, routes={"return.test": port})
    options = ["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;nobody@customer.test"]
    send(postfix.port, write_mail("nobody@customer.test"), "nobody@customer.test", "b+token@return.test", options)
    wait_until(lambda: bool(kept.mails), 20, "no report came")
    [report] = kept.mails
    assert report.return_path == "<>"
    assert report.recipients == ["b+token@return.test"]
    fields = read_report(report.raw)
    assert "Original-Recipient: rfc822;nobody@customer.test" in fields
    assert "Action: failed" in fields
    assert "Status: 5.1.1" in fields


def test_a_report_of_success_and_one_of_delay_come_when_asked_for(
    start_postfix: Callable[..., Postfix], sink: tuple[Sink, int]
) -> None:
    kept, port = sink
    postfix = start_postfix(
        domains=["customer.test", "slow.test"],
        users=["ana@customer.test"],
        unknown="accept_then_bounce",
        routes={"return.test": port, "slow.test": free_port()},
        extra={"delay_warning_time": "1s"},
    )
    send(postfix.port, write_mail("ana@customer.test"), "ana@customer.test", "s@return.test", ["NOTIFY=SUCCESS"])
    send(postfix.port, write_mail("x@slow.test"), "x@slow.test", "d@return.test", ["NOTIFY=DELAY,FAILURE"])
    wait_until(lambda: len(kept.mails) >= 2, 30, "the two reports did not come")
    reports = {report.recipients[0]: read_report(report.raw) for report in kept.mails}
    assert "Action: delivered" in reports["s@return.test"]
    assert "Action: delayed" in reports["d@return.test"]
    assert [entry["queue_name"] for entry in postfix.queue()] == ["deferred"]


def test_a_smarthost_relays_what_a_customers_server_would_not(
    start_postfix: Callable[..., Postfix], sink: tuple[Sink, int]
) -> None:
    kept, port = sink
    smarthost = start_postfix(domains=[], relayhost=port)
    send(smarthost.port, write_mail("x@elsewhere.test"), "x@elsewhere.test", "b@return.test")
    wait_until(lambda: bool(kept.mails), 20, "nothing was relayed")
    assert kept.mails[0].recipients == ["x@elsewhere.test"]


def test_dovecot_keeps_folders_and_refuses_strangers(dovecot: Dovecot) -> None:
    bot = dovecot.add_user("mailbox@customer.test", "other word")
    dovecot.append(bot, b"Subject: junk\r\n\r\nx\r\n", "Junk")
    assert dovecot.fetch(bot, "Junk") == [b"Subject: junk\r\n\r\nx\r\n"]
    assert dovecot.fetch(bot) == []
    with smtplib.LMTP(LOOPBACK, dovecot.lmtp_port) as client:
        client.ehlo()
        client.mail("b@return.test")
        assert client.rcpt("stranger@customer.test")[0] == 550


def test_users_added_to_dovecot_in_one_second_can_all_log_in(dovecot: Dovecot) -> None:
    for number in range(5):
        assert dovecot.fetch(dovecot.add_user(f"quick{number}@customer.test")) == []


def test_postgres_answers_and_keeps_two_databases_apart(postgres: Postgres) -> None:
    one, two = (sqlalchemy.create_engine(postgres.create_database()) for _ in range(2))
    with one.begin() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT 1")) == 1
        assert connection.scalar(sqlalchemy.text("SHOW synchronous_commit")) == "on"
        connection.execute(sqlalchemy.text("CREATE TABLE only_in_one (x int)"))
    with two.begin() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT to_regclass('only_in_one')")) is None
    for engine in (one, two):
        engine.dispose()


def test_a_postgres_template_is_filled_once_and_copied_often(postgres: Postgres) -> None:
    filled = []

    def fill(url: str) -> None:
        filled.append(url)
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute("CREATE TABLE given AS SELECT 7 AS x")

    for _ in range(2):
        url = postgres.create_database(postgres.create_template("given_template", fill))
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT x FROM given").fetchall() == [(7,)]
        postgres.drop_database(url)
    assert len(filled) == 1


def test_a_durable_postgres_syncs_and_survives_a_kill(start_postgres: Callable[..., Postgres]) -> None:
    postgres = start_postgres(durable=True)
    with postgres.connect() as connection:
        assert connection.execute("SHOW fsync").fetchall() == [("on",)]
    postgres.server.kill()
    assert not postgres.server.alive()


def make_key() -> tuple[str, str]:
    """A private key as PEM and its DKIM record."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode(), "v=DKIM1; k=rsa; p=" + "".join(public.decode().split("\n")[1:-2])


def test_opendkim_verifies_both_kinds_of_signature_and_refuses_what_was_changed(
    start_opendkim: Callable[..., OpenDkim],
) -> None:
    pem, record = make_key()
    young = ed25519.Ed25519PrivateKey.generate()
    seed, public = (base64.b64encode(key) for key in (young.private_bytes_raw(), young.public_key().public_bytes_raw()))
    opendkim = start_opendkim(
        public_keys={
            "s1._domainkey.tenant.test": record,
            "s2._domainkey.tenant.test": f"v=DKIM1; k=ed25519; p={public.decode()}",
        }
    )
    raw = write_mail("ana@customer.test").as_bytes().replace(b"\n", b"\r\n")
    signed = dkim.sign(raw, b"s2", b"tenant.test", seed, signature_algorithm=b"ed25519-sha256") + raw
    signed = dkim.sign(raw, b"s1", b"tenant.test", pem.encode()) + signed
    verdict = opendkim.verify(signed)
    assert verdict.results == (("rsa-sha256", "pass"), ("ed25519-sha256", "pass"))
    assert verdict.passed
    assert not opendkim.verify(signed.replace(b"factura", b"fractura")).passed
    assert not opendkim.verify(raw).passed


def test_opendkim_at_postfixs_door_writes_its_verdict_and_signs(
    start_opendkim: Callable[..., OpenDkim], start_postfix: Callable[..., Postfix]
) -> None:
    pem, record = make_key()
    opendkim = start_opendkim(public_keys={"s1._domainkey.tenant.test": record}, sign=("customer.test", "s2", pem))
    postfix = start_postfix(users=["ana@customer.test"], milters=[opendkim.port])
    raw = write_mail("ana@customer.test").as_bytes().replace(b"\n", b"\r\n")
    signed = dkim.sign(raw, b"s1", b"tenant.test", pem.encode()) + raw
    send(postfix.port, signed, "ana@customer.test", "b@return.test")
    [first] = postfix.wait_for_mail("ana@customer.test")
    assert "dkim=pass" in email.message_from_bytes(first)["Authentication-Results"]
    own = write_mail("ana@customer.test", author="ana@customer.test")
    send(postfix.port, own, "ana@customer.test", "ana@customer.test")
    second = postfix.wait_for_mail("ana@customer.test", 2)[1]
    assert "d=customer.test; s=s2" in email.message_from_bytes(second)["DKIM-Signature"]


def read_png(path: Path) -> tuple[int, int]:
    """Width and height, in pixels."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_a_screenshot_has_the_width_asked_for_and_shows_light_and_dark(chromium: Chromium, tmp_path: Path) -> None:
    light = chromium.screenshot(PLAIN, tmp_path / "light.png", width=420, height=300)
    dark = chromium.screenshot("<body style='margin:0'>", tmp_path / "dark.png", width=420, height=300, dark=True)
    assert read_png(light) == read_png(dark) == (420, 300)
    with chromium.page(dark=True) as page:
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")

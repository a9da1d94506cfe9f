"""The fake outside world over real sockets: every behaviour of its table, and the mail that it writes back.

smtplib plays the gateway's delivery, aiosmtpd its receiver. What the world writes is read back by the standard
library's parser, never by the gateway's own.
"""

import asyncio
import smtplib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway.demo.behaviours import TABLE, Behaviour, behaviour_of
from gateway.demo.world import World, start_world

NOW = datetime(2026, 11, 24, 8, 19, tzinfo=UTC)
RETURN_PATH = "b+aaaaaaaabbbbbbbb@return.gateway.example"
REPLY_TO = "acme+thread@inbox.gateway.example"
SECONDS = 20.0  # after which a test that hears nothing has failed


@dataclass
class Receiver:
    """An SMTP server that keeps what it is sent, and says first what it is told to say."""

    port: int = 0
    answers: list[str] = field(default_factory=list)
    mails: list[tuple[str, list[str], bytes]] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answers:
            return self.answers.pop(0)
        return_path = (envelope.mail_from or "").removeprefix("<>")  # aiosmtpd's word for the null return path
        self.mails.append((return_path, list(envelope.rcpt_tos), bytes(envelope.original_content or b"")))
        return "250 2.0.0 OK"

    def read(self, number: int = 0) -> EmailMessage:
        return message_from_bytes(self.mails[number][2], policy=policy.default)


@asynccontextmanager
async def outside(pace: float = 0.0, keep: int = 1000) -> AsyncIterator[tuple[World, Receiver]]:
    """A world, and the receiver that it posts to."""
    receiver = Receiver()
    make: Callable[[], SMTP] = lambda: SMTP(receiver, enable_SMTPUTF8=True, hostname="receiver.example")  # noqa: E731
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    world = await start_world(return_to=("127.0.0.1", receiver.port), clock=lambda: NOW, keep=keep, pace=pace)
    try:
        yield world, receiver
    finally:
        await world.stop()
        server.close()


def invoice(language: str = "ro", message_id: str = "m1@mail.gateway.example", to: str = "ana@shop.example") -> bytes:
    """A mail as the gateway sends it."""
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = '"Acme Servicii SRL" <noreply-invoice@mail.gateway.example>'
    mail["To"] = f"Ana Rusu <{to}>"
    mail["Reply-To"] = f'"Acme Servicii SRL" <{REPLY_TO}>'
    mail["Subject"] = {"ro": "Cont de plată CP-42", "ru": "Счёт на оплату CP-42", "en": "Invoice CP-42"}[language]
    mail["Date"] = NOW
    mail["Message-ID"] = f"<{message_id}>"
    mail["References"] = "<thread.t1@mail.gateway.example>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("Suma: 1.200,00 MDL\n.un punct la început\n")
    mail.add_alternative("<html><body><p>Suma: <b>1.200,00 MDL</b></p></body></html>", subtype="html")
    mail["Content-Language"] = language
    return mail.as_bytes()


def send(port: int, recipients: Sequence[str], raw: bytes, return_path: str = RETURN_PATH, **mail: Any) -> list[str]:
    """Deliver one mail; every answer: those to RCPT, then that to the final dot, "" for a connection that closed."""
    options, rcpt_options = mail.get("options", ()), mail.get("rcpt_options", ())
    client = smtplib.SMTP("127.0.0.1", port, local_hostname="mail.gateway.example", timeout=SECONDS)
    try:
        client.ehlo()
        client.mail(return_path, options)
        answers = [client.rcpt(recipient, rcpt_options) for recipient in recipients]
        if any(code == 250 for code, _ in answers):
            answers.append(client.data(raw))
        return [f"{code} {text.decode()}" for code, text in answers]
    except smtplib.SMTPServerDisconnected:
        return [*(f"{code} {text.decode()}" for code, text in answers), ""]
    finally:
        client.close()


async def deliver(world: World, *recipients: str, raw: bytes = b"", **mail: Any) -> list[str]:
    return await asyncio.to_thread(send, world.port, recipients, raw or invoice(to=recipients[0]), **mail)


def run(journey: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * SECONDS):
            await journey()

    asyncio.run(bounded())


def status_blocks(report: EmailMessage) -> list[Any]:
    """The fields of a report: those of the message, then those of each recipient (RFC 3464 §2.1)."""
    part = next(part for part in report.iter_parts() if "delivery-status" in part.get_content_type())
    return list(part.get_payload())


# -- answers to the gateway


@pytest.mark.parametrize("behaviour", TABLE, ids=lambda behaviour: behaviour.local_part)
def test_the_first_answer_is_the_one_that_the_table_tells(behaviour: Behaviour) -> None:
    async def journey() -> None:
        async with outside() as (world, _):
            answers = await deliver(world, f"{behaviour.local_part}@shop.example")
            words = behaviour.what.replace(",", " ").split()
            expected = " ".join(word for word in words[:2] if word[0].isdigit() and word != "3")
            where = "RCPT" if behaviour.at_rcpt else "dot"
            assert answers[-1].startswith(expected) if expected else answers[-1] == "", answers
            assert len(answers) == (1 if where == "RCPT" else 2)

    run(journey)


def test_a_suffix_case_and_domain_do_not_change_what_an_address_does() -> None:
    assert behaviour_of("Unknown+42").local_part == "unknown"
    assert behaviour_of("full-hard.invoices").local_part == "full-hard"
    assert behaviour_of("full").local_part == "full"
    assert behaviour_of("unknownish").local_part == "accept"

    async def journey() -> None:
        async with outside() as (world, _):
            assert (await deliver(world, "UNKNOWN+42@xn--d1acufc.example"))[0].startswith("550 5.1.1 <UNKNOWN+42@xn--")

    run(journey)


def test_accepted_mail_is_kept_byte_for_byte_once_for_each_recipient() -> None:
    async def journey() -> None:
        async with outside() as (world, _):
            raw = invoice()
            answers = await deliver(world, "ana@shop.example", "unknown@shop.example", "ion@bar.example", raw=raw)
            assert [answer[:3] for answer in answers] == ["250", "550", "250", "250"]
            kept = [(mail.recipient, mail.return_path, mail.raw, mail.at) for mail in world.received]
            assert kept == [(name, RETURN_PATH, raw, NOW) for name in ("ana@shop.example", "ion@bar.example")]

    run(journey)


@pytest.mark.parametrize("name", ["spam", "large"])
def test_mail_refused_after_its_end_is_not_kept(name: str) -> None:
    async def journey() -> None:
        async with outside() as (world, _):
            assert (await deliver(world, f"{name}@shop.example", "ana@shop.example"))[-1].startswith("55")
            assert world.received == []

    run(journey)


def test_full_stays_full() -> None:
    async def journey() -> None:
        async with outside() as (world, _):
            for _ in range(4):
                assert (await deliver(world, "full@shop.example"))[0].startswith("452 4.2.2")

    run(journey)


def test_greylisting_refuses_each_pair_of_return_path_and_recipient_twice() -> None:
    async def journey() -> None:
        async with outside() as (world, _):
            first = [(await deliver(world, "greylist@shop.example"))[-1][:3] for _ in range(4)]
            other = await deliver(world, "greylist@shop.example", return_path="b+other@return.gateway.example")
            assert (first, other[-1][:3], len(world.received)) == (["451", "451", "250", "250"], "451", 2)

    run(journey)


@pytest.mark.parametrize(("name", "kept"), [("drop", 1), ("drop-kept", 2)])
def test_the_connection_drops_once_per_mail_and_the_next_try_is_taken(name: str, kept: int) -> None:
    async def journey() -> None:
        async with outside() as (world, _):
            assert [(await deliver(world, f"{name}@shop.example"))[-1][:3] for _ in range(2)] == ["", "250"]
            assert len(world.received) == kept
            again = await deliver(world, f"{name}@shop.example", raw=invoice(message_id="m2@mail.gateway.example"))
            assert again[-1] == ""

    run(journey)


def test_slow_takes_three_seconds_of_its_pace() -> None:
    async def journey() -> None:
        async with outside(pace=0.1) as (world, _):
            clock = asyncio.get_running_loop().time
            began = clock()
            assert (await deliver(world, "slow@shop.example"))[-1][:3] == "250"
            assert clock() - began >= 0.3

    run(journey)


# -- reports


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("bounce", [("failed", "5.1.1", "smtp; 550 5.1.1 No such mailbox here")]),
        ("bounce-later-full", [("failed", "5.2.2", "smtp; 552 5.2.2 The mailbox is full")]),
        ("success", [("delivered", "2.0.0", None)]),
        (
            "delay",
            [
                ("delayed", "4.4.1", "smtp; 451 4.4.1 The server that keeps this mailbox does not answer"),
                ("delivered", "2.0.0", None),
            ],
        ),
    ],
    ids=["bounce", "bounce-later-full", "success", "delay"],
)
def test_a_report_has_the_structure_of_rfc_3464(name: str, fields: list[tuple[str, str, str | None]]) -> None:
    async def journey() -> None:
        address = f"{name}+7@shop.example"
        raw = invoice(to=address)
        async with outside() as (world, receiver):
            await deliver(world, address, raw=raw)
            await world.settle(SECONDS)
        assert [(mail_from, rcpt) for mail_from, rcpt, _ in receiver.mails] == [("", [RETURN_PATH])] * len(fields)
        for number, (action, status, diagnostic) in enumerate(fields):
            report = receiver.read(number)
            check_report(report, address, raw)
            block = status_blocks(report)[1]
            assert (block["Action"], block["Status"], block["Diagnostic-Code"]) == (action, status, diagnostic)
            assert (block["Will-Retry-Until"] is not None) == (action == "delayed")
            assert (block["Remote-MTA"] is not None) == (action != "delivered")

    run(journey)


def check_report(report: EmailMessage, address: str, raw: bytes) -> None:
    """What every report has, whatever it reports."""
    assert not report.defects
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    kinds = [part.get_content_type() for part in report.iter_parts()]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert (report["To"], report["Auto-Submitted"]) == (RETURN_PATH, "auto-replied")
    assert report["From"].addresses[0].addr_spec == "MAILER-DAEMON@mx.world.example"
    assert report["Message-ID"].endswith("@mx.world.example>")
    assert parsedate_to_datetime(report["Date"]) == NOW
    words, _, returned = report.iter_parts()
    assert f"<{address}>" in words.get_content()
    blocks = status_blocks(report)
    assert len(blocks) == 2
    assert blocks[0]["Reporting-MTA"] == "dns; mx.world.example"
    assert parsedate_to_datetime(blocks[0]["Arrival-Date"]) == NOW
    assert blocks[1]["Final-Recipient"] == f"rfc822; {address}"
    assert blocks[1]["Original-Recipient"] is None  # no ORCPT was given (RFC 3464 §2.3.1)
    header = raw.partition(b"\r\n\r\n")[0]
    assert returned.get_content().encode().strip() == header


def test_a_report_returns_the_envelope_id_and_the_original_recipient_that_were_given() -> None:
    async def journey() -> None:
        async with outside() as (world, receiver):
            orcpt = ["ORCPT=rfc822;Ana+2Bx@shop.example"]
            await deliver(world, "bounce@shop.example", options=["ENVID=d+2B17"], rcpt_options=orcpt)
            await world.settle(SECONDS)
        of_message, of_recipient = status_blocks(receiver.read())
        assert of_message["Original-Envelope-Id"] == "d+17"
        assert of_recipient["Original-Recipient"] == "rfc822; Ana+x@shop.example"

    run(journey)


def test_a_report_about_one_of_two_recipients_names_only_that_one() -> None:
    async def journey() -> None:
        async with outside() as (world, receiver):
            await deliver(world, "ana@shop.example", "bounce@shop.example")
            await world.settle(SECONDS)
        assert [block["Final-Recipient"] for block in status_blocks(receiver.read())[1:]] == [
            "rfc822; bounce@shop.example"
        ]
        assert len(receiver.mails) == 1

    run(journey)


def test_a_report_about_an_address_outside_ascii_uses_the_types_of_rfc_6533() -> None:
    async def journey() -> None:
        address = "bounce+ștefan@shop.example"
        async with outside() as (world, receiver):
            answers = await asyncio.to_thread(send_utf8, world.port, address)
            assert answers == [250, 250, 250]
            await world.settle(SECONDS)
        report = receiver.read()
        kinds = [part.get_content_type() for part in report.iter_parts()]
        assert kinds == ["text/plain", "message/global-delivery-status", "message/global-headers"]
        assert f"utf-8; {address}".encode() in receiver.mails[0][2]

    run(journey)


def send_utf8(port: int, address: str) -> list[int]:
    """Deliver a mail with an address outside ASCII in envelope and header (RFC 6531)."""
    raw = f"From: a@mail.gateway.example\r\nTo: {address}\r\nSubject: Factură\r\n\r\nx\r\n".encode()
    client = smtplib.SMTP("127.0.0.1", port, local_hostname="mail.gateway.example", timeout=SECONDS)
    try:
        client.ehlo()
        return [client.mail(RETURN_PATH, ["SMTPUTF8"])[0], client.rcpt(address)[0], client.data(raw)[0]]
    finally:
        client.close()


@pytest.mark.parametrize("name", ["bounce", "delay", "success", "away", "person"])
def test_the_null_return_path_is_never_answered(name: str) -> None:
    async def journey() -> None:
        async with outside() as (world, receiver):
            assert (await deliver(world, f"{name}@shop.example", return_path=""))[-1][:3] == "250"
            await world.settle(SECONDS)
        assert receiver.mails == []

    run(journey)


# -- people


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("ro", "Răspuns automat: Cont de plată CP-42", "concediu până pe 1 decembrie"),
        ("ru", "Автоматический ответ: Счёт на оплату CP-42", "До 1 декабря я в отпуске"),
        ("en", "Automatic reply: Invoice CP-42", "out of the office until 1 December"),
    ],
    ids=["ro", "ru", "en"],
)
def test_an_auto_reply_is_one_of_rfc_3834_in_the_language_of_the_mail(language: str, subject: str, words: str) -> None:
    async def journey() -> None:
        async with outside() as (world, receiver):
            await deliver(world, "away@shop.example", raw=invoice(language, to="away@shop.example"))
            await world.settle(SECONDS)
        [(mail_from, rcpt_tos, raw)] = receiver.mails
        answer = receiver.read()
        assert (mail_from, rcpt_tos, answer["To"]) == ("", [RETURN_PATH], RETURN_PATH)
        assert raw.partition(b"\r\n\r\n")[0].isascii()
        assert answer["Auto-Submitted"] == "auto-replied (vacation)"
        assert answer["In-Reply-To"] == "<m1@mail.gateway.example>"
        assert answer["From"].addresses[0].addr_spec == "away@shop.example"
        assert answer["Subject"] == subject
        assert words in answer.get_content()

    run(journey)


@pytest.mark.parametrize(
    ("language", "attribution"),
    [
        ("ro", "În mar., 24 nov. 2026 la 10:19, Acme Servicii SRL <noreply-invoice@mail.gateway.example> a scris:"),
        ("ru", "вт, 24 нояб. 2026 г. в 10:19, Acme Servicii SRL <noreply-invoice@mail.gateway.example>:"),
        ("en", "On Tue, Nov 24, 2026 at 10:19 AM Acme Servicii SRL <noreply-invoice@mail.gateway.example> wrote:"),
    ],
    ids=["ro", "ru", "en"],
)
def test_a_person_replies_to_reply_to_above_the_quoted_mail(language: str, attribution: str) -> None:
    async def journey() -> None:
        async with outside() as (world, receiver):
            await deliver(world, "person@shop.example", raw=invoice(language, to="person@shop.example"))
            await world.settle(SECONDS)
        [(mail_from, rcpt_tos, raw)] = receiver.mails
        answer = receiver.read()
        assert (mail_from, rcpt_tos, answer["To"]) == ("person@shop.example", [REPLY_TO], REPLY_TO)
        assert raw.partition(b"\r\n\r\n")[0].isascii()
        assert str(answer["From"]) == "Ana Rusu <person@shop.example>"
        assert answer["Subject"].startswith("Re: ")
        assert answer["Auto-Submitted"] is None
        assert answer["In-Reply-To"] == "<m1@mail.gateway.example>"
        assert answer["References"] == "<thread.t1@mail.gateway.example> <m1@mail.gateway.example>"
        assert answer.get_content_type() == "multipart/alternative"
        text, page = (part.get_content() for part in answer.iter_parts())
        said, found, quoted = text.partition(attribution)
        assert found and said.strip().endswith("Ana Rusu")
        assert "> Suma: 1.200,00 MDL" in quoted
        assert "<b>1.200,00 MDL</b>" in page.partition('<blockquote class="gmail_quote"')[2]

    run(journey)


def test_the_language_of_a_mail_that_names_none_is_told_by_its_letters() -> None:
    async def journey() -> None:
        async with outside() as (world, receiver):
            for subject in ("Счёт 7", "Factură 7", "Invoice 7"):
                raw = f"From: a@b.example\r\nTo: away@c.example\r\nSubject: {subject}\r\n\r\nx\r\n".encode()
                await deliver(world, "away@c.example", raw=raw, options=["BODY=8BITMIME", "SMTPUTF8"])
                await world.settle(SECONDS)
        assert [receiver.read(number)["Content-Language"] for number in range(3)] == ["ru", "ro", "en"]

    run(journey)


@pytest.mark.parametrize("name", ["away", "person", "bounce"])
@pytest.mark.parametrize(
    "raw",
    [
        b"From: =?x-none?q?=FF?= <a@b.example>\r\nContent-Type: text/plain; charset=klingon\r\n\r\n\xff\xfe\r\n",
        b"From: a@b.example\r\nSubject: \xff\xfe\r\nContent-Type: multipart/mixed\r\n\r\n--x\r\n",
        b"From: a@b.example\r\nMessage-ID: <[broken>\r\nReferences: " + b"<x@y> " * 100 + b"\r\n\r\nhello\r\n",
        b"\r\nno header at all\r\n",
    ],
)
def test_odd_mail_never_stops_the_world(name: str, raw: bytes) -> None:
    async def journey() -> None:
        async with outside() as (world, receiver):
            assert (await deliver(world, f"{name}@shop.example", raw=raw))[-1][:3] == "250"
            await world.settle(SECONDS)
            assert (await deliver(world, "bounce@shop.example"))[-1][:3] == "250"
            await world.settle(SECONDS)
        assert receiver.mails
        if b"From" in raw:
            assert len(receiver.mails) == 2

    run(journey)


# -- posting and keeping


def test_posting_is_tried_again_after_4xx_and_given_up_after_5xx() -> None:
    async def journey() -> None:
        async with outside() as (world, receiver):
            receiver.answers = ["451 4.3.0 later", "421 4.3.2 later", "550 5.1.1 never"]
            await deliver(world, "bounce@shop.example")
            await world.settle(SECONDS)
            assert (receiver.answers, receiver.mails) == ([], [])
            receiver.answers = ["451 4.3.0 later"]
            await deliver(world, "bounce@shop.example")
            await world.settle(SECONDS)
            assert len(receiver.mails) == 1

    run(journey)


def test_the_world_keeps_the_last_mails_only() -> None:
    async def journey() -> None:
        async with outside(keep=2) as (world, _):
            for name in ("a", "b", "c"):
                await deliver(world, f"{name}@shop.example")
            assert [mail.recipient for mail in world.received] == ["b@shop.example", "c@shop.example"]

    run(journey)


def test_waiting_finds_mail_that_is_there_or_still_to_come() -> None:
    async def journey() -> None:
        async with outside() as (world, _):
            waiting = asyncio.create_task(world.wait_for(lambda mail: mail.recipient.startswith("ana"), SECONDS))
            await asyncio.sleep(0)
            await deliver(world, "ion@shop.example")
            assert not waiting.done()
            await deliver(world, "ana@shop.example")
            assert (await waiting).recipient == "ana@shop.example"
            assert (
                await world.wait_for(lambda mail: mail.recipient.startswith("ion"), 0.01)
            ).return_path == RETURN_PATH
            with pytest.raises(TimeoutError):
                await world.wait_for(lambda mail: mail.recipient.startswith("nobody"), 0.01)

    run(journey)

"""The mail that journeys hand over and read, and the clients that hand it over: the standard library's, never ours.

Used by journeys.house and the tests. Clients block, so they run on threads of their own (`in_thread`).
"""

import asyncio
import smtplib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

AUTHOR = "facturare@acme.test"
SECONDS = 40.0  # after which a test that hears nothing has failed; the machine may be busy
# Clients have threads of their own: those of the event loop are the gateway's.
_CLIENTS = ThreadPoolExecutor(32, thread_name_prefix="client")


@dataclass(frozen=True)
class Answer:
    """What a server said: at the first RCPT that it refused, else to the whole mail (once per recipient for LMTP)."""

    code: int
    text: str
    stage: str
    all: tuple[tuple[int, str], ...] = ()

    def word(self, name: str) -> str:
        """The word after `name` in "Queued ID, thread ID"."""
        words = self.text.replace(",", " ").replace(";", " ").split()
        return words[words.index(name) + 1]


def hand_over(
    port: int,
    raw: bytes,
    recipients: Sequence[str],
    *,
    return_path: str = AUTHOR,
    login: tuple[str, str] | None = None,
    lmtp: bool = False,
    options: Sequence[str] = (),
    rcpt_options: Sequence[str] = (),
) -> Answer:
    """One SMTP (or LMTP) session with one mail: what the server said."""
    kind = smtplib.LMTP if lmtp else smtplib.SMTP
    with kind("127.0.0.1", port, local_hostname="erp.acme.test", timeout=SECONDS) as client:
        client.ehlo_or_helo_if_needed()
        if login:
            try:
                client.login(*login)
            except smtplib.SMTPAuthenticationError as refused:
                return _answer(refused.smtp_code, refused.smtp_error, "auth")
        mail_options = ["BODY=8BITMIME", *options]
        if not all(address.isascii() for address in (return_path, *recipients)):
            mail_options.append("SMTPUTF8")
            client.command_encoding = "utf-8"
        code, text = client.mail(return_path, mail_options)
        if code >= 400:
            return _answer(code, text, "mail")
        for recipient in recipients:
            code, text = client.rcpt(recipient, list(rcpt_options))
            if code >= 400:
                return _answer(code, text, "rcpt")
        answers = [client.data(raw)]
        if lmtp:
            answers += [client.getreply() for _ in recipients[1:]]
        said = tuple((code, text.decode()) for code, text in answers)
        return Answer(*said[0], "data", said)


async def in_thread(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Run a blocking client beside the gateway."""
    return await asyncio.get_running_loop().run_in_executor(_CLIENTS, partial(function, *args, **options))


def _answer(code: int, text: bytes | str, stage: str) -> Answer:
    said = text.decode() if isinstance(text, bytes) else text
    return Answer(code, said, stage, ((code, said),))


def read(raw: bytes) -> EmailMessage:
    """A mail, parsed by the standard library."""
    return message_from_bytes(raw, policy=policy.default)


def compose(
    subject: str = "Factura F-1",
    text: str = "Bună ziua!\n\nFactura e atașată.\n",
    *,
    author: str = f"Acme <{AUTHOR}>",
    to: str = "accept@client.test",
    headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A small mail, as a billing system or a person writes it."""
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"], mail["To"], mail["Subject"] = author, to, subject
    mail["Date"] = datetime.now(UTC)
    mail["Message-ID"] = f"<{time.time_ns()}.{id(mail)}@acme.test>"
    for name, value in headers:
        del mail[name]
        mail[name] = value
    mail.set_content(text, cte="quoted-printable")
    return mail.as_bytes()


def report(
    *recipients: tuple[str, str, str],
    to: str,
    message_id: str = "",
    report_id: str = "",
    headers: str = "",
) -> bytes:
    """A report (RFC 3464) of (address, action, status) for each recipient; `message_id` of the mail it returns."""
    blocks = "\n".join(
        f"Final-Recipient: rfc822; {address}\nAction: {action}\nStatus: {status}\n"
        f"Diagnostic-Code: smtp; {'451' if action == 'delayed' else '550'} {status} said about {address}\n"
        for address, action, status in recipients
    )
    returned = headers or f"Message-ID: <{message_id}>\nSubject: x\n"
    text = f"""From: Mail Delivery System <MAILER-DAEMON@mx.stranger.test>
To: {to}
Subject: Undelivered Mail Returned to Sender
Date: Tue, 24 Nov 2026 10:00:00 +0000
Message-ID: <{report_id or time.time_ns()}@mx.stranger.test>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=b"

--=b
Content-Type: text/plain

This is the mail system at mx.stranger.test.

--=b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.stranger.test

{blocks}
--=b
Content-Type: text/rfc822-headers

{returned}
--=b--
"""
    return text.replace("\n", "\r\n").encode()


def words(mail: EmailMessage, kind: str = "plain") -> str:
    """The text or HTML of a mail."""
    part = mail.get_body((kind,))
    assert part is not None, kind
    return str(part.get_content())

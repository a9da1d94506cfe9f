"""What the fake outside world writes back: delivery reports, out-of-office answers, and replies of people.

Called by `demo.world` with mail it has received; returns a `Letter` for it to post, or None when the mail has the null
return path, which nobody answers (RFC 3464 §2, RFC 3834 §2). Pure and slow (it parses whole mails): call it in a
thread. It reads mail by the standard library only, not by the gateway's own parsers, so that they cannot agree on an
error. Promises ASCII headers, CRLF line ends, real Message-IDs and dates.
"""

import html
import re
import uuid
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.dates import format_datetime as format_local

from gateway.demo.words import ATTRIBUTION, AWAY, AWAY_SUBJECT, CLOCK, REPLIES, REPORT_SUBJECT, REPORT_TEXT
from gateway.mail.status import Action, DeliveryStatus

ZONE = ZoneInfo("Europe/Chisinau")
QUOTED_CHARACTERS = 20_000  # of a mail that a person quotes
MAIL_QUEUE = timedelta(days=5)  # how long the world's servers say they keep trying
_CYRILLIC = re.compile("[А-Яа-яЁё]")
_ROMANIAN = re.compile("[ăâîșțĂÂÎȘȚ]")
_BODY = re.compile(r"<body[^>]*>(.*?)(?:</body|\Z)", re.I | re.S)
_QUOTE_STYLE = "margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex"


@dataclass(frozen=True, slots=True)
class Received:
    """One mail for one recipient, as the world took it. `return_path` is "" for the null return path."""

    recipient: str
    return_path: str
    raw: bytes
    at: datetime
    envid: str = ""  # RFC 3461 §4.4, decoded
    orcpt: str = ""  # RFC 3461 §4.2, "rfc822;ana@x.example"


@dataclass(frozen=True, slots=True)
class Letter:
    """What the world posts: `return_path` "" is the null return path."""

    return_path: str
    recipient: str
    raw: bytes


def compose_report(mail: Received, outcome: DeliveryStatus, hostname: str, at: datetime) -> Letter | None:
    """A delivery status notification (RFC 3464) about `mail`, with its header as it came."""
    if not mail.return_path:
        return None
    header = mail.raw.partition(b"\r\n\r\n")[0] + b"\r\n"
    status, header_type, scope = "delivery-status", "text/rfc822-headers", "7bit"
    if not mail.recipient.isascii():
        status = "global-delivery-status"  # RFC 6533 §3
    if not header.isascii():
        header_type = "message/global-headers"
    boundary = f"={uuid.uuid4().hex}"
    words = REPORT_TEXT[outcome.action].format(host=hostname, recipient=mail.recipient, words=outcome.words)
    fields = _report_fields(mail, outcome, hostname, at)
    bodies = [words.encode(), fields.encode(), header]
    if not all(body.isascii() for body in bodies):
        scope = "8bit"
    types = ["text/plain; charset=utf-8", f"message/{status}", header_type]
    parts = [
        f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: "
        f"{'7bit' if body.isascii() else '8bit'}\r\n\r\n".encode()
        + body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        for kind, body in zip(types, bodies, strict=True)
    ]
    top = [
        f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
        f"To: {mail.return_path}",
        f"Subject: {REPORT_SUBJECT[outcome.action]}",
        f"Date: {format_datetime(at)}",
        f"Message-ID: <{uuid.uuid4().hex}@{hostname}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
        f"Content-Transfer-Encoding: {scope}",
    ]
    raw = "\r\n".join(top).encode() + b"\r\n\r\n" + b"\r\n".join(parts) + f"\r\n--{boundary}--\r\n".encode()
    return Letter("", mail.return_path, raw)


def _report_fields(mail: Received, outcome: DeliveryStatus, hostname: str, at: datetime) -> str:
    """The body of the message/delivery-status part: the fields of the message, then of its recipient."""
    kind = "rfc822" if mail.recipient.isascii() else "utf-8"
    store = f"mailstore.{mail.recipient.rpartition('@')[2]}"
    lines = [f"Reporting-MTA: dns; {hostname}"]
    if mail.envid:
        lines.insert(0, f"Original-Envelope-Id: {mail.envid}")
    lines += [f"Arrival-Date: {format_datetime(mail.at)}", ""]
    if mail.orcpt:  # only when it was given (RFC 3464 §2.3.1)
        lines.append(f"Original-Recipient: {mail.orcpt.replace(';', '; ', 1)}")
    lines += [f"Final-Recipient: {kind}; {mail.recipient}", f"Action: {outcome.action}", f"Status: {outcome.status}"]
    if outcome.action is not Action.DELIVERED:
        lines += [f"Remote-MTA: dns; {store}", f"Diagnostic-Code: smtp; {outcome.words}"]
    lines.append(f"Last-Attempt-Date: {format_datetime(at)}")
    if outcome.action is Action.DELAYED:
        lines.append(f"Will-Retry-Until: {format_datetime(mail.at + MAIL_QUEUE)}")
    return "\n".join([*lines, ""])


def compose_auto_reply(mail: Received, at: datetime) -> Letter | None:
    """An out-of-office answer (RFC 3834) to the return path, in the mail's language.

    Real responders would keep silent on `Auto-Submitted` or `X-Auto-Response-Suppress`; this one is one of the many
    that do not look.
    """
    if not mail.return_path:
        return None
    original = message_from_bytes(mail.raw, policy=policy.default)
    language = language_of(original)
    until = format_date(at.astimezone(ZONE) + timedelta(days=7), "d MMMM", locale=language)
    name = _name_of(original, mail.recipient)
    answer = _answer(original, mail.recipient, mail.return_path, at)
    answer["Subject"] = f"{AWAY_SUBJECT[language]}: {_header(original, 'Subject')}"
    answer["Auto-Submitted"] = "auto-replied (vacation)"
    answer.set_content(_signed(AWAY[language].format(until=until), name), cte="quoted-printable")
    answer["Content-Language"] = language  # after the content, which sets the Content-* fields anew
    return Letter("", mail.return_path, answer.as_bytes())  # RFC 3834 §3.3: the null return path


def compose_reply(mail: Received, at: datetime) -> Letter | None:
    """What a person answers to the Reply-To, above the mail quoted as Gmail quotes it in that language."""
    if not mail.return_path:
        return None
    original = message_from_bytes(mail.raw, policy=policy.default)
    author = _first_address(original, "From")
    to = _first_address(original, "Reply-To")[1] or author[1]
    if not to:
        return None
    language = language_of(original)
    chosen = REPLIES[language][zlib.crc32(_header(original, "Message-ID").encode()) % len(REPLIES[language])]
    date = format_date(at.astimezone(ZONE) + timedelta(days=10), "d MMMM", locale=language)
    words = _signed(chosen.format(date=date), _name_of(original, mail.recipient))
    answer = _answer(original, mail.recipient, to, at)
    subject = _header(original, "Subject")
    answer["Subject"] = subject if subject.lower().startswith("re:") else f"Re: {subject}"
    when = format_local(mail.at, CLOCK[language], tzinfo=ZONE, locale=language)
    who = f"{author[0] or author[1]} <{author[1]}>"
    answer.set_content(words + "\n" + _quote_text(original, ATTRIBUTION[language].format(when=when, who=who)))
    link = f'{html.escape(author[0] or author[1])} &lt;<a href="mailto:{author[1]}">{author[1]}</a>&gt;'
    attribution = ATTRIBUTION[language].format(when=when, who=link)
    answer.add_alternative(_quote_html(original, words, attribution), subtype="html")
    return Letter(mail.recipient, to, answer.as_bytes())


def language_of(original: EmailMessage) -> str:
    """ro, ru or en: the mail's Content-Language, else by the letters of its subject and text."""
    tag = _header(original, "Content-Language").strip().lower()[:2]
    if tag in REPLIES:
        return tag
    text = _header(original, "Subject") + _text(original, "plain")
    return "ru" if _CYRILLIC.search(text) else "ro" if _ROMANIAN.search(text) else "en"


def _answer(original: EmailMessage, sender: str, to: str, at: datetime) -> EmailMessage:
    """An answer without subject and body (RFC 5322 §3.6.4)."""
    answer = EmailMessage(policy=policy.SMTP.clone(utf8=not (sender + to).isascii()))
    name, domain = _name_of(original, sender), sender.rpartition("@")[2]
    answer["From"] = Address(display_name=name, addr_spec=sender)
    answer["To"] = to
    answer["Date"] = at.astimezone(ZONE)
    answer["Message-ID"] = f"<{uuid.uuid4().hex}@{domain}>"
    replied = _header(original, "Message-ID").strip()
    if replied:
        answer["In-Reply-To"] = replied
        answer["References"] = " ".join([*_header(original, "References").split()[-20:], replied])
    return answer


def _header(original: EmailMessage, name: str) -> str:
    """A header on one line; "" when it is missing or not readable."""
    try:
        return " ".join(str(original.get(name, "")).split())
    except (ValueError, LookupError, TypeError, AttributeError):  # the standard library's parsers on odd headers
        return ""


def _first_address(original: EmailMessage, name: str) -> tuple[str, str]:
    """(display name, address) of the first mailbox in a header."""
    found = getaddresses([_header(original, name)])
    return found[0] if found else ("", "")


def _name_of(original: EmailMessage, recipient: str) -> str:
    """What the mail calls its recipient, or ""."""
    found = getaddresses([_header(original, "To"), _header(original, "Cc")])
    return next((name for name, address in found if address.lower() == recipient.lower()), "")


def _signed(words: str, name: str) -> str:
    """Closing words end with a comma where a name follows; without a name they do not."""
    return f"{words}\n{name}\n" if name else f"{words.rstrip(',')}\n"


def _text(original: EmailMessage, subtype: str) -> str:
    part = original.get_body((subtype,))
    try:
        content = part.get_content() if part is not None else ""
    except (ValueError, LookupError, KeyError):  # a charset that does not exist
        content = ""
    return str(content)[:QUOTED_CHARACTERS].replace("\r\n", "\n")


def _quote_text(original: EmailMessage, attribution: str) -> str:
    lines = _text(original, "plain").rstrip().split("\n")
    return "\n".join([attribution, "", *(f"> {line}".rstrip() for line in lines), ""])


def _quote_html(original: EmailMessage, words: str, attribution: str) -> str:
    body = _text(original, "html")
    found = _BODY.search(body)
    quoted = (found[1] if found else body) or html.escape(_text(original, "plain")).replace("\n", "<br>\n")
    said = html.escape(words.rstrip()).replace("\n", "<br>\n")
    return (
        f'<div dir="ltr">{said}</div><br>\n<div class="gmail_quote gmail_quote_container">'
        f'<div dir="ltr" class="gmail_attr">{attribution}<br></div>\n'
        f'<blockquote class="gmail_quote" style="{_QUOTE_STYLE}">{quoted}</blockquote></div>\n'
    )

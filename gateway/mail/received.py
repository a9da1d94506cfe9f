"""A received mail as one value: what it is and why, who wrote it, its new words, its attachments, the report it holds.

Called by the inbound room inside a worker process, and by the batch command. Promises: never raises on any bytes, is
bounded (25 MB, 100 KB of header, 50 levels, 1,000 parts), gives frozen values that pickle. It trusts nothing: every
name and address in it is what the mail claims.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.mail.absence import Absence, read_absence
from gateway.mail.classify import LEFT, Kind, classify
from gateway.mail.dsn.addresses import find_addresses
from gateway.mail.dsn.dates import read_date
from gateway.mail.dsn.decode import decode_words, strip_html
from gateway.mail.dsn.feedback import read_feedback, read_receipt
from gateway.mail.dsn.notifications import find_notification, read_notification
from gateway.mail.dsn.parts import Mail, Part, read_params, read_parts
from gateway.mail.dsn.read import judged, read_report
from gateway.mail.dsn.report import Report
from gateway.mail.dsn.returned import read_id, read_ids
from gateway.mail.dsn.scope import notice_text, scope_of
from gateway.mail.forwarded import forwarded_report
from gateway.mail.quoting import split_reply
from gateway.mail.reasons import reason_of
from gateway.mail.status import Action

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]')
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.I)
TEXT_LIMIT = 5_000_000


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not the words: `filename` is safe to store, `content_type` is what the mail claims."""

    filename: str
    content_type: str
    size: int
    sha256: str
    part: int  # index into the parts, for `read_attachment`
    content_id: str = ""
    inline: bool = False


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """What one mail says. Unknown text is "", unknown time None."""

    kind: Kind
    why: tuple[str, ...]  # evidence in words
    subject: str = ""
    author_name: str = ""
    author: str = ""  # address
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    delivered_to: tuple[str, ...] = ()  # Delivered-To, X-Original-To, Envelope-To
    reply_to: tuple[str, ...] = ()
    return_path: str | None = None  # "" is the null return path, None when the field is missing
    date: datetime | None = None
    message_id: str = ""
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    auto_submitted: str = ""
    text: str = ""  # the new words
    quoted: str = ""  # the rest: quotes and signature
    html: str = ""
    attachments: tuple[Attachment, ...] = ()
    hops: int = 0  # Received fields
    report: Report | None = None
    forwarded: bool = False  # a person passed the report on
    absence: Absence | None = None  # what an automatic answer says of its author


def read_mail(raw: bytes) -> ReceivedMail:
    """All of a mail: its kind, header, words, attachments and report."""
    mail = read_parts(raw)
    head = _read_judged(mail)
    text, page = _words(mail)
    reply = split_reply(text)
    absence = _absence(head, reply.text) if head.kind is Kind.AUTO_REPLY else None
    return replace(
        head, text=reply.text, quoted=reply.quoted, html=page, attachments=_attachments(mail), absence=absence
    )


def read_mails(raws: Sequence[bytes]) -> list[ReceivedMail]:
    """Several mails, each as `read_mail` does: a task of a worker costs as much as a small mail."""
    return [read_mail(raw) for raw in raws]


def _absence(head: ReceivedMail, text: str) -> Absence:
    own = frozenset(address.lower() for address in (head.author, *head.to, *head.cc, *head.reply_to))
    return read_absence(text, head.date, own, left=LEFT in head.why)


def read_head(raw: bytes) -> ReceivedMail:
    """As `read_mail`, without words and attachments: for those who only want the report."""
    return _read_judged(read_parts(raw))


def read_attachment(raw: bytes, attachment: Attachment) -> bytes:
    """The bytes of an attachment that `read_mail` found in the same mail; b"" when it is not there."""
    mail = read_parts(raw)
    return mail.body(mail.parts[attachment.part]) if 0 <= attachment.part < len(mail.parts) else b""


def _read_judged(mail: Mail) -> ReceivedMail:
    top = mail.top
    kind, why = classify(mail)
    report: Report | None = None
    forwarded = False
    if kind in (Kind.BOUNCE, Kind.FEEDBACK) and "it is a sending service's notification" in why:
        notification = find_notification(notice_text(mail, scope_of(mail, -1)))
        report = read_notification(notification) if notification else None
    elif kind is Kind.BOUNCE:
        report = read_report(mail)
    elif kind is Kind.FEEDBACK:
        report = read_feedback(mail)
    elif kind is Kind.READ_RECEIPT:
        report = read_receipt(mail)
    elif kind in (Kind.PERSON, Kind.AUTOMATIC):
        report, inner_why = forwarded_report(mail)
        if report:
            kind, why, forwarded = Kind.BOUNCE, inner_why, True
    if kind is Kind.BOUNCE and report:
        kind = kind_of(report)
    return replace(_header(top), kind=kind, why=why, report=report, forwarded=forwarded)


def judge_again(mail: ReceivedMail) -> ReceivedMail:
    """A mail that another process read, with the reasons that the rules of this one give (`reasons.ask_first`)."""
    if mail.report is None or not mail.report.recipients:
        return mail
    recipients = tuple(
        replace(one, status=one.status.because(reason_of(judged(one)))) for one in mail.report.recipients
    )
    return replace(mail, report=replace(mail.report, recipients=recipients))


def kind_of(report: Report) -> Kind:
    """Bounce when it failed for anybody, else delay, else success; a report without recipients is a bounce."""
    actions = {one.status.action for one in report.recipients}
    if Action.FAILED in actions or not actions:
        return Kind.BOUNCE
    return Kind.DELAY if Action.DELAYED in actions else Kind.SUCCESS


def _header(top: Part) -> ReceivedMail:
    author = decode_words(_first(top, "from")[:20_000])
    address = next((hit.address for hit in find_addresses(author, 20)), "")
    in_reply_to = read_ids(top.fields.get("in-reply-to", []))
    return ReceivedMail(
        Kind.PERSON,
        (),
        subject=top.first("subject")[:2000],
        author_name=_display_name(author, address),
        author=address,
        to=_addresses(top, "to"),
        cc=_addresses(top, "cc"),
        delivered_to=_addresses(top, "delivered-to", "x-original-to", "envelope-to", "x-envelope-to"),
        reply_to=_addresses(top, "reply-to"),
        return_path=_return_path(top),
        date=read_date(_first(top, "date")),
        message_id=read_id(_first(top, "message-id")) if "message-id" in top.fields else "",
        in_reply_to=in_reply_to,
        references=read_ids(top.fields.get("references", [])),
        auto_submitted=_first(top, "auto-submitted").partition(";")[0].strip().lower()[:100],
        hops=len(top.fields.get("received", ())),
    )


def _first(part: Part, name: str) -> str:
    found = part.fields.get(name)
    return found[0] if found else ""


def _return_path(top: Part) -> str | None:
    if "return-path" not in top.fields:
        return None
    return next((hit.address for hit in find_addresses(_first(top, "return-path")[:2000], 2)), "")


def _addresses(top: Part, *names: str) -> tuple[str, ...]:
    values = [decode_words(value[:50_000]) for name in names for value in top.fields.get(name, ())[:20]]
    return tuple(dict.fromkeys(hit.address for value in values for hit in find_addresses(value, 1000)))


def _display_name(author: str, address: str) -> str:
    name = (
        author.partition("<")[0]
        if "<" in author
        else re.sub(r"[^()]{0,300}\(([^()]{0,300})\).*", r"\1", author)
        if "(" in author
        else ""
    )
    name = (
        " ".join(name.replace(address, "").strip().strip("\"'").replace('\\"', '"').split())
        if address
        else name.strip()
    )
    return "".join(c for c in name if c.isprintable())[:200]


def _words(mail: Mail) -> tuple[str, str]:
    """(the words as text, the HTML or "") of the mail itself, enclosed messages aside."""
    texts: list[str] = []
    pages: list[str] = []
    for part in mail.parts:
        if part.inside != -1 or _is_attachment(part):
            continue
        if part.kind == "text/plain":
            texts.append(mail.text(part)[:TEXT_LIMIT])
        elif part.kind == "text/html":
            pages.append(mail.text(part)[:TEXT_LIMIT])
    text = "\n".join(texts)
    if not text.strip() and pages:
        text = "\n".join(strip_html(page) for page in pages)
    return text, "\n".join(pages)


def _is_attachment(part: Part) -> bool:
    disposition = _first(part, "content-disposition").partition(";")[0].strip().lower()
    if part.kind in ("text/plain", "text/html"):
        return disposition == "attachment" or (bool(_filename(part)) and disposition != "inline")
    return not part.kind.startswith("multipart/")


def _attachments(mail: Mail) -> tuple[Attachment, ...]:
    found: list[Attachment] = []
    for index, part in enumerate(mail.parts):
        if part.inside != -1 or not _is_attachment(part):
            continue
        body = mail.body(part)
        inline = _first(part, "content-disposition").strip().lower().startswith("inline") or "content-id" in part.fields
        name = safe_filename(_filename(part), len(found) + 1, part.kind)
        found.append(
            Attachment(
                name,
                part.kind,
                len(body),
                hashlib.sha256(body).hexdigest(),
                index,
                read_id(_first(part, "content-id")),
                inline,
            )
        )
    return tuple(found)


def _filename(part: Part) -> str:
    for value in (_first(part, "content-disposition"), _first(part, "content-type")):
        params = read_params(value.replace("\n", " ")) if value else {}
        name = params.get("filename") or params.get("name") or ""
        if name:
            return decode_words(_decode_extended(name))
    return ""


def _decode_extended(name: str) -> str:
    """A value in RFC 2231 §4 form: charset'language'%41."""
    match = re.match(r"([\w.:-]{0,40})'[\w-]{0,40}'(.*)", name, re.S)
    if not match or "%" not in match[2]:
        return name
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda hit: bytes([int(hit[1], 16)]), match[2].encode("utf-8", "replace"))
    try:
        return raw.decode(match[1] or "utf-8", "replace")
    except (LookupError, ValueError):
        return raw.decode("utf-8", "replace")


def safe_filename(name: str, number: int, kind: str) -> str:
    """A name that is safe in any file system and header: no path, control or direction marks, 120 characters."""
    name = name.replace("\\", "/").rpartition("/")[2]
    name = " ".join(_UNSAFE.sub("_", name).split()).strip(". ")
    if not name:
        extension = {
            "message/rfc822": ".eml",
            "text/plain": ".txt",
            "text/html": ".html",
            "application/pdf": ".pdf",
            "image/jpeg": ".jpg",
            "image/png": ".png",
        }.get(kind, "")
        return f"attachment-{number}{extension}"
    if _DEVICE.match(name):
        name = "_" + name
    if len(name) > 120:
        stem, dot, extension = name.rpartition(".")
        name = f"{stem[: 115 - len(extension)]}.{extension}" if dot and len(extension) <= 10 else name[:120]
    return name

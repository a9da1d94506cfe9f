"""What a request would send, seen beforehand: the mail with its header and parts, to whom, when, and the door's answer.

Called by the HTTP API. It is the door itself that prepares and keeps the mail, in a transaction that is always undone:
so what is refused, held, stopped or stored only is that here too, in the same words, and nothing stays. A document is
rendered in a worker as its mail would be, without drawing the PDF; a composed mail is what would be signed and sent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.mail.address import parse_address
from gateway.mail.header import date as date_field
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.message import Head, decode_text, read_head, walk
from gateway.outbound.attachments import Attachment, ascii_filename, own_pdf
from gateway.outbound.branding import frame_fields
from gateway.outbound.desk import Desk
from gateway.outbound.filling import texts_of
from gateway.outbound.handed import Handed, Ready, Receipt
from gateway.outbound.ingredients import brand_of, related_of, without_files
from gateway.outbound.rendered import Rendered, compose
from gateway.outbound.rendering import render_mail
from gateway.outbound.request_preview import Render, within_limits
from gateway.outbound.requests import Wanted, hand_over
from gateway.outbound.submission import BLOCKING, Door, at_desk, keep_handed, prepare
from gateway.outbound.suppression import get_suppressed
from gateway.outbound.texts import language_of
from gateway.outbound.triggers import choice_of
from gateway.store.database import Transaction, to_ms
from gateway.store.messages import Message
from gateway.store.preferences import is_optional
from gateway.store.threads import get_thread


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A field of the header, decoded for people (RFC 2047)."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A mail as it would be. `header` and words are empty when nothing would be sent, and `answer` says why.

    `stopped` are the recipients that would not be mailed; `thread_id` is "" when the mail would begin a thread.
    """

    outcome: str
    answer: str
    thread_id: str
    template: str
    language: str
    recipients: tuple[str, ...]
    stopped: tuple[str, ...]
    header: tuple[HeaderField, ...] = ()
    subject: str = ""
    text: str = ""
    html: str = ""
    attachments: tuple[str, ...] = ()


class _Undone(Exception):
    """What keeping a mail came to: raised, so that nothing of it stays."""

    def __init__(self, receipt: Receipt, stopped: tuple[str, ...]) -> None:
        self.receipt, self.stopped = receipt, stopped
        super().__init__(receipt.outcome)


async def foresee(door: Door, render: Render, wanted: Wanted, now: datetime) -> Foreseen:
    """What `requests.take` would do. Raises what it would raise."""
    handed = await hand_over(door, wanted, now)
    seen: list[tuple[Desk, Ready, _Undone]] = []

    async def try_it(desk: Desk) -> Receipt:
        ready = await prepare(door, desk, handed, now)
        try:
            return await door.database.write(_keep_and_undo, door, desk, handed, ready, now)
        except _Undone as undone:
            seen.append((desk, ready, undone))
            return replace(undone.receipt, booked=())

    await at_desk(door, handed.tenant_id, try_it)
    desk, ready, undone = seen[-1]
    return await _tell(door, render, desk, ready, undone, now)


def _keep_and_undo(tx: Transaction, door: Door, desk: Desk, handed: Handed, ready: Ready, now: datetime) -> Receipt:
    receipt = keep_handed(tx, door, desk, handed, ready, now)
    addresses = [rcpt.address for rcpt in ready.recipients]
    stopped = [] if "suppressed" in ready.control.force else [
        str(one) for one in addresses if get_suppressed(tx, to_ms(now), desk.tenant.id, one.key) is not None
    ]  # fmt: skip
    raise _Undone(receipt, tuple(stopped))


async def _tell(door: Door, render: Render, desk: Desk, ready: Ready, undone: _Undone, now: datetime) -> Foreseen:
    receipt = undone.receipt
    message = replace(ready.message, thread_id=receipt.thread_id)
    thread = await door.database.read(get_thread, desk.tenant.id, receipt.thread_id) if receipt.thread_id else None
    thread_id = thread.id if thread else ""
    sent = receipt.outcome != "stored"
    code, rendered, raw = message.language or desk.tenant.language, None, ready.raw if sent else b""
    if sent and ready.document is not None:
        code = str(message.detail.get("language", "")) or language_of(ready.document, message.language)
        rendered = await _render(door, render, desk, replace(ready, message=message), code, now)
        raw = await asyncio.to_thread(_whole, door, desk, message, rendered, now)
    found = Foreseen(
        receipt.outcome, _answer(receipt, bool(thread)), thread_id, message.template, code,
        tuple(str(rcpt.address) for rcpt in ready.recipients), undone.stopped,
    )  # fmt: skip
    if not raw:
        return found
    found = await asyncio.to_thread(_read, found, raw) if len(raw) > BLOCKING else _read(found, raw)
    if rendered is None:
        return found
    return replace(found, html=rendered.html, attachments=tuple(one.filename for one in rendered.attachments))


def _answer(receipt: Receipt, known: bool) -> str:
    """The door's sentence without what is gone again: the message's id, and that of a thread that it would begin."""
    text, message_id = receipt.text, receipt.message_id
    if message_id and receipt.outcome != "duplicate":
        text = text.replace(f"; cancel with: gateway queue cancel {message_id}", "").replace(f" {message_id}", "")
    return text if known else text.replace(f", thread {receipt.thread_id}", "")


async def _render(door: Door, render: Render, desk: Desk, ready: Ready, code: str, now: datetime) -> Rendered:
    """The mail of a document, in the words that composition would give it."""
    message, document = ready.message, ready.document
    assert document is not None
    related = await door.database.read(related_of, desk.tenant.id, document)
    preferences = ""
    if is_optional(message.template, message.detail):
        preferences = door.letterhead.preferences_url(desk.tenant, message.thread_id)
    attach = bool(message.detail.get("attach_pdf", choice_of(message.template, desk.settings).attach_pdf))
    made: Rendered = await within_limits(
        render, render_mail, message.template, document.model_copy(update={"language": code}), brand_of(desk),
        now.astimezone(ZoneInfo(desk.tenant.timezone)).date(), attach, str(message.detail.get("personal", "")),
        tuple(without_files(one) for one in related), texts_of(desk.settings, message.template, code),
        preferences, None, str(message.detail.get("button", "")), (), False,
    )  # fmt: skip
    if not attach or own_pdf(document) is not None:
        return made
    pdf = Attachment(ascii_filename(document.number, "pdf"), "application/pdf", b"")  # which nobody looks at
    return replace(made, attachments=(pdf, *made.attachments))


def _whole(door: Door, desk: Desk, message: Message, rendered: Rendered, now: datetime) -> bytes:
    """The message with its header as composition frames it."""
    frame = door.letterhead.frame(
        desk.tenant, desk.author, message.id, message.thread_id, now, template=message.template,
        language=rendered.language, optional=is_optional(message.template, message.detail),
    )  # fmt: skip
    to, cc = (_boxes(message.detail.get(kind, ())) for kind in ("to", "cc"))
    return compose(rendered, to, cc, [*frame_fields(frame), date_field(now)])


def _boxes(named: Sequence[tuple[str, str]]) -> list[Mailbox]:
    return [Mailbox(name, parse_address(address)) for name, address in named]


def _read(found: Foreseen, raw: bytes) -> Foreseen:
    """The header and the words of a mail, and the names of its files."""
    head = read_head(raw)
    words, files = {"text/plain": "", "text/html": ""}, []
    for part in walk(raw):
        if part.content_type.startswith("multipart/"):
            continue
        if part.disposition == "attachment" or part.filename or words.get(part.content_type, "-"):
            files.append(part.filename or part.content_type)
        else:
            words[part.content_type] = decode_text(raw, part)
    return replace(
        found, header=_fields(head), subject=head.text("subject"), text=words["text/plain"], html=words["text/html"],
        attachments=tuple(files),
    )  # fmt: skip


def _fields(head: Head) -> tuple[HeaderField, ...]:
    """Every field in order."""
    left: dict[str, list[str]] = {}
    found = []
    for item in head.fields:
        name = item.raw.partition(b":")[0].decode("ascii", "replace").strip()
        values = left.setdefault(name.lower(), list(head.texts(name)))
        found.append(HeaderField(name, values.pop(0)))
    return tuple(found)

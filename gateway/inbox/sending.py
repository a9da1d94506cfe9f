"""A clerk sends a document by hand: what the form is filled with, the mail before it goes, sending, and taking it back.

Called by the pages. The payer's address is the one that is stored on the document (S3), the template follows the
document's state, and what leaves goes by the door as whatever programs hand over (`outbound.requests`). It leaves in
ten seconds; taken back until then, the document is as unsent as before. Refuses in words; without an address nothing
is sent, whatever the gateway knows besides (S6).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.inbox.addressing import mailboxes
from gateway.inbox.documents import DocumentLine, read_line
from gateway.mail.reply import Refused
from gateway.outbound.automation import mark_as_sent, taken_back
from gateway.outbound.control import Control
from gateway.outbound.customers import known_customer
from gateway.outbound.desk import Desk
from gateway.outbound.document_mail import chosen_template
from gateway.outbound.documents import Document, Recipient, read_document, sendable
from gateway.outbound.queue import cancel, is_waiting
from gateway.outbound.request_preview import Preview, preview
from gateway.outbound.requests import Piece, Wanted, take
from gateway.outbound.submission import Door
from gateway.outbound.suppression import get_suppressed
from gateway.outbound.texts import LANGUAGES, language_of, templates
from gateway.store.database import Transaction, to_ms
from gateway.store.documents import StoredDocument, get_document
from gateway.store.events import add_event
from gateway.store.messages import get_message
from gateway.store.reminding import COMPOSED
from gateway.store.undoing import UNDO_MS

PERSONAL_LENGTH = 5_000
_ANYONE = "customer@client.example"  # in place of an address that is not known yet: no word of a preview depends on it


@dataclass(frozen=True, slots=True)
class Sheet:
    """The form before it is filled. Addresses as people write them, `Ana <ana@x.example>`.

    `to`, `cc` and `bcc` are the document's own; `known` are others of its customer; `stopped` those to which no mail
    goes. `template` is the one that the document's state asks for, "" with `wrong` when there is none (in words).
    """

    line: DocumentLine
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    known: tuple[str, ...]
    stopped: tuple[str, ...]
    templates: tuple[tuple[str, bool], ...]  # that fit its type, and whether the tenant uses each
    template: str
    language: str
    wrong: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What a clerk wants to send. `key` names the form that was filled: what is sent twice goes once."""

    tenant_id: str
    by: str
    name: tuple[str, str]  # (type, id)
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    template: str = ""  # "": by the document's state
    language: str = ""  # "": the customer's
    personal: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was queued, or is there already (`again`); until `leaves_at` `take_back` brings it back."""

    message_id: str
    thread_id: str
    leaves_at: datetime
    again: bool


def _need(tx: Transaction, tenant_id: str, name: tuple[str, str]) -> StoredDocument:
    found = get_document(tx, tenant_id, *name)
    if found is None:
        raise Refused(404, "5.1.1", f"there is no document {'/'.join(name)[:200]!r}")
    return found


# -- the form


async def lay_out(door: Door, tenant_id: str, name: tuple[str, str], now: datetime) -> Sheet:
    """The form for a document. Raises Refused 404 when the tenant has no such one, 554 for one that cannot be sent."""
    desk = await door.desks.current(tenant_id)
    stored = await door.database.read(_need, tenant_id, name)
    if desk is None:
        raise Refused(404, "5.1.1", "there is no such tenant")
    if stored.body.startswith(COMPOSED):
        again = "hand it over as data, then it can be sent again"
        raise Refused(554, "5.6.0", f"{stored.number} came as a composed mail; {again}")
    document = await asyncio.to_thread(read_document, stored.body)
    sendable(document)
    return await door.database.read(_fill, now, desk, stored, document)


def _fill(tx: Transaction, now: datetime, desk: Desk, stored: StoredDocument, document: Document) -> Sheet:
    tenant_id, today = desk.tenant.id, now.astimezone(ZoneInfo(desk.tenant.timezone)).date()
    line = read_line(tx, tenant_id, stored.type, stored.id, today)
    assert line is not None  # documents are never deleted
    template, wrong = "", ""
    try:
        template = chosen_template(document, Control(), stored.sent_at is not None, today, desk.uses)
    except Refused as refused:
        wrong = refused.reply.text
    own, known = document.recipients(), known_customer(tx, tenant_id, document)
    keys = {one.address.key for one in own}
    others = tuple(one for one in known.recipients if one.address.key not in keys)
    now_ms = to_ms(now)
    stopped = [one for one in (*own, *others) if get_suppressed(tx, now_ms, tenant_id, one.address.key) is not None]
    to, cc, bcc = (tuple(_shown(one) for one in own if one.kind == kind) for kind in ("to", "cc", "bcc"))
    return Sheet(
        line=line,
        to=to,
        cc=cc,
        bcc=bcc,
        known=tuple(_shown(one) for one in others),
        stopped=tuple(str(one.address) for one in stopped),
        templates=tuple((key, desk.uses(key)) for key, one in templates().items() if document.type in one.fits),
        template=template,
        language=language_of(document, known.language or desk.tenant.language),
        wrong=wrong,
    )


def _shown(one: Recipient) -> str:
    return f"{one.name} <{one.address}>" if one.name and not set(one.name) & set('<>",;@') else str(one.address)


# -- before it goes, and as it goes


async def look_ahead(door: Door, render: Callable[..., Awaitable[Any]], wanted: Sending, now: datetime) -> Preview:
    """The mail as it would be. Raises Refused as sending it would."""
    return await preview(
        door, render, wanted.tenant_id, wanted.name, (_ANYONE,), now,
        template=wanted.template, language=wanted.language, personal=wanted.personal[:PERSONAL_LENGTH],
    )  # fmt: skip


async def send_document(door: Door, wanted: Sending, now: datetime) -> Sent:
    """Queue the mail, to leave in ten seconds. Raises Refused: 404 for what is not the tenant's, else why not."""
    sheet = await lay_out(door, wanted.tenant_id, wanted.name, now)
    template = _check(sheet, wanted)
    if not wanted.to:
        raise Refused(554, "5.5.3", "nobody is named whom it goes to; nothing was sent")
    await _check_addresses(door, wanted, now)
    leaves_at = now + timedelta(milliseconds=UNDO_MS)
    personal = wanted.personal.strip().encode("utf-8", "replace")
    said = (wanted.name, wanted.to, wanted.cc, wanted.bcc, wanted.template, wanted.language, wanted.personal)
    fields = [("X-AR-Send-At", leaves_at.isoformat()), ("X-AR-Template", template), ("X-AR-Force", "limit")]
    fields += [("X-AR-Language", wanted.language)] if wanted.language else []
    fields += [("X-AR-Idempotency-Key", f"{wanted.by}/{wanted.key}")] if wanted.key else []
    receipt = await take(door, Wanted(
        wanted.tenant_id, wanted.by, "", hashlib.sha256(repr(said).encode()).hexdigest(), tuple(fields),
        wanted.to, wanted.cc, wanted.bcc, document=wanted.name,
        pieces=(Piece("text/plain", personal),) if personal else (),
    ), now)  # fmt: skip
    return Sent(receipt.message_id, receipt.thread_id, leaves_at, receipt.outcome == "duplicate")


def _check(sheet: Sheet, wanted: Sending) -> str:
    """The template to send with. Refuses here what the door would also note in the thread: a clerk sees it at once."""
    template = wanted.template or sheet.template
    if not template:
        raise Refused(554, "5.6.0", sheet.wrong)
    uses = dict(sheet.templates)
    if template not in uses:
        raise Refused(554, "5.6.0", f"the template {template[:60]!r} does not fit a document of type {sheet.line.type}")
    if not uses[template]:
        raise Refused(550, "5.7.1", f"the template {template} is off for this tenant; turn it on, or use another")
    if sheet.line.status == "voided":
        raise Refused(554, "5.6.0", sheet.wrong)
    if len(wanted.personal) > PERSONAL_LENGTH:
        raise Refused(501, "5.5.4", f"the message is longer than {PERSONAL_LENGTH} characters")
    if wanted.language and wanted.language not in LANGUAGES:
        raise Refused(501, "5.5.4", f"{wanted.language[:10]!r} is no language; write ro, ru or en")
    return template


async def _check_addresses(door: Door, wanted: Sending, now: datetime) -> None:
    """Refuse what would reach nobody: it would look sent, and be none."""
    addresses = [one.address.key for one in mailboxes((*wanted.to, *wanted.cc, *wanted.bcc))]

    def ask(tx: Transaction) -> list[str]:
        found = (get_suppressed(tx, to_ms(now), wanted.tenant_id, one) for one in addresses)
        return [one.address for one in found if one is not None]

    stopped = await door.database.read(ask)
    if len(stopped) == len(addresses):
        raise Refused(550, "5.7.1", f"mail to {', '.join(stopped)} is stopped; nothing was sent")


def take_back(tx: Transaction, now: datetime, tenant_id: str, message_id: str, by: str) -> tuple[str, str]:
    """Cancel a document's mail that has not left; the document, (type, id), is as unsent as before.

    The automatic mail of the document that this one cancelled waits again, for when it was to go.

    Raises Refused 404 when the tenant has no such mail, 409 when it has left.
    """
    made = get_message(tx, tenant_id, message_id)
    if made is None or made.direction != "out" or made.kind != "document":
        raise Refused(404, "5.1.1", f"there is no mail {message_id[:40]}")
    if not is_waiting(tx, tenant_id, message_id) or not cancel(tx, to_ms(now), tenant_id, (message_id, 0), by):
        raise Refused(409, "5.5.1", "it has left already; write to the customer once more")
    taken_back(tx, now, made, by)
    return made.document_type, made.document_id


def note_sent(tx: Transaction, now: datetime, tenant_id: str, name: tuple[str, str], by: str) -> None:
    """The document reached its customer another way (S30). Raises Refused 404 when there is none, 409 when it was."""
    found = _need(tx, tenant_id, name)
    if found.sent_at is not None:
        raise Refused(409, "5.5.1", f"{found.number} was sent already")
    if found.status == "draft":
        raise Refused(554, "5.6.0", f"{found.number} is a draft; it cannot have been sent")
    mark_as_sent(tx, now, tenant_id, *name)
    add_event(tx, to_ms(now), tenant_id, "document.sent", thread_id=found.thread_id, data={"by": by})

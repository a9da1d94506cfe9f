"""THE DOOR of mail that leaves: `accept` is the only way a message leaves a tenant.

SMTP, the CLI and the pages hand over here. A message that somebody composed is branded and signed now
(`relay_mail`); a document is checked now and rendered when it is due (`document_mail`, `composition`). Then one
transaction keeps thread, message and one delivery per recipient, each with its own return path (`accepting`), and only
after its commit is a receipt returned: what is queued is what is sent. Refuses in words, with nothing half stored.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.mail.message import Head, decode, read_head, walk
from gateway.mail.reply import Refused
from gateway.outbound.accepting import Terms, keep
from gateway.outbound.control import Control, read_control
from gateway.outbound.desk import Desk, Desks, Stale
from gateway.outbound.document_mail import address_document, document_message
from gateway.outbound.handed import Handed, Rcpt, Ready, Receipt
from gateway.outbound.handed_document import Found, find_document, where
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.queue import Booked
from gateway.outbound.relay_mail import frame_relay
from gateway.outbound.retry import Retry
from gateway.outbound.texts import templates
from gateway.outbound.triggers import need_trigger
from gateway.store.database import Database, Transaction, new_id
from gateway.store.documents import get_document
from gateway.store.tenants import tenant_revision
from gateway.store.threads import find_thread
from gateway.wire.workers import WorkerFailed

BLOCKING = 256 * 1024  # bytes from which branding and signing would hold the event loop up for too long
HOPS = 50  # RFC 5321 §6.3


@dataclass(frozen=True, slots=True)
class Door:
    """What `accept` needs of the house. `booked` is told what this node may send at once, after the commit."""

    database: Database
    desks: Desks
    letterhead: Letterhead
    retry: Retry
    node: str
    lease_ms: int
    booked: Callable[[Sequence[Booked]], None] = field(default=lambda _: None)
    has_room: Callable[[], bool] = field(default=lambda: True)  # whether this node can send at once at all
    run: Callable[..., Awaitable[Any]] | None = None  # runs a function in a worker process; None: in this one


async def accept(door: Door, handed: Handed, now: datetime) -> Receipt:
    """Take a message over. Raises Refused in words; StoreUnavailable when nothing could be committed."""
    desk = await door.desks.get(handed.tenant_id)
    handed = replace(handed, recipients=_once(handed.recipients)) if len(handed.recipients) > 1 else handed
    for _ in range(3):
        try:
            if desk is None or desk.tenant.suspended:
                raise Refused(550, "5.7.1", "this tenant's account is suspended; ask the operator of the gateway")
            ready = await _prepare_within(door, desk, handed, now)
            receipt = await door.database.write(_keep, door, desk, handed, ready, now)
        except Refused:  # by what we remember of the tenant, which may have changed
            if desk is None or await door.database.read(tenant_revision, desk.tenant.id) == desk.tenant.revision:
                raise
        except Stale:
            pass
        else:
            door.booked(receipt.booked)
            return receipt
        desk = await door.desks.get(handed.tenant_id, fresh=True)
    raise Refused(451, "4.3.2", "the tenant's settings are being changed; try again in a moment")


def _keep(tx: Transaction, door: Door, desk: Desk, handed: Handed, ready: Ready, now: datetime) -> Receipt:
    terms = Terms(door.node if door.has_room() else "", door.lease_ms, int(door.retry.expire * 1000))
    return keep(tx, terms, desk, handed, ready, now)


def _once(recipients: Sequence[Rcpt]) -> tuple[Rcpt, ...]:
    """Each mailbox once, as it was named first: an envelope that names it twice means one copy."""
    found: dict[str, Rcpt] = {}
    for one in recipients:
        found.setdefault(one.address.key, one)
    return tuple(found.values())


async def _prepare_within(door: Door, desk: Desk, handed: Handed, now: datetime) -> Ready:
    """Prepare on the event loop, or on a thread when that would hold the loop up."""
    head = read_head(handed.raw)
    if head.count("received") > HOPS:
        raise Refused(554, "5.4.6", f"the message has passed more than {HOPS} servers; it is going round in a loop")
    control = read_control(head)
    _check(control)
    thread = None
    if control.thread_key:
        thread = await door.database.read(find_thread, desk.tenant.id, control.thread_key)
    found = await _find(door, handed.raw)
    if (made := found.document) is not None:
        known = await door.database.read(get_document, desk.tenant.id, made.type, made.id)
        found = replace(found, sent_before=bool(known and known.sent_at))
    task = (door, desk, handed, head, control, thread.id if thread else new_id(), now, found)
    return await asyncio.to_thread(_prepare, *task) if len(handed.raw) > BLOCKING else _prepare(*task)


async def _find(door: Door, raw: bytes) -> Found:
    """The document that a mail hands over, read where that costs nobody else anything."""
    place = where(raw)
    if place == "nowhere":
        return Found()
    if place == "here" or door.run is None:
        return await asyncio.to_thread(find_document, raw) if len(raw) > BLOCKING else find_document(raw)
    try:
        found: Found = await door.run(find_document, raw)
    except WorkerFailed as error:
        if error.kind == "crashed":
            raise  # a fault of ours until it is shown to be the document's: 451
        raise Refused(554, "5.6.0", "the attached e-invoice is too large or too deep to be read in time") from None
    return found


def _check(control: Control) -> None:
    """Names that must be known, whatever the mail turns out to be."""
    if control.event:
        need_trigger(control.event)
    if control.template and control.template != "none" and control.template not in templates():
        raise Refused(
            554, "5.6.0", f"X-AR-Template {control.template!r} is unknown; known are none, {', '.join(templates())}"
        )
    if control.button:
        raise Refused(554, "5.6.0", "X-AR-Button is not supported by this version; send the mail without it")


def _prepare(
    door: Door, desk: Desk, handed: Handed, head: Head, control: Control, thread_id: str, now: datetime, found: Found
) -> Ready:
    """Check, and frame or take apart, what was handed over."""
    digest = _digest(handed, head) if control.idempotency_key else ""
    addresses = tuple(rcpt.address for rcpt in handed.recipients)
    if (document := found.document) is not None:
        today = now.astimezone(ZoneInfo(desk.tenant.timezone)).date()
        letter = address_document(door.letterhead, document, head, addresses, control, found.sent_before, today)
        notify = {rcpt.address.key: rcpt.notify for rcpt in handed.recipients}
        recipients = tuple(Rcpt(address, notify.get(address.key, "")) for address in letter.recipients)
        message = document_message(door.letterhead, desk, letter, found.personal, handed.credential, now)
        return Ready(message, recipients, b"", document, document.customer.name, control, digest)
    if control.attach_pdf is not None:
        raise Refused(554, "5.6.0", "X-AR-Attach-PDF is for documents that the gateway renders; this mail is composed")
    relayed = frame_relay(
        door.letterhead, desk, handed.raw, head, control, (new_id(), thread_id), addresses, handed.credential, now,
        smtputf8=handed.smtputf8,
    )  # fmt: skip
    customer = control.customer_name or control.customer or str(addresses[0])
    return Ready(relayed.message, handed.recipients, relayed.raw, None, customer, control, digest)


def _digest(handed: Handed, head: Head) -> str:
    """The hash of what a mail says to whom; not of its date, its ids and its boundaries, which differ every time."""
    found = hashlib.sha256()
    for rcpt in sorted(rcpt.address.key for rcpt in handed.recipients):
        found.update(rcpt.encode() + b"\n")
    for item in head.fields:
        if item.name in (b"from", b"to", b"cc", b"subject") or item.name.startswith(b"x-ar-"):
            found.update(item.name + b":" + b" ".join(item.value.split()) + b"\n")
    for part in walk(handed.raw):
        if not part.content_type.startswith("multipart/"):
            found.update(f"{part.content_type} {part.filename}\n".encode("utf-8", "replace") + decode(handed.raw, part))
    return found.hexdigest()

"""THE DOOR of mail that leaves: `accept` is the only way a message leaves a tenant.

SMTP, the CLI and the pages hand over here. A message that somebody composed is branded and signed now
(`relay_mail`); a document is checked now and rendered when it is due (`document_mail`, `composition`). Then one
transaction keeps thread, message and one delivery per recipient, each with its own return path (`accepting`), and only
after its commit is a receipt returned: what is queued is what is sent. Refuses in words, with nothing half stored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.mail.message import Head, Part, read_head
from gateway.mail.reply import Refused
from gateway.outbound.accepting import Terms, keep, keep_stored
from gateway.outbound.automation import COMPOSED
from gateway.outbound.button import add_button, link_of, with_links
from gateway.outbound.control import Control, read_control
from gateway.outbound.customers import known_customer
from gateway.outbound.desk import Desk, Desks, Stale
from gateway.outbound.digest import digest_of
from gateway.outbound.document_mail import address_document, document_message, named_in
from gateway.outbound.document_pdf import need_einvoice
from gateway.outbound.documents import read_document
from gateway.outbound.foreseen import questions_of
from gateway.outbound.handed import Asked, Handed, Rcpt, Ready, Receipt
from gateway.outbound.handed_document import Found, Where, find_document, look
from gateway.outbound.ingredients import brand_of
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.limits import LimitReached, ReachedLimits, note_reached
from gateway.outbound.placing import About, about_mail, about_statement, answered, find_place, name_document
from gateway.outbound.queue import Booked
from gateway.outbound.refusals import note_refusal, refusal_of
from gateway.outbound.relay_mail import frame_relay
from gateway.outbound.retry import Retry
from gateway.outbound.texts import templates
from gateway.outbound.triggers import need_trigger
from gateway.store.conversations import find_conversation
from gateway.store.database import Database, Transaction, foresees, new_id, to_ms
from gateway.store.documents import StoredDocument, get_document
from gateway.store.tenants import tenant_revision
from gateway.wire.workers import WorkerFailed

BLOCKING = 256 * 1024  # bytes from which branding and signing would hold the event loop up for too long
_NO_HEAD = read_head(b"Subject:\r\n\r\n")  # of a stored document, which no mail hands over
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
    most_recipients: int = 1000  # of a document; those of an envelope are counted at RCPT
    reached: ReachedLimits = field(default_factory=ReachedLimits)
    most_bytes: int = 20 * 2**20  # of a mail that is made here


@dataclass(frozen=True, slots=True)
class Home:
    """Where a mail belongs: its control fields, completed; of a composed mail also its thread, and its parts."""

    control: Control
    thread_id: str
    about: About = field(default_factory=About)
    parts: tuple[Part, ...] = ()


async def accept(door: Door, handed: Handed, now: datetime) -> Receipt:
    """Take a message over. Raises Refused in words; StoreUnavailable when nothing could be committed."""
    handed = replace(handed, recipients=_once(handed.recipients)) if len(handed.recipients) > 1 else handed

    async def take(desk: Desk) -> Receipt:
        ready = await prepare(door, desk, handed, now)
        return await door.database.write(keep_handed, door, desk, handed, ready, now)

    try:
        return await at_desk(door, handed.tenant_id, take)
    except LimitReached as reached:
        await note_reached(door.database, door.reached, reached, handed.credential, now)
        raise
    except Refused as refused:
        if refused.reply.code >= 500:
            await _note_refusal(door, handed, refused, now)
        raise


async def _note_refusal(door: Door, handed: Handed, refused: Refused, now: datetime) -> None:
    """Show the tenant what was not taken over, and of which document, as far as that can be read."""
    try:
        document = (await _find(door, handed.raw, (await _look(handed.raw))[1])).document
    except (Refused, WorkerFailed):
        document = None
    addresses = [rcpt.address for rcpt in handed.recipients if not door.letterhead.is_send_address(rcpt.address)]
    refusal = refusal_of(handed, [str(address) for address in addresses], document, refused.reply)
    await note_refusal(door.database, handed.tenant_id, refusal, now)


async def accept_document(door: Door, asked: Asked, now: datetime) -> Receipt:
    """Send a document that was handed over before: a reminder, or once more. Raises as `accept` does.

    The receipt's `message_id` is "" when the gate of what is asked says no; then its text says why."""

    async def take(desk: Desk) -> Receipt:
        ready, stored = await _prepare_stored(door, desk, asked, now)
        return await door.database.write(keep_stored, terms_of(door), desk, asked, ready, stored, now)

    return await at_desk(door, asked.tenant_id, take)


async def at_desk(door: Door, tenant_id: str, take: Callable[[Desk], Awaitable[Receipt]]) -> Receipt:
    """Take something over with what is remembered of the tenant, read afresh when that has changed."""
    desk = await door.desks.get(tenant_id)
    for _ in range(3):
        try:
            if desk is None or desk.tenant.suspended:
                raise Refused(550, "5.7.1", "this tenant's account is suspended; ask the operator of the gateway")
            receipt = await take(desk)
        except Refused:  # by what we remember of the tenant, which may have changed
            if desk is None or await door.database.read(tenant_revision, desk.tenant.id) == desk.tenant.revision:
                raise
        except Stale:
            pass
        else:
            door.booked(receipt.booked)
            return receipt
        desk = await door.desks.get(tenant_id, fresh=True)
    raise Refused(451, "4.3.2", "the tenant's settings are being changed; try again in a moment")


@foresees(lambda _door, desk, _handed, ready, _now: questions_of(desk, ready))
def keep_handed(tx: Transaction, door: Door, desk: Desk, handed: Handed, ready: Ready, now: datetime) -> Receipt:
    """`accepting.keep` on this node's terms, with what it will ask said beforehand. Raises as that does."""
    return keep(tx, terms_of(door), desk, handed, ready, now)


def terms_of(door: Door) -> Terms:
    """How a door of this node queues."""
    return Terms(door.node if door.has_room() else "", door.lease_ms, door.retry)


def _once(recipients: Sequence[Rcpt]) -> tuple[Rcpt, ...]:
    """Each mailbox once, as it was named first: an envelope that names it twice means one copy."""
    found: dict[str, Rcpt] = {}
    for one in recipients:
        found.setdefault(one.address.key, one)
    return tuple(found.values())


async def prepare(door: Door, desk: Desk, handed: Handed, now: datetime) -> Ready:
    """What a mail would be kept as; made on a thread when that would hold the event loop up. Raises Refused."""
    head = read_head(handed.raw)
    if head.count("received") > HOPS:
        raise Refused(554, "5.4.6", f"the message has passed more than {HOPS} servers; it is going round in a loop")
    control = read_control(head)
    door.reached.check(desk.tenant, handed.credential, control, now)
    _check(control)
    parts, place = await _look(handed.raw)
    found = await _find(door, handed.raw, place)
    if (made := found.document) is not None:
        known = await door.database.read(get_document, desk.tenant.id, made.type, made.id)
        customer = await door.database.read(known_customer, desk.tenant.id, made)
        found = replace(found, sent_before=bool(known and known.sent_at), customer=customer)
        home = Home(control, "")
    else:
        home = await _find_home(door, desk, handed, head, control, parts, now)
    task = (door, desk, handed, head, home, now, found)
    return await asyncio.to_thread(_prepare, *task) if len(handed.raw) > BLOCKING else _prepare(*task)


async def _look(raw: bytes) -> tuple[tuple[Part, ...], Where]:
    """The parts of a mail and where its document may be, without holding up the event loop."""
    return await asyncio.to_thread(look, raw) if len(raw) > BLOCKING else look(raw)


async def _find_home(
    door: Door, desk: Desk, handed: Handed, head: Head, control: Control, parts: tuple[Part, ...], now: datetime
) -> Home:
    """The document and thread of a composed mail: by its fields, else by the number that it shows."""
    control = name_document(control, head, parts, desk.tenant.options.get("number_patterns", ()))
    about = about_mail(control, head, [rcpt.address for rcpt in handed.recipients], desk)
    if not about.key:
        about = about_statement(control, head, parts, [rcpt.address for rcpt in handed.recipients], desk)
    if not about.key:
        return Home(control, *await _find_conversation(door, desk.tenant.id, head), parts)
    place = await door.database.read_briefly(find_place, to_ms(now), desk.tenant.id, about, new_id())
    control = replace(control, document_id=place.document_id) if control.named else control
    return Home(control, place.thread_id, replace(about, standing=place.standing), parts)


async def _find_conversation(door: Door, tenant_id: str, head: Head) -> tuple[str, About]:
    """The thread of a mail without a document, and the key by which it is known still to be there."""
    named = answered(head)
    found = await door.database.read_briefly(find_conversation, tenant_id, named) if named else None
    return (found.id, About(found.key, standing=found.key)) if found else (new_id(), About())


async def _find(door: Door, raw: bytes, place: Where) -> Found:
    """The document that a mail hands over, read where that costs nobody else anything."""
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


def _prepare(door: Door, desk: Desk, handed: Handed, head: Head, home: Home, now: datetime, found: Found) -> Ready:
    """Check, and frame or take apart, what was handed over."""
    control = home.control
    digest = (handed.digest or digest_of(handed, head)) if control.idempotency_key else ""
    addresses = tuple(rcpt.address for rcpt in handed.recipients)
    if (document := found.document) is not None:
        today = now.astimezone(ZoneInfo(desk.tenant.timezone)).date()
        letter = address_document(
            door.letterhead, document, head, addresses, control, found.sent_before, today, found.customer,
            desk.uses,
        )  # fmt: skip
        _check_count(door, len(letter.recipients))
        document = with_links(document, control, letter.template)
        notify = {rcpt.address.key: rcpt.notify for rcpt in handed.recipients}
        recipients = tuple(Rcpt(address, notify.get(address.key, "")) for address in letter.recipients)
        message = document_message(door.letterhead, desk, letter, found.personal, handed.credential, now)
        need_einvoice(desk, document, message, control.event)
        return Ready(message, recipients, b"", document, document.customer.name, control, digest, letter.named)
    if control.attach_pdf is not None:
        raise Refused(554, "5.6.0", "X-AR-Attach-PDF is for documents that the gateway renders; this mail is composed")
    if not addresses or any(door.letterhead.is_send_address(address) for address in addresses):
        raise Refused(
            554, "5.6.0", "the mail hands over no document whose contacts it could go to; name its recipients"
        )
    raw = handed.raw
    if control.button:
        raw = add_button(raw, control.button, link_of(control), brand_of(desk))
        head = read_head(raw)
    relayed = frame_relay(
        door.letterhead, desk, raw, head, control, (new_id(), home.thread_id), addresses, handed.credential, now,
        parts=look(raw)[0] if control.button else home.parts, smtputf8=handed.smtputf8,
    )  # fmt: skip
    customer = control.customer_name or control.customer or str(addresses[0])
    named = named_in(head, addresses) if control.customer or control.customer_name else ()
    return Ready(
        relayed.message, handed.recipients, relayed.raw, None, customer, control, digest, named, home.about
    )  # fmt: skip


def _check_count(door: Door, count: int) -> None:
    """A document may name as many recipients as an envelope (S32: one mail for each document)."""
    if count > (most := door.most_recipients):
        raise Refused(554, "5.5.3", f"the document names {count} recipients, and a mail takes at most {most}; "
                      "set send to none for some of its contacts")  # fmt: skip


async def _prepare_stored(door: Door, desk: Desk, asked: Asked, now: datetime) -> tuple[Ready, StoredDocument]:
    """Address a stored document, which its own contacts, or what is asked, say."""
    stored = await door.database.read(get_document, asked.tenant_id, asked.document_type, asked.document_id)
    name = f"{asked.document_type}/{asked.document_id}"
    if stored is None:
        raise Refused(550, "5.1.1", f"there is no document {name[:200]!r}; hand it over first")
    if stored.body.startswith(COMPOSED):
        raise Refused(554, "5.6.0", f"{name} came as a composed mail; hand it over as data, then it can be sent again")
    if asked.template and asked.template not in templates():
        raise Refused(554, "5.6.0", f"the template {asked.template!r} is unknown; known are {', '.join(templates())}")
    large = len(stored.body) > BLOCKING
    document = await asyncio.to_thread(read_document, stored.body) if large else read_document(stored.body)
    customer = await door.database.read(known_customer, asked.tenant_id, document)
    control = Control(template=asked.template, attach_pdf=asked.attach_pdf, send_at=asked.not_before, run=asked.run)
    addresses, today = tuple(r.address for r in asked.recipients), now.astimezone(ZoneInfo(desk.tenant.timezone)).date()
    sent = stored.sent_at is not None
    letter = address_document(door.letterhead, document, _NO_HEAD, addresses, control, sent, today, customer, desk.uses)
    message = document_message(door.letterhead, desk, letter, asked.personal, asked.by, now)
    message = replace(message, thread_id=stored.thread_id, detail={**message.detail, **asked.detail})
    recipients = tuple(Rcpt(address) for address in letter.recipients)
    return Ready(message, recipients, b"", document, document.customer.name, control, named=letter.named), stored

"""THE DOOR of mail that leaves: `accept` is the only way a message leaves a tenant.

SMTP, the CLI and the pages hand over here. A message that somebody composed is branded and signed now; a document is
stored now and rendered when it is due (`outbound.composition`). Then one transaction keeps thread, message and one
delivery per recipient, each with its own return path, and only after its commit is a receipt returned: what is queued
is what is sent. A suppressed recipient is settled at once, visibly. Refuses in words, with nothing half stored.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.mail.address import Address, parse_address
from gateway.mail.message import Head, decode_text, read_head, walk
from gateway.mail.reply import Refused
from gateway.mail.verp import return_token
from gateway.outbound.branding import Needs, brand, needs, read_author
from gateway.outbound.control import Control, read_control
from gateway.outbound.desk import Desk, Desks, Stale
from gateway.outbound.document_mail import address_document, document_message, find_document, stored
from gateway.outbound.documents import Document
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.queue import Booked, Recipient, enqueue, settle_suppressed, with_content
from gateway.outbound.retry import Retry
from gateway.outbound.suppression import get_suppressed
from gateway.store.database import Database, Transaction, new_id, random_bytes, to_ms
from gateway.store.documents import mark_sent, put_document
from gateway.store.events import add_event
from gateway.store.messages import EIGHT_BIT, SMTPUTF8, Message, add_message
from gateway.store.tenants import tenant_revision
from gateway.store.threads import add_thread, find_thread, thread_of_document, touch_thread

BLOCKING = 256 * 1024  # bytes from which branding and signing would hold the event loop up for too long
HOPS = 50  # RFC 5321 §6.3
EXCERPT = 4000  # characters of a relayed message's text that the inbox shows


@dataclass(frozen=True, slots=True)
class Rcpt:
    """A recipient as the envelope names it."""

    address: Address
    notify: str = ""


@dataclass(frozen=True, slots=True)
class Handed:
    """What a doorstep hands over: who, to whom, and the bytes. `credential` names what it came by, for the timeline."""

    tenant_id: str
    credential: str
    recipients: tuple[Rcpt, ...]
    raw: bytes
    peer: str = ""
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What `accept` promises: it is on disk. `text` is the sentence a person reads in the billing system's log."""

    message_id: str
    thread_id: str
    text: str
    booked: tuple[Booked, ...] = ()


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


@dataclass(frozen=True, slots=True)
class _Ready:
    """A message as it will be stored. `raw` is b"" for a document that is yet to be rendered."""

    message: Message
    recipients: tuple[Rcpt, ...]
    raw: bytes = b""
    document: Document | None = None
    customer: str = ""
    control: Control = field(default_factory=Control)


async def accept(door: Door, handed: Handed, now: datetime) -> Receipt:
    """Take a message over. Raises Refused in words; StoreUnavailable when nothing could be committed."""
    desk = await door.desks.get(handed.tenant_id)
    handed = replace(handed, recipients=_once(handed.recipients)) if len(handed.recipients) > 1 else handed
    for _ in range(3):
        try:
            if desk is None or desk.tenant.suspended:
                raise Refused(550, "5.7.1", "this tenant's account is suspended; ask the operator of the gateway")
            ready = await _prepare_within(door, desk, handed, now)
            receipt = await door.database.write(_store, door, desk, handed, ready, now)
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


def _once(recipients: Sequence[Rcpt]) -> tuple[Rcpt, ...]:
    """Each mailbox once, as it was named first: an envelope that names it twice means one copy."""
    found: dict[str, Rcpt] = {}
    for one in recipients:
        found.setdefault(one.address.key, one)
    return tuple(found.values())


async def _prepare_within(door: Door, desk: Desk, handed: Handed, now: datetime) -> _Ready:
    """Prepare on the event loop, or on a thread when that would hold the loop up."""
    head = read_head(handed.raw)
    if head.count("received") > HOPS:
        raise Refused(554, "5.4.6", f"the message has passed more than {HOPS} servers; it is going round in a loop")
    control = read_control(head)
    thread = None
    if control.thread_key:
        thread = await door.database.read(find_thread, desk.tenant.id, control.thread_key)
    task = (door, desk, handed, head, control, thread.id if thread else new_id(), now)
    return await asyncio.to_thread(_prepare, *task) if len(handed.raw) > BLOCKING else _prepare(*task)


def _prepare(
    door: Door, desk: Desk, handed: Handed, head: Head, control: Control, thread_id: str, now: datetime
) -> _Ready:
    """Check, and frame or take apart, what was handed over."""
    document, personal = find_document(handed.raw, head)
    if document is not None:
        letter = address_document(door.letterhead, document, head, [rcpt.address for rcpt in handed.recipients])
        notify = {rcpt.address.key: rcpt.notify for rcpt in handed.recipients}
        recipients = tuple(Rcpt(address, notify.get(address.key, "")) for address in letter.recipients)
        message = document_message(door.letterhead, desk, letter, personal, handed.credential, now)
        return _Ready(message, recipients, document=document, customer=document.customer.name)
    return _prepare_relay(door, desk, handed, head, control, thread_id, now)


# -- a message that a billing system composed


def _prepare_relay(
    door: Door, desk: Desk, handed: Handed, head: Head, control: Control, thread_id: str, now: datetime
) -> _Ready:
    author = _author(desk, head)
    message_id = new_id()
    frame = door.letterhead.frame(desk.tenant, author, message_id, thread_id, now, language=control.language)
    framed = brand(handed.raw, head, frame)
    flags = _flags(needs(framed), handed)
    raw = _received(door, handed, message_id, now) + _sign(desk, framed, now)
    subject = head.text("subject")
    customer = next(iter(handed.recipients)).address
    message = Message(
        tenant_id=desk.tenant.id,
        id=message_id,
        thread_id=thread_id,
        direction="out",
        kind="relay",
        created_at=now,
        rfc_message_id=frame.message_id,
        submitted_message_id=head.text("message-id").strip().strip("<>"),
        author=f"{desk.tenant.company} <{author}>",
        recipients=", ".join(head.texts("to") + head.texts("cc")),
        subject=subject,
        body_text=_excerpt(handed.raw),
        size=len(raw),
        flags=flags,
        language=control.language,
        document_type=control.document_type,
        document_id=control.document_id,
        credential_id=handed.credential,
    )
    return _Ready(message, handed.recipients, raw, None, control.customer or str(customer), control)


def _author(desk: Desk, head: Head) -> Address:
    """Whom the mail comes from: the shared address, or the identity that the message names (S8, S12)."""
    named = read_author(head).address
    if desk.tenant.sending != "own":
        return desk.author
    if named.key not in desk.identities:
        allowed = ", ".join(desk.identities) or "none yet; add one with `gateway tenant identity`"
        raise Refused(
            550, "5.7.1", f"author <{named}> is not an identity of tenant {desk.tenant.slug} (allowed: {allowed})"
        )
    return named


def _flags(wants: Needs, handed: Handed) -> int:
    utf8 = wants.smtputf8 or any(not rcpt.address.ascii for rcpt in handed.recipients)
    return SMTPUTF8 * utf8 | EIGHT_BIT * wants.eightbit


def _sign(desk: Desk, framed: bytes, now: datetime) -> bytes:
    return desk.signer.sign(framed, now) if desk.signer else framed


def _received(door: Door, handed: Handed, message_id: str, now: datetime) -> bytes:
    """Our trace field (RFC 5321 §4.4); the submitter's own host stays private."""
    stamp = now.strftime("%a, %d %b %Y %H:%M:%S +0000")
    return f"Received: by {door.letterhead.hostname} (A/R mail gateway) id {message_id};\r\n\t{stamp}\r\n".encode()


def _excerpt(raw: bytes) -> str:
    """The first words of the text, for the inbox; a message that cannot be read has none."""
    for part in walk(raw, depth=10, parts=50):
        if part.content_type == "text/plain" and part.disposition != "attachment":
            return decode_text(raw, part, limit=EXCERPT)
    return ""


# -- the transaction


def _store(tx: Transaction, door: Door, desk: Desk, handed: Handed, ready: _Ready, now: datetime) -> Receipt:
    desk.check(tx)
    now_ms = to_ms(now)
    message = _place(tx, now_ms, desk, ready)
    add_message(tx, message, ready.raw)
    node = door.node if door.has_room() else ""
    due_at = now_ms + door.lease_ms if node else now_ms
    booked = enqueue(
        tx,
        now_ms,
        message.tenant_id,
        message.id,
        message.thread_id,
        [Recipient(str(r.address), return_token(random_bytes(10)), r.notify) for r in ready.recipients],
        node=node,
        due_at=due_at,
        expires_at=now_ms + int(door.retry.expire * 1000),
    )
    text = f"Queued {message.id}, thread {message.thread_id}"
    if message.template:
        text += f", template {message.template}"
    add_event(
        tx,
        now_ms,
        message.tenant_id,
        "message.accepted",
        thread_id=message.thread_id,
        message_id=message.id,
        data={
            "recipients": len(booked),
            "credential": handed.credential,
            "peer": handed.peer,
            "size": message.size,
            "reply": f"250 2.0.0 {text}",
        },
    )
    sendable_now, notes = _drop_suppressed(tx, now_ms, booked)
    if node:
        booked = [with_content(made, ready.raw, message.flags) if ready.raw else made for made in sendable_now]
    return Receipt(message.id, message.thread_id, "; ".join([text, *notes]), tuple(booked) if node else ())


def _place(tx: Transaction, now_ms: int, desk: Desk, ready: _Ready) -> Message:
    """The message in its thread: a new one, or its document's."""
    tenant_id, message = desk.tenant.id, ready.message
    if ready.document is None:
        control = ready.control
        known = find_thread(tx, tenant_id, control.thread_key) if control.thread_key else None
        if known is None:
            key = (control.document_type, control.document_id, control.number)
            add_thread(
                tx, now_ms, tenant_id, message.thread_id,
                key=control.thread_key, subject=message.subject, document=key, customer=ready.customer,
            )  # fmt: skip
        elif known.id != message.thread_id:  # its first mail was accepted while this one was being signed
            raise Stale
        else:
            touch_thread(tx, now_ms, tenant_id, known.id)
        return message
    document = ready.document
    key = (document.type, document.id, document.number)
    thread_id = thread_of_document(tx, now_ms, tenant_id, key, document.number, ready.customer)
    body = document.canonical()
    kept = put_document(tx, now_ms, tenant_id, stored(document, thread_id, body))
    if kept != "unchanged":
        data = {"type": document.type, "id": document.id, "revision": document.revision}
        add_event(tx, now_ms, tenant_id, f"document.{kept}", thread_id=thread_id, message_id=message.id, data=data)
    mark_sent(tx, now_ms, tenant_id, document.type, document.id)
    return replace(message, thread_id=thread_id)


def _drop_suppressed(tx: Transaction, now_ms: int, booked: list[Booked]) -> tuple[list[Booked], list[str]]:
    left, notes = [], []
    for made in booked:
        found = get_suppressed(tx, made.tenant_id, made.recipient)
        if found is None:
            left.append(made)
            continue
        since = f"{found.created_at:%Y-%m-%d}"
        settle_suppressed(tx, now_ms, made, since, found.reason, found.evidence)
        notes.append(f"{made.recipient} is suppressed since {since} ({found.evidence}) and was not mailed")
    return left, notes


def parse_recipients(addresses: Sequence[str]) -> tuple[Rcpt, ...]:
    """Recipients from text (the CLI). Raises Refused for a malformed one."""
    return tuple(Rcpt(parse_address(address)) for address in addresses)

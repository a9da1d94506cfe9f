"""THE DOOR of mail that comes: `receive` is the only way one enters.

The SMTP receiver hands over bytes and the destinations that the envelope named, tenants' mailboxes what lies in them.
The mail is read in a worker process with limits; then one transaction keeps it in its thread, changes the delivery a
report is about, and opens the thread when a person is needed; only after the commit is 250 said. A mail that cannot be
read is kept all the same, and shown. We never answer anything from here.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from gateway.inbound.bounces import Match, apply, match_report, match_return_path
from gateway.inbound.complaints import is_praise, match_complaint, note_complaints
from gateway.inbound.destinations import Destination, Names, named_in_header
from gateway.inbound.evidence import RETURN_PATH, THREAD_ADDRESS
from gateway.inbound.keeping import Came, detail_of, how, message_of
from gateway.inbound.replies import OPENS, Placed, asks_to_stop, is_unknown, open_by_machine, place, whose
from gateway.inbound.sender_checks import SenderChecks, Source
from gateway.mail.classify import Kind
from gateway.mail.received import ReceivedMail
from gateway.mail.reply import Refused
from gateway.outbound.queue import cancel, find_token
from gateway.store.database import Database, Transaction, new_id, to_ms
from gateway.store.events import add_event
from gateway.store.messages import (
    Message,
    add_message,
    add_stored_message,
    find_by_message_id,
    get_message,
    replace_received,
)
from gateway.store.preferences import BY_MAIL, stop_reminders
from gateway.store.schema import OPERATOR
from gateway.store.threads import add_thread, close_thread, open_thread, touch_thread

log = structlog.get_logger()

HOPS = 50  # RFC 5321 §6.3: more Received fields than this is a loop
REPORTS = (Kind.BOUNCE, Kind.DELAY, Kind.SUCCESS)
UNREADABLE = "unreadable"


class Unreadable(Exception):
    """The worker could not read the mail within its limits."""


@dataclass(frozen=True, slots=True)
class Reception:
    """What `receive` needs of the house. `read` reads a mail in a worker; it raises Unreadable.

    `read_some` reads several small ones in one task, and gives None for all of them when that did not end well.
    """

    database: Database
    read: Callable[[bytes], Awaitable[ReceivedMail]]
    names: Names
    checks: SenderChecks | None = None  # of mail that came to us by SMTP
    read_some: Callable[[Sequence[bytes]], Awaitable[list[ReceivedMail] | None]] | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """Where a received mail was put."""

    tenant_id: str
    thread_id: str
    message_id: str
    kind: str


async def receive(
    reception: Reception, raw: bytes, destinations: Sequence[Destination], now: datetime, source: Source | None = None
) -> list[Taken]:
    """Take a mail for its destinations; where it was put, in their order.

    Raises Refused 554 5.4.6 for a loop, StoreUnavailable when nothing could be committed.
    """
    mail: ReceivedMail | None = None
    try:
        mail = await reception.read(raw)
    except Unreadable as error:
        log.warning("inbound.unreadable", size=len(raw), why=str(error))
    if mail is not None and mail.hops > HOPS:
        raise Refused(554, "5.4.6", f"the message has passed {mail.hops} servers; it is going round in a loop")
    origin: dict[str, Any] = {"peer": source.host if source else ""}
    if mail is not None and source is not None and reception.checks is not None:
        origin["checked"] = (await reception.checks.check(raw, source, mail.author)).as_detail()
    came = Came(raw, hashlib.sha256(raw).hexdigest(), mail, origin)
    return await reception.database.write(_take, reception.names, came, destinations, now)


def take(
    tx: Transaction,
    names: Names,
    raw: bytes,
    mail: ReceivedMail | None,
    place: Destination,
    now: datetime,
    peer: str,
    named: Sequence[Message] = (),
    stored: tuple[str, datetime | None] = ("", None),
) -> Taken:
    """Keep a mail in a transaction of the caller's, who has read it and knows whose it is: a tenant's mailbox.

    `named` is what the tenant has of its Message-ID, asked in the same transaction; `stored` the id under which its
    bytes lie already, and since when: the message has that id, unless the same mail was taken before.
    """
    asked = named if mail is not None and mail.message_id else None
    came = Came(raw, hashlib.sha256(raw).hexdigest(), mail, {"peer": peer}, asked, *stored)
    return _take(tx, names, came, [place], now)[0]


def _take(tx: Transaction, names: Names, came: Came, named: Sequence[Destination], now: datetime) -> list[Taken]:
    mail = came.mail
    destinations = [_look_closer(tx, names, one, mail) if mail else one for one in named]
    taken: dict[int, Taken] = {}
    # The address of a thread says more than one of an inbox beside it, whichever was named first.
    for number in sorted(range(len(destinations)), key=lambda number: not destinations[number].thread_id):
        destination = destinations[number]
        twin = next((t for t in taken.values() if _same_place(t, destination)), None)
        if twin is None:
            twin = _take_one(tx, came, destination, now)
        elif mail is not None and mail.kind in REPORTS and destination.delivery is not None:
            apply(tx, to_ms(now), match_return_path(destination.delivery, mail), twin.message_id)
        taken[number] = twin
    return [taken[number] for number in range(len(destinations))]


def _look_closer(tx: Transaction, names: Names, destination: Destination, mail: ReceivedMail) -> Destination:
    """What the mail says of its place, when the address it came to says no more than the tenant, or not even that."""
    if destination.thread_id or (destination.tenant_id == OPERATOR and not destination.shared):
        return destination
    found = named_in_header(tx, names, destination, mail)
    if found.shared and (tenant_id := whose(tx, mail)):
        return Destination(tenant_id)
    return found


def _same_place(taken: Taken, destination: Destination) -> bool:
    """Two addresses of one thread (its reply address in To, a return path in Cc) are one place."""
    if taken.tenant_id != destination.tenant_id:
        return False
    return not destination.thread_id or taken.thread_id == destination.thread_id


def _take_one(tx: Transaction, came: Came, destination: Destination, now: datetime) -> Taken:
    seen = _seen_before(tx, destination, came)
    if seen is not None:
        return seen
    mail = came.mail
    if mail is None:
        return _keep_unreadable(tx, came, destination, now)
    keep = add_stored_message if came.stored else add_message
    return _settle(tx, came, mail, destination, came.stored or new_id(), now, keep)


def _settle(
    tx: Transaction,
    came: Came,
    mail: ReceivedMail,
    destination: Destination,
    message_id: str,
    now: datetime,
    keep: Callable[[Transaction, Message, bytes], None],
) -> Taken:
    """Find the thread, keep the mail there, and do what follows from it."""
    now_ms, tenant_id = to_ms(now), destination.tenant_id
    matches = _matches(tx, now_ms, destination, mail)
    placed = _placed(tx, now_ms, destination, mail, matches)
    thread_id = placed.thread_id
    unknown = mail.kind is Kind.PERSON and is_unknown(tx, tenant_id, thread_id, mail)
    detail = detail_of(came, mail, [match.by for match in matches], unknown) | how(placed)
    keep(tx, message_of(came, mail, (tenant_id, message_id, thread_id), now, detail), came.raw)
    if mail.kind in REPORTS:
        _spend_report(tx, now_ms, tenant_id, thread_id, message_id, mail, matches)
    else:
        note_complaints(tx, now_ms, mail, matches, message_id)
        stops = bool(destination.thread_id) and destination.delivery is None and asks_to_stop(mail)
        quiet = is_praise(mail) or (stops and not mail.text.strip())
        _note_reply(tx, now_ms, tenant_id, thread_id, message_id, mail, quiet=quiet)
        if stops:
            stop_reminders(tx, now_ms, tenant_id, thread_id, BY_MAIL, cancel)
    return Taken(tenant_id, thread_id, message_id, str(mail.kind))


def _seen_before(tx: Transaction, destination: Destination, came: Came) -> Taken | None:
    """The same bytes to the same place once more: a server that did not hear our 250."""
    named = find_by_message_id(tx, destination.tenant_id, [came.name]) if came.named is None else came.named
    for known in named:
        same = known.direction == "in" and known.detail.get("sha256") == came.digest
        if same and destination.thread_id in ("", known.thread_id):
            return Taken(destination.tenant_id, known.thread_id, known.id, known.kind)
    return None


def _matches(tx: Transaction, now_ms: int, destination: Destination, mail: ReceivedMail) -> list[Match]:
    if mail.kind not in REPORTS:
        return match_complaint(tx, now_ms, destination, mail)
    if destination.delivery is not None:
        return [match_return_path(destination.delivery, mail)]
    return match_report(tx, now_ms, destination.tenant_id, mail.report, mail) if mail.report else []


def _placed(tx: Transaction, now_ms: int, destination: Destination, mail: ReceivedMail, matches: list[Match]) -> Placed:
    if matches:
        return Placed(destination.thread_id or matches[0].delivery.thread_id, matches[0].by)
    if destination.thread_id:
        return Placed(destination.thread_id, RETURN_PATH if destination.delivery else THREAD_ADDRESS)
    return place(tx, now_ms, destination.tenant_id, mail)


def _spend_report(
    tx: Transaction,
    now_ms: int,
    tenant_id: str,
    thread_id: str,
    message_id: str,
    mail: ReceivedMail,
    matches: list[Match],
) -> None:
    touch_thread(tx, now_ms, tenant_id, thread_id)
    for match in matches:
        apply(tx, now_ms, match, message_id)
    if not matches:  # a report about nothing that we know: a person may understand it
        data = {"kind": str(mail.kind), "subject": mail.subject[:200]}
        add_event(tx, now_ms, tenant_id, "report.received", thread_id=thread_id, message_id=message_id, data=data)
        open_by_machine(tx, now_ms, tenant_id, thread_id, "unclear")


def _note_reply(
    tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, message_id: str, mail: ReceivedMail, *, quiet: bool
) -> None:
    """Say in the thread what came; `quiet`: it asks nobody for anything, or for what is done."""
    type = "reply.received" if mail.kind is Kind.PERSON else "autoreply.received"
    data = {"from": mail.author, "subject": mail.subject[:200], "kind": str(mail.kind)}
    add_event(tx, now_ms, tenant_id, type, thread_id=thread_id, message_id=message_id, data=data)
    if mail.kind in OPENS and not quiet:
        opens = open_thread if mail.kind is Kind.PERSON else open_by_machine
        opens(tx, now_ms, tenant_id, thread_id, OPENS[mail.kind])
    else:
        touch_thread(tx, now_ms, tenant_id, thread_id)


def _keep_unreadable(tx: Transaction, came: Came, destination: Destination, now: datetime) -> Taken:
    """Nothing is dropped: the bytes are kept where the envelope says, and a person is asked to look."""
    now_ms, tenant_id, message_id = to_ms(now), destination.tenant_id, came.stored or new_id()
    thread_id = destination.thread_id or add_thread(tx, now_ms, tenant_id, subject="(unreadable mail)")
    kept = Message(
        tenant_id=tenant_id, id=message_id, thread_id=thread_id, direction="in", kind=UNREADABLE,
        created_at=came.at or now,
        rfc_message_id=came.name, detail={"sha256": came.digest, **came.origin, **_came_to(destination)},
    )  # fmt: skip
    (add_stored_message if came.stored else add_message)(tx, kept, came.raw)
    data = {"kind": UNREADABLE}
    add_event(tx, now_ms, tenant_id, "report.received", thread_id=thread_id, message_id=message_id, data=data)
    open_thread(tx, now_ms, tenant_id, thread_id, UNREADABLE)
    return Taken(tenant_id, thread_id, message_id, UNREADABLE)


def _came_to(destination: Destination) -> dict[str, str]:
    """What the address of a mail that cannot be read said, for when it can be."""
    return {"token": destination.delivery.token if destination.delivery else "", "thread": destination.thread_id}


# -- once more


async def replay(reception: Reception, kept: Message, raw: bytes, now: datetime) -> Taken | None:
    """Read a mail again that could not be read when it came; None when it still cannot. It then has its effects."""
    try:
        mail = await reception.read(raw)
    except Unreadable:
        return None
    origin = {key: kept.detail[key] for key in ("peer", "checked") if key in kept.detail}
    came = Came(raw, hashlib.sha256(raw).hexdigest(), mail, origin)
    return await reception.database.write(_take_again, reception.names, came, kept, now)


def _take_again(tx: Transaction, names: Names, came: Came, kept: Message, now: datetime) -> Taken | None:
    known, mail = get_message(tx, kept.tenant_id, kept.id), came.mail
    if known is None or known.kind != UNREADABLE or mail is None:  # somebody was faster
        return None
    delivery = find_token(tx, str(kept.detail.get("token", ""))) if kept.detail.get("token") else None
    named = Destination(kept.tenant_id, str(kept.detail.get("thread", kept.thread_id)), delivery)
    found = _settle(tx, came, mail, _look_closer(tx, names, named, mail), kept.id, kept.created_at, replace_received)
    if found.thread_id != kept.thread_id:
        close_thread(tx, to_ms(now), kept.tenant_id, kept.thread_id, "replay")
    return found

"""THE DOOR of mail that comes: `receive` is the only way one enters.

The SMTP receiver (and later the IMAP poller) hands over bytes and the destinations that the envelope named. The mail is
read in a worker process with limits; then one transaction keeps it in its thread, changes the delivery a report is
about, and opens the thread when a person is needed; only after the commit is 250 said. A mail that cannot be read is
kept all the same, and shown. We never answer anything from here.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from gateway.inbound.bounces import Match, apply, match_report, match_return_path
from gateway.inbound.destinations import Destination
from gateway.inbound.replies import OPENS, asks_to_stop, begin_thread, is_unknown, thread_of_reply
from gateway.mail.classify import Kind
from gateway.mail.received import ReceivedMail
from gateway.mail.reply import Refused
from gateway.outbound.queue import cancel
from gateway.store.database import Database, Transaction, new_id, to_ms
from gateway.store.events import add_event
from gateway.store.messages import Message, add_message, find_by_message_id
from gateway.store.preferences import BY_MAIL, stop_reminders
from gateway.store.threads import add_thread, open_thread, touch_thread

log = structlog.get_logger()

HOPS = 50  # RFC 5321 §6.3: more Received fields than this is a loop
REPORTS = (Kind.BOUNCE, Kind.DELAY, Kind.SUCCESS)
UNREADABLE = "unreadable"
# parts that are the report itself; its card says what they say
OF_REPORTS = frozenset(
    """message/delivery-status message/global-delivery-status text/rfc822-headers message/rfc822-headers
    message/global-headers message/disposition-notification message/feedback-report""".split()
)


class Unreadable(Exception):
    """The worker could not read the mail within its limits."""


@dataclass(frozen=True, slots=True)
class Reception:
    """What `receive` needs of the house. `read` reads a mail in a worker; it raises Unreadable."""

    database: Database
    read: Callable[[bytes], Awaitable[ReceivedMail]]


@dataclass(frozen=True, slots=True)
class Taken:
    """Where a received mail was put."""

    tenant_id: str
    thread_id: str
    message_id: str
    kind: str


async def receive(
    reception: Reception, raw: bytes, destinations: Sequence[Destination], now: datetime, peer: str = ""
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
    return await reception.database.write(_take, raw, mail, destinations, now, peer)


def _take(
    tx: Transaction,
    raw: bytes,
    mail: ReceivedMail | None,
    destinations: Sequence[Destination],
    now: datetime,
    peer: str,
) -> list[Taken]:
    taken: dict[int, Taken] = {}
    digest = hashlib.sha256(raw).hexdigest()
    # The address of a thread says more than one of an inbox beside it, whichever was named first.
    for number in sorted(range(len(destinations)), key=lambda number: not destinations[number].thread_id):
        destination = destinations[number]
        twin = next((t for t in taken.values() if _same_place(t, destination)), None)
        if twin is None:
            twin = _take_one(tx, raw, digest, mail, destination, now, peer)
        elif mail is not None and mail.kind in REPORTS and destination.delivery is not None:
            apply(tx, to_ms(now), match_return_path(destination.delivery, mail), twin.message_id)
        taken[number] = twin
    return [taken[number] for number in range(len(destinations))]


def _same_place(taken: Taken, destination: Destination) -> bool:
    """Two addresses of one thread (its reply address in To, a return path in Cc) are one place."""
    if taken.tenant_id != destination.tenant_id:
        return False
    return not destination.thread_id or taken.thread_id == destination.thread_id


def _take_one(
    tx: Transaction,
    raw: bytes,
    digest: str,
    mail: ReceivedMail | None,
    destination: Destination,
    now: datetime,
    peer: str,
) -> Taken:
    now_ms, tenant_id, message_id = to_ms(now), destination.tenant_id, new_id()
    seen = _seen_before(tx, destination, _name(mail, digest), digest)
    if seen is not None:
        return seen
    if mail is None:
        return _keep_unreadable(tx, raw, digest, destination, now, peer)
    matches = _matches(tx, destination, mail)
    thread_id = destination.thread_id or _thread_for(tx, now_ms, tenant_id, mail, matches)
    unknown = mail.kind is Kind.PERSON and is_unknown(tx, tenant_id, thread_id, mail)
    detail = _detail(mail, digest, peer, matches, unknown)
    add_message(tx, _message(mail, tenant_id, message_id, thread_id, now, detail), raw)
    if mail.kind in REPORTS:
        _spend_report(tx, now_ms, tenant_id, thread_id, message_id, mail, matches)
    else:
        stops = bool(destination.thread_id) and destination.delivery is None and asks_to_stop(mail)
        _note_reply(tx, now_ms, tenant_id, thread_id, message_id, mail, quiet=stops and not mail.text.strip())
        if stops:
            stop_reminders(tx, now_ms, tenant_id, thread_id, BY_MAIL, cancel)
    return Taken(tenant_id, thread_id, message_id, str(mail.kind))


def _name(mail: ReceivedMail | None, digest: str) -> str:
    """The mail's Message-ID; one that has none is known by its bytes."""
    return (mail.message_id if mail else "") or f"sha256.{digest}"


def _seen_before(tx: Transaction, destination: Destination, name: str, digest: str) -> Taken | None:
    """The same bytes to the same place once more: a server that did not hear our 250."""
    for known in find_by_message_id(tx, destination.tenant_id, [name]):
        same = known.direction == "in" and known.detail.get("sha256") == digest
        if same and destination.thread_id in ("", known.thread_id):
            return Taken(destination.tenant_id, known.thread_id, known.id, known.kind)
    return None


def _matches(tx: Transaction, destination: Destination, mail: ReceivedMail) -> list[Match]:
    if mail.kind not in REPORTS:
        return []
    if destination.delivery is not None:
        return [match_return_path(destination.delivery, mail)]
    return match_report(tx, destination.tenant_id, mail.report, mail) if mail.report else []


def _thread_for(tx: Transaction, now_ms: int, tenant_id: str, mail: ReceivedMail, matches: list[Match]) -> str:
    if matches:
        return matches[0].delivery.thread_id
    return thread_of_reply(tx, tenant_id, mail) or begin_thread(tx, now_ms, tenant_id, mail)


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
        open_thread(tx, now_ms, tenant_id, thread_id, "unclear")


def _note_reply(
    tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, message_id: str, mail: ReceivedMail, *, quiet: bool
) -> None:
    """Say in the thread what came; `quiet`: it asked for something that is done, and says nothing else."""
    type = "reply.received" if mail.kind is Kind.PERSON else "autoreply.received"
    data = {"from": mail.author, "subject": mail.subject[:200], "kind": str(mail.kind)}
    add_event(tx, now_ms, tenant_id, type, thread_id=thread_id, message_id=message_id, data=data)
    if mail.kind in OPENS and not quiet:
        open_thread(tx, now_ms, tenant_id, thread_id, OPENS[mail.kind])
    else:
        touch_thread(tx, now_ms, tenant_id, thread_id)


def _message(
    mail: ReceivedMail, tenant_id: str, message_id: str, thread_id: str, now: datetime, detail: dict[str, Any]
) -> Message:
    return Message(
        tenant_id=tenant_id,
        id=message_id,
        thread_id=thread_id,
        direction="in",
        kind=str(mail.kind),
        created_at=now,
        rfc_message_id=_name(mail, detail["sha256"]),
        author=f"{mail.author_name} <{mail.author}>" if mail.author_name else mail.author,
        recipients=", ".join((*mail.to, *mail.cc)),
        subject=mail.subject,
        body_text=mail.text,
        detail=detail,
    )


def _detail(mail: ReceivedMail, digest: str, peer: str, matches: list[Match], unknown: bool) -> dict[str, Any]:
    attachments = [
        {
            "filename": one.filename,
            "content_type": one.content_type,
            "size": one.size,
            "sha256": one.sha256,
            "part": one.part,
        }
        for one in mail.attachments[:100]
        if one.content_type not in OF_REPORTS
    ]
    return {
        "sha256": digest,
        "peer": peer,
        "why": list(mail.why)[:10],
        "quoted": mail.quoted[:20_000],
        "attachments": attachments,
        "from_unknown": unknown,
        "matched_by": [match.by for match in matches],
        "written_at": mail.date.isoformat() if mail.date else "",
    }


def _keep_unreadable(
    tx: Transaction, raw: bytes, digest: str, destination: Destination, now: datetime, peer: str
) -> Taken:
    """Nothing is dropped: the bytes are kept where the envelope says, and a person is asked to look."""
    now_ms, tenant_id, message_id = to_ms(now), destination.tenant_id, new_id()
    thread_id = destination.thread_id or add_thread(tx, now_ms, tenant_id, subject="(unreadable mail)")
    kept = Message(
        tenant_id=tenant_id, id=message_id, thread_id=thread_id, direction="in", kind=UNREADABLE, created_at=now,
        rfc_message_id=_name(None, digest), detail={"sha256": digest, "peer": peer},
    )  # fmt: skip
    add_message(tx, kept, raw)
    data = {"kind": UNREADABLE}
    add_event(tx, now_ms, tenant_id, "report.received", thread_id=thread_id, message_id=message_id, data=data)
    open_thread(tx, now_ms, tenant_id, thread_id, UNREADABLE)
    return Taken(tenant_id, thread_id, message_id, UNREADABLE)

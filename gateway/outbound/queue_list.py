"""Reading the queue: what the CLI and (later) the operator's page list. Writes nothing.

Filters are values, so that a command, a page and a test ask in the same words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from string import ascii_letters, digits
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal_column, select, tuple_

from gateway.mail.status import say
from gateway.store.database import Transaction, from_ms, need_time
from gateway.store.messages import OWN_SERVER
from gateway.store.schema import attempt, delivery, message


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries; an empty filter means all that are queued."""

    state: str = "queued"  # "" for every state
    message_id: str = ""
    recipient: str = ""  # part of the address; "@client.test" is that domain, whole
    older_than: datetime | None = None  # accepted before
    held: bool | None = None
    reason: str = ""  # why it is not there yet, in our vocabulary; or part of what its hold says
    host: str = ""  # part of the name of the server that was tried last


@dataclass(frozen=True, slots=True)
class Listed:
    """One delivery, as a list shows it."""

    message_id: str
    number: int
    thread_id: str
    recipient: str
    state: str
    hold: str
    attempts: int
    next_attempt_at: datetime | None
    expires_at: datetime | None
    words: str
    host: str
    reason: str
    subject: str
    rfc_message_id: str
    created_at: datetime

    @property
    def id(self) -> str:
        """How people name it: message id, dot, number."""
        return f"{self.message_id}.{self.number}"


Key = tuple[str, int]  # message id and number
_BEFORE_THE_AT = ascii_letters + digits + "!#$%&'*+-/=?^_`{|}~.\" \\"  # what an address has before its domain


@dataclass(frozen=True, slots=True)
class Waiting:
    """Deliveries to one domain that wait for the same: how many, since when, and an example of a server's words."""

    domain: str
    hold: str
    reason: str  # "" when nobody was asked yet
    count: int
    under_way: int  # of them, those that are tried right now
    ahead: int  # those whose first attempt is still to come, as somebody wanted
    oldest: datetime
    next_attempt_at: datetime
    words: str
    host: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt, in the remote server's own words."""

    attempt: int
    ended_at: datetime
    milliseconds: int
    action: str
    words: str
    host: str
    tls: str
    stage: str
    unclear: bool


def list_queue(tx: Transaction, tenant_id: str, wanted: Filter, limit: int = 100) -> list[Listed]:
    """A tenant's deliveries, the next due first."""
    both = wanted.state == "queued" and wanted.held is None  # each half has an index that bounds its work
    halves = [replace(wanted, held=held) for held in (False, True)] if both else [wanted]
    rows = [row for half in halves for row in _list(tx, tenant_id, half, limit)]
    rows.sort(key=lambda row: (row.next_attempt_at, row.message_id, row.number))
    return [read_listed(row) for row in rows[:limit]]


def _list(tx: Transaction, tenant_id: str, wanted: Filter, limit: int) -> Sequence[Any]:
    same_message = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    return tx.all(
        select(delivery, message.c.subject, message.c.rfc_message_id)
        .join_from(delivery, message, same_message)
        .where(*queue_where(tenant_id, wanted))
        .order_by(delivery.c.next_attempt_at, delivery.c.message_id, delivery.c.number)
        .limit(limit)
    )


def count_states(tx: Transaction, tenant_id: str) -> dict[str, int]:
    """How many deliveries a tenant has in each state."""
    rows = tx.all(
        select(delivery.c.state, func.count()).where(delivery.c.tenant_id == tenant_id).group_by(delivery.c.state)
    )
    return {row[0]: row[1] for row in rows}


def count_queue(tx: Transaction, tenant_id: str, wanted: Filter) -> int:
    """How many of a tenant's deliveries a filter means."""
    row = tx.first(select(func.count()).select_from(delivery).where(*queue_where(tenant_id, wanted)))
    return int(row[0])


def next_keys(tx: Transaction, tenant_id: str, wanted: Filter, after: Key, limit: int) -> list[Key]:
    """The (message id, number) of what a filter means, those after one: how a command walks through very many."""
    key = (delivery.c.message_id, delivery.c.number)
    query = select(*key).where(*queue_where(tenant_id, wanted), tuple_(*key) > after).order_by(*key).limit(limit)
    return [(row[0], row[1]) for row in tx.all(query)]


def page_deliveries(tx: Transaction, tenant_id: str, wanted: Filter, after: Key, limit: int) -> list[Listed]:
    """What a filter means, those after one, in the order in which their mail was accepted."""
    key = (delivery.c.message_id, delivery.c.number)
    same_message = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    rows = tx.all(
        select(delivery, message.c.subject, message.c.rfc_message_id)
        .join_from(delivery, message, same_message)
        .where(*queue_where(tenant_id, wanted), tuple_(*key) > after)
        .order_by(*key)
        .limit(limit)
    )
    return [read_listed(row) for row in rows]


def list_waiting(tx: Transaction, tenant_id: str, now_ms: int) -> list[Waiting]:
    """What a tenant's queue holds, by the recipients' domain, hold and reason."""
    under_way = delivery.c.booked_by != ""
    ahead = ~under_way & (delivery.c.attempts == 0) & (delivery.c.reason == "") & (delivery.c.next_attempt_at > now_ms)
    domain = domain_of(delivery.c.recipient)
    rows = tx.all(
        select(
            domain, delivery.c.hold, delivery.c.reason, func.count(), func.sum(case((under_way, 1), else_=0)),
            func.sum(case((ahead, 1), else_=0)), func.min(delivery.c.created_at), func.min(delivery.c.next_attempt_at),
            func.max(delivery.c.text), func.max(delivery.c.host),
        )
        .where(delivery.c.tenant_id == tenant_id, delivery.c.state == "queued")
        .group_by(domain, delivery.c.hold, delivery.c.reason)
    )  # fmt: skip
    return [
        Waiting(row[0].rpartition("@")[2], row[1], row[2], row[3], int(row[4]), int(row[5]), need_time(row[6]),
                need_time(row[7]), row[8], row[9])
        for row in rows
    ]  # fmt: skip


def domain_of(recipient: ColumnElement[str]) -> ColumnElement[str]:
    """The domain of an address, to group by; of an address that is not ASCII more is left, which `rpartition` cuts."""
    return func.ltrim(func.lower(recipient), _BEFORE_THE_AT)


def list_attempts(tx: Transaction, tenant_id: str, message_id: str, number: int) -> list[Tried]:
    """Every attempt of a delivery, oldest first."""
    where = (attempt.c.tenant_id == tenant_id) & (attempt.c.message_id == message_id) & (attempt.c.number == number)
    rows = tx.all(select(attempt).where(where).order_by(attempt.c.attempt))
    return [
        Tried(
            attempt=row.attempt,
            ended_at=need_time(row.ended_at),
            milliseconds=row.milliseconds,
            action=row.action,
            words=_words(row),
            host=row.host,
            tls=row.tls,
            stage=row.stage,
            unclear=bool(row.unclear),
        )
        for row in rows
    ]


def list_waiting_for_own(tx: Transaction, tenant_id: str, after: str, limit: int) -> list[str]:
    """The ids of messages that were framed for the tenant's own server and wait for it, those after `after`."""
    same_message = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    waiting = (delivery.c.tenant_id == tenant_id) & (delivery.c.state == "queued") & (delivery.c.hold == "")
    framed = (message.c.content_state == "ready") & (message.c.flags.op("&")(OWN_SERVER) != 0)
    rows = tx.all(
        select(delivery.c.message_id)
        .distinct()
        .join_from(delivery, message, same_message)
        .where(waiting, delivery.c.booked_by == "", delivery.c.message_id > after, framed)
        .order_by(delivery.c.message_id)
        .limit(limit)
    )
    return [row[0] for row in rows]


def waits_signed_before(tx: Transaction, tenant_id: str, at_ms: int) -> bool:
    """Whether a mail of a tenant that was signed before then is queued, or held: what is rendered later is not."""
    same_message = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    signed = (delivery.c.created_at <= at_ms) & (message.c.content_state == "ready")
    rows = (
        select(delivery.c.number)
        .join_from(delivery, message, same_message)
        .where(signed)
        .order_by(delivery.c.next_attempt_at)
    )
    halves = (Filter(held=False), Filter(held=True))  # each half has an index that bounds its work
    return any(tx.first(rows.where(*queue_where(tenant_id, half)).limit(1)) is not None for half in halves)


def queue_where(tenant_id: str, wanted: Filter) -> list[ColumnElement[bool]]:
    """What a filter means of a tenant's deliveries, so that an index of the queue is used."""
    return [delivery.c.tenant_id == tenant_id, *filter_where(wanted)]


def filter_where(wanted: Filter) -> list[ColumnElement[bool]]:
    """The same of every tenant's: for whoever runs the gateway, and nobody else."""
    where: list[ColumnElement[bool]] = []
    if wanted.state == "queued":
        where.append(delivery.c.state == literal_column("'queued'"))  # a literal: the indices are of these rows only
    elif wanted.state:
        where.append(delivery.c.state == wanted.state)
    if wanted.message_id:
        where.append(delivery.c.message_id == wanted.message_id)
    if wanted.recipient.startswith("@"):
        where.append(delivery.c.recipient.iendswith(wanted.recipient, autoescape=True))
    elif wanted.recipient:
        where.append(delivery.c.recipient.icontains(wanted.recipient, autoescape=True))
    if wanted.older_than:
        where.append(delivery.c.created_at < int(wanted.older_than.timestamp() * 1000))
    if wanted.held is not None:
        nothing: ColumnElement[str] = literal_column("''")
        where.append(delivery.c.hold != nothing if wanted.held else delivery.c.hold == nothing)
    if wanted.reason:
        by_hold = (delivery.c.hold != "") & delivery.c.hold.icontains(wanted.reason, autoescape=True)
        where.append((delivery.c.reason == wanted.reason) | by_hold)
    if wanted.host:
        where.append(delivery.c.host.icontains(wanted.host, autoescape=True))
    return where


def read_listed(row: Any) -> Listed:
    """A row of `delivery` with its message's subject and Message-ID, as lists show it."""
    return Listed(
        message_id=row.message_id,
        number=row.number,
        thread_id=row.thread_id,
        recipient=row.recipient,
        state=row.state,
        hold=row.hold,
        attempts=row.attempts,
        next_attempt_at=from_ms(row.next_attempt_at) if row.state == "queued" and not row.hold else None,
        expires_at=from_ms(row.expires_at),
        words=_words(row),
        host=row.host,
        reason=row.reason,
        subject=row.subject,
        rfc_message_id=row.rfc_message_id,
        created_at=need_time(row.created_at),
    )


def _words(row: Any) -> str:
    return say(row.code, row.status, row.text)

"""Mail that is held or goes later: the inbox's view "scheduled", with "send now" (`queue.release`) and cancel.

Called by `inbox.listing`. Walks along the two indices of what is queued; writes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select

from gateway.outbound.queue_list import Filter, queue_where
from gateway.store.database import Transaction, need_time
from gateway.store.schema import delivery, message


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A mail that waits for its time, or for a person: nobody has tried it, or it is held."""

    message_id: str
    thread_id: str
    at_ms: int
    at: datetime  # when it goes; of a held one, when it was to go
    hold: str  # why it waits for a person
    recipients: int
    subject: str
    to: str
    kind: str
    created_at: datetime


_LOOKED_AT = 5000  # queued deliveries among which scheduled ones are counted


def list_scheduled(tx: Transaction, tenant_id: str, after: tuple[Any, str] | None, limit: int) -> list[Scheduled]:
    """The mails that are held or scheduled, the next first; `after` is (at in ms, message id). Two queries."""
    found = [_scheduled(row) for held in (False, True) for row in tx.all(_scheduled_of(tenant_id, held, after, limit))]
    return sorted(found, key=lambda one: (one.at_ms, one.message_id))[:limit]


def _scheduled_of(tenant_id: str, held: bool, after: tuple[Any, str] | None, limit: int) -> Select[Any]:
    other = delivery.alias()
    same = (other.c.tenant_id == delivery.c.tenant_id) & (other.c.message_id == delivery.c.message_id)
    waiting = same & (other.c.state == "queued")
    first = select(func.min(other.c.number)).where(waiting).correlate(delivery).scalar_subquery()
    count = select(func.count()).select_from(other).where(waiting).correlate(delivery).scalar_subquery()
    where = [*queue_where(tenant_id, Filter(held=held)), delivery.c.number == first]
    if not held:
        where.append(delivery.c.attempts == 0)
    at, id = delivery.c.next_attempt_at, delivery.c.message_id
    if after:
        where += [at >= after[0], or_(at > after[0], id > after[1])]
    same_message = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    columns = (id, delivery.c.thread_id, at, delivery.c.hold, count, message.c.subject, message.c.recipients,
               message.c.kind, delivery.c.created_at)  # fmt: skip
    return select(*columns).join_from(delivery, message, same_message).where(*where).order_by(at, id).limit(limit)


def _scheduled(row: Any) -> Scheduled:
    return Scheduled(*(*row[:3], need_time(row[2]), *row[3:8], need_time(row[8])))


def count_scheduled(tx: Transaction, tenant_id: str) -> int:
    """How many mails are held or scheduled, among the first 5,000 queued deliveries."""
    ids = set()
    for held in (False, True):
        where = queue_where(tenant_id, Filter(held=held))
        some = select(delivery.c.message_id, delivery.c.attempts).where(*where).limit(_LOOKED_AT).subquery()
        untried = select(some.c.message_id).distinct().where(True if held else some.c.attempts == 0)  # type: ignore[arg-type]
        ids |= {row[0] for row in tx.all(untried.limit(1000))}
    return min(len(ids), 1000)

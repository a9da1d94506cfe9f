"""Counts what a slot of ten minutes was like from the events of that time; no more is read than happened in it.

Called every half minute by `serve.reporting`, for the slot that runs and the one before. A number is counted anew each
time, so two processes that count write the same. Events are found by their ids, which tell when they were made; on a
clock that runs behind they are missed, which a plot survives.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, literal_column, select

from gateway.store.database import Transaction, id_at
from gateway.store.measures import SLOT_MS, Measure, drop_old, put_measures, slot_of
from gateway.store.schema import OPERATOR, delivery, event, tenant

ACCEPTED, RELAYED, FAILED = "message.accepted", "recipient.accepted", ("recipient.bounced", "recipient.expired")
_SLACK_MS = 60_000  # by which an event may have been made before, or after, the time that it tells


def measure_now(tx: Transaction, now: datetime) -> None:
    """Count the slot that runs and the one before it, and forget old ones."""
    running, queued = slot_of(now), count_queued(tx)
    for slot in (running - 1, running):
        put_measures(tx, measure_slot(tx, slot, queued if slot == running else None))
    drop_old(tx, now)


def measure_slot(tx: Transaction, slot: int, queued: int | None) -> list[Measure]:
    """The slot of all together, first, and of each tenant that had mail in it."""
    rows = tx.all(
        select(tenant.c.tenant_id, *(_count(*types) for types in ((ACCEPTED,), (RELAYED,), FAILED)))
        .join_from(tenant, event, event.c.tenant_id == tenant.c.tenant_id)
        .where(*_within(slot), event.c.type.in_([ACCEPTED, RELAYED, *FAILED]))
        .group_by(tenant.c.tenant_id)
    )
    tenants = [Measure(row[0], slot, int(row[1]), int(row[2]), int(row[3])) for row in rows]
    half, most = _percentiles(tx, slot)
    total = [sum(getattr(one, name) for one in tenants) for name in ("accepted", "relayed", "failed")]
    return [Measure(OPERATOR, slot, total[0], total[1], total[2], half, most, queued), *tenants]


def _within(slot: int) -> Iterable[Any]:
    begins, ends = slot * SLOT_MS, (slot + 1) * SLOT_MS
    ids = event.c.event_id >= id_at(begins - _SLACK_MS), event.c.event_id < id_at(ends + _SLACK_MS)
    return (*ids, event.c.at >= begins, event.c.at < ends)


def _count(*types: str) -> Any:
    return func.sum(case((event.c.type.in_(types), 1), else_=0))


def _percentiles(tx: Transaction, slot: int) -> tuple[int, int]:
    """Milliseconds from acceptance until a server had it: of the middle one, and of the 95th of a hundred."""
    same = (
        (delivery.c.tenant_id == event.c.tenant_id)
        & (delivery.c.message_id == event.c.message_id)
        & (delivery.c.number == event.c.number)
    )
    took = event.c.at - delivery.c.created_at
    ranked = (
        select(took.label("took"), func.row_number().over(order_by=took).label("rank"), func.count().over().label("n"))
        .select_from(tenant)
        .join(event, event.c.tenant_id == tenant.c.tenant_id)
        .join(delivery, same)
        .where(*_within(slot), event.c.type == RELAYED)
        .subquery()
    )
    at = [ranked.c.rank == (ranked.c.n * share + 99) // 100 for share in (50, 95)]  # whole numbers: rounded up
    rows = tx.all(select(ranked.c.rank, ranked.c.took).where(at[0] | at[1]).order_by(ranked.c.rank))
    return (max(int(rows[0][1]), 0), max(int(rows[-1][1]), 0)) if rows else (0, 0)


def count_queued(tx: Transaction) -> int:
    """How many deliveries of all tenants are queued, held ones too: from two indices of such rows alone."""
    nothing: Any = literal_column("''")
    queued = delivery.c.state == literal_column("'queued'")
    return sum(
        int(tx.first(select(func.count()).select_from(delivery).where(queued, half))[0])
        for half in (delivery.c.hold == nothing, delivery.c.hold != nothing)
    )

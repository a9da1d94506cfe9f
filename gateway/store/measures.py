"""What ten minutes of mail were like: accepted, relayed, failed, how fast, how much was queued; by tenant and in all.

Written by `inbox.measuring`, which counts the events of a slot, again as long as events may still come; read by the
operator's page, so that a page that is looked at every ten seconds reads 144 rows and no mail. Kept for two days.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select

from gateway.store.database import Transaction, to_ms
from gateway.store.schema import OPERATOR, measure

SLOT_MS = 600_000
KEPT = timedelta(days=2)
_COUNTS = ("accepted", "relayed", "failed", "half", "most")


@dataclass(frozen=True, slots=True)
class Measure:
    """Ten minutes of a tenant, or of all together. `half`, `most`: ms until half, and 95 of 100, were relayed."""

    tenant_id: str
    slot: int
    accepted: int = 0
    relayed: int = 0
    failed: int = 0
    half: int = 0
    most: int = 0
    queued: int | None = None


def slot_of(at: datetime) -> int:
    """The slot that a moment is in."""
    return to_ms(at) // SLOT_MS


def put_measures(tx: Transaction, made: Iterable[Measure]) -> None:
    """Keep what was counted, in place of what was known of the same slots."""
    for one in made:
        counts = {name: min(getattr(one, name), 2**31 - 1) for name in _COUNTS} | {"queued": one.queued}
        insert = tx.upsert(measure).values(tenant_id=one.tenant_id, slot=one.slot, **counts)
        known = counts if one.queued is not None else {name: counts[name] for name in _COUNTS}
        tx.change(insert.on_conflict_do_update(index_elements=["tenant_id", "slot"], set_=known))


def list_measures(tx: Transaction, since: int, tenant_id: str = OPERATOR) -> list[Measure]:
    """The slots of a tenant from one on, of all together when none is named; slots without mail may be missing."""
    columns = (measure.c.tenant_id, measure.c.slot, *(measure.c[name] for name in _COUNTS), measure.c.queued)
    where = (measure.c.tenant_id == tenant_id) & (measure.c.slot >= since)
    return [Measure(*row) for row in tx.all(select(*columns).where(where).order_by(measure.c.slot))]


def sum_by_tenant(tx: Transaction, since: int, tenant_ids: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """(accepted, relayed, failed) of tenants since a slot."""
    sums = [func.sum(measure.c[name]) for name in ("accepted", "relayed", "failed")]
    where = measure.c.tenant_id.in_(list(tenant_ids)) & (measure.c.slot >= since)
    rows = tx.all(select(measure.c.tenant_id, *sums).where(where).group_by(measure.c.tenant_id))
    return {row[0]: (int(row[1]), int(row[2]), int(row[3])) for row in rows}


def drop_old(tx: Transaction, now: datetime) -> None:
    """Forget what nobody plots any more."""
    tx.change(delete(measure).where(measure.c.slot < slot_of(now - KEPT)))

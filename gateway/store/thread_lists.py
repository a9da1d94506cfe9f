"""Lists of a tenant's threads, and how many stand in each: what the views of the inbox are made of. Writes nothing.

Called by `inbox.listing` and `serve.waking`. Each list is walked along an index, from a cursor on, so it costs the same
however many threads there are: a lane (`threads.LANES`) by the time of the last mail, an assignee's open threads, what
is snoozed or promised by its day. Counts end at COUNT_MOST; a person need not know how many thousands more there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, literal_column, or_, select, union_all

from gateway.store.database import Transaction
from gateway.store.schema import tenant, thread
from gateway.store.threads import CLOSED, COLUMNS, LANES, OPEN, OPEN_LANES, Thread, thread_of

COUNT_MOST = 1000  # a list that is longer counts as this long

_OPEN = thread.c.state == literal_column("'open'")  # literals: the indices are of these rows only
_SNOOZED = thread.c.snoozed_until.is_not(None)
_PROMISED = thread.c.promised_on != literal_column("''")


@dataclass(frozen=True, slots=True)
class Listing:
    """Which threads: of some lanes, or of one assignee ("" for nobody), or by what they wait for."""

    lanes: tuple[str, ...] = ()
    assignee: str | None = None
    by: str = "last_at"  # or snoozed_until, promised_on: those that have one, the earliest first


Cursor = tuple[int | str, str]  # the value of `by` and the id of the last thread on the page before


def list_lanes(tx: Transaction, tenant_id: str, wanted: Listing, after: Cursor | None, limit: int) -> list[Thread]:
    """The threads of a listing in its order, after a cursor; one query."""
    walks = [_walk(tenant_id, wanted, lane, after, limit) for lane in wanted.lanes or ("",)]
    if len(walks) == 1:
        return [thread_of(row) for row in tx.all(walks[0])]
    merged = union_all(*(select(walk.subquery()) for walk in walks)).subquery()  # each walk has its own index range
    order = (merged.c.last_at.desc(), merged.c.thread_id.desc())
    return [thread_of(row) for row in tx.all(select(merged).order_by(*order).limit(limit))]


def _walk(tenant_id: str, wanted: Listing, lane: str, after: Cursor | None, limit: int) -> Select[Any]:
    column: Any = thread.c[wanted.by]
    query = select(*COLUMNS).where(thread.c.tenant_id == tenant_id, *_where(wanted, lane))
    if wanted.by == "last_at":
        if after:
            query = query.where(column <= after[0])  # lets the index begin there; the next line is exact
            same = and_(column == after[0], thread.c.thread_id < after[1])
            query = query.where(or_(column < after[0], same))
        return query.order_by(column.desc(), thread.c.thread_id.desc()).limit(limit)
    if after:
        query = query.where(column >= after[0])
        query = query.where(or_(column > after[0], and_(column == after[0], thread.c.thread_id > after[1])))
    return query.order_by(column, thread.c.thread_id).limit(limit)


def _where(wanted: Listing, lane: str) -> list[ColumnElement[bool]]:
    if lane:
        return [thread.c.lane == lane]
    if wanted.assignee is not None:
        return [_OPEN, thread.c.assignee == wanted.assignee]
    return [_SNOOZED if wanted.by == "snoozed_until" else _PROMISED]


def count_listings(tx: Transaction, tenant_id: str, wanted: dict[str, Listing]) -> dict[str, int]:
    """How many threads each listing has, COUNT_MOST at the most; one query that reads indices only."""
    counts = []
    for name, listing in wanted.items():
        for lane in listing.lanes or ("",):
            some = select(literal(1)).where(thread.c.tenant_id == tenant_id, *_where(listing, lane)).limit(COUNT_MOST)
            counts.append(select(literal(name).label("name"), select(func.count()).select_from(some.subquery())
                                 .scalar_subquery().label("count")))  # fmt: skip
    found = dict.fromkeys(wanted, 0)
    for name, count in tx.all(union_all(*counts)):
        found[name] = min(found[name] + count, COUNT_MOST)
    return found


def list_threads(
    tx: Transaction, tenant_id: str, *, state: str = "", before: tuple[int, str] | None = None, limit: int = 50
) -> list[Thread]:
    """A tenant's threads of a state (all: ""), the latest first; `before` is (last_at in ms, id) of the last one."""
    lanes: Sequence[str] = {OPEN: OPEN_LANES, CLOSED: ("sent", "done")}.get(state, (state,) if state else LANES)
    return list_lanes(tx, tenant_id, Listing(tuple(lanes)), before, limit)


def tenants_to_wake(tx: Transaction, now_ms: int) -> list[str]:
    """The tenants with threads whose snooze has ended."""
    every = select(tenant.c.tenant_id)  # lets the index, which begins with the tenant, be used
    where = (thread.c.tenant_id.in_(every), _SNOOZED, thread.c.snoozed_until <= now_ms)
    return [row[0] for row in tx.all(select(thread.c.tenant_id).where(*where).distinct())]

"""How far the search index is: what was followed, whose turn it is, and how much of each tenant was built.

Written by `inbox.indexing` in the transaction that writes the index; read by the doctor, the commands and the pages.
On PostgreSQL one node is at it: a lease that is renewed with each write, and taken over when it ends.
"""

from dataclasses import dataclass

from sqlalchemy import func, insert, literal, select, union_all, update

from gateway.store.database import Transaction, id_at
from gateway.store.schema import OPERATOR, event, search_progress, tenant, thread

LEASE_MS = 60_000
BUILDING, BUILT = "building", "built"


@dataclass(frozen=True, slots=True)
class Progress:
    """A tenant's part of the index. `next_seq`: the place that the next thread gets, going down; `position`: after
    which thread the walk goes on."""

    tenant_id: str
    state: str
    position: str
    next_seq: int
    total: int
    done: int


_FOLLOW, _BUILD = "follow", "build"
_HOUSE = (search_progress.c.tenant_id == OPERATOR) & (search_progress.c.part == _FOLLOW)


def read_cursor(tx: Transaction) -> str:
    """The event up to which all was followed; "" before the first time."""
    row = tx.first(select(search_progress.c.cursor).where(_HOUSE))
    return str(row[0]) if row else ""


def begin_following(tx: Transaction, now_ms: int) -> None:
    """The first time: what happened before is found by building; what happens from a minute ago on is followed."""
    values = {"tenant_id": OPERATOR, "part": _FOLLOW, "cursor": id_at(now_ms - 60_000), "updated_at": now_ms}
    tx.change(tx.upsert(search_progress).values(values).on_conflict_do_nothing())


def take_lease(tx: Transaction, now_ms: int, node: str) -> bool:
    """Whether this node follows now, for a minute."""
    begin_following(tx, now_ms)
    free = (search_progress.c.leased_by == node) | (func.coalesce(search_progress.c.leased_until, 0) < now_ms)
    values = {"leased_by": node, "leased_until": now_ms + LEASE_MS, "updated_at": now_ms}
    return bool(tx.change(update(search_progress).where(_HOUSE, free).values(values)))


def give_lease_back(tx: Transaction, node: str) -> None:
    """Somebody else may follow at once."""
    mine = _HOUSE & (search_progress.c.leased_by == node)
    tx.change(update(search_progress).where(mine).values(leased_by="", leased_until=None))


def move_cursor(tx: Transaction, now_ms: int, node: str, cursor: str) -> bool:
    """All up to the cursor was followed; False when another node has the lease."""
    mine = _HOUSE & (search_progress.c.leased_by == node)
    values = {"cursor": cursor, "leased_until": now_ms + LEASE_MS, "updated_at": now_ms}
    return bool(tx.change(update(search_progress).where(mine).values(values)))


def draw_places(tx: Transaction, count: int) -> int:
    """The last of so many new places; whoever draws at the same time waits."""
    tx.change(update(search_progress).where(_HOUSE).values(seq=search_progress.c.seq + count))
    return int(tx.first(select(search_progress.c.seq).where(_HOUSE))[0])


def list_progress(tx: Transaction) -> list[Progress]:
    """How far each tenant's part is."""
    names = ("tenant_id", "state", "position", "seq", "total", "done")
    rows = tx.all(select(*(search_progress.c[name] for name in names)).where(search_progress.c.part == _BUILD))
    return [Progress(*row) for row in rows]


def list_unbuilt(tx: Transaction) -> list[str]:
    """Tenants (and the operator's own mail) whose threads were never indexed."""
    known = {one.tenant_id for one in list_progress(tx)}
    every = [OPERATOR, *(row[0] for row in tx.all(select(tenant.c.tenant_id).order_by(tenant.c.tenant_id)))]
    return [one for one in every if one not in known]


def begin_building(tx: Transaction, now_ms: int, tenant_id: str) -> Progress:
    """Have all threads of a tenant indexed anew, the latest first: places for all are set aside now."""
    total = int(tx.first(select(func.count()).select_from(thread).where(thread.c.tenant_id == tenant_id))[0])
    last = draw_places(tx, total)
    made = Progress(tenant_id, BUILDING, "", last, total, 0)
    values = {"state": BUILDING, "position": "", "seq": last, "total": total, "done": 0, "updated_at": now_ms}
    where = (search_progress.c.tenant_id == tenant_id) & (search_progress.c.part == _BUILD)
    if not tx.change(update(search_progress).where(where).values(values)):
        tx.change(insert(search_progress).values(tenant_id=tenant_id, part=_BUILD, **values))
    return made


def note_built(tx: Transaction, now_ms: int, was: Progress, now: Progress) -> bool:
    """The walk came so far; False when somebody else went on with it meanwhile."""
    same = (search_progress.c.tenant_id == was.tenant_id) & (search_progress.c.position == was.position)
    same &= (
        (search_progress.c.part == _BUILD)
        & (search_progress.c.seq == was.next_seq)
        & (search_progress.c.state == BUILDING)
    )
    values = {"state": now.state, "position": now.position, "seq": now.next_seq, "done": now.done, "updated_at": now_ms}
    return bool(tx.change(update(search_progress).where(same).values(values)))


def oldest_unfollowed(tx: Transaction, cursor: str, types: frozenset[str]) -> int | None:
    """When the first event after a cursor happened that changes an entry (ms); None: the index is up to date."""
    owner = union_all(select(tenant.c.tenant_id), select(literal(OPERATOR).label("tenant_id"))).subquery()
    after = (event.c.event_id > cursor) & event.c.type.not_in(types)
    # A step along the index for each tenant: by one condition on all of them PostgreSQL reads every event there is.
    theirs = select(event.c.at).where(event.c.tenant_id == owner.c.tenant_id, after).order_by(event.c.event_id).limit(1)
    first = select(theirs.correlate(owner).scalar_subquery().label("at")).select_from(owner).subquery()
    row = tx.first(select(func.min(first.c.at)))
    return None if row is None or row[0] is None else int(row[0])

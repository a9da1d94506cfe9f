"""What is indexed of a thread, and following what happens: the index is written after the commit, not by a door.

`serve.indexing` keeps `Follower.step` going; `gateway inbox reindex` builds a tenant's part. Every change of a thread
writes an event in its transaction, so whoever reads events misses nothing. On PostgreSQL they commit in another order
than their ids: a step looks again at all that is younger than the *horizon* of the step before (`store.event_feed`),
before which nothing can be committed any more, and remembers which of them it has seen. Entries are made outside the
writing transaction and written if nobody else wrote the thread meanwhile (`version`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select

from gateway.inbox.search_entries import make_entries
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.event_feed import find_horizon
from gateway.store.schema import OPERATOR, event, tenant
from gateway.store.search_index import put_entries
from gateway.store.search_progress import (
    BUILT,
    Progress,
    draw_places,
    move_cursor,
    note_built,
    read_cursor,
    take_lease,
)
from gateway.store.search_tokens import Entry
from gateway.store.thread_lists import Listing, list_lanes
from gateway.store.threads import LANES

BATCH = 25  # threads in one writing transaction: others wait for it
LOOK = 500  # events that a step reads
# events that change nothing of what is indexed: every mail has several
IGNORED = frozenset(("attempt", "recipient.accepted", "recipient.deferred", "recipient.late", "pdf.downloaded",
                     "message.queued", "report.ignored", "reminder.skipped"))  # fmt: skip


# -- following


@dataclass
class Follower:
    """Follows what happens in one database. `step` it; it keeps what it has seen beyond the horizon."""

    database: Database
    node: str
    cursor: str = ""  # all before it is indexed
    seen: set[str] = field(default_factory=set)  # events after the cursor that are indexed
    leased_until: int = 0

    async def step(self, now: datetime) -> int:
        """Index what changed since the last step; how many threads. -1: another node follows."""
        now_ms = to_ms(now)
        if now_ms > self.leased_until - 40_000 and not await self._take_lease(now_ms):
            return -1
        horizon = str(await self.database.read(find_horizon))
        changed, seen, last = await self.database.read(read_changed, self.cursor, self.seen)
        for tenant_id, ids in changed.items():
            await index_threads(self.database, tenant_id, sorted(ids))
        reached = min(horizon, last) if last else horizon
        self.seen = {one for one in self.seen | seen if one > reached}
        if reached > self.cursor:
            self.cursor = reached
        if changed and not await self.database.write(move_cursor, now_ms, self.node, self.cursor):
            self.leased_until = 0
        return sum(map(len, changed.values()))

    async def _take_lease(self, now_ms: int) -> bool:
        taken = await self.database.write(take_lease, now_ms, self.node)
        if not taken:
            self.cursor, self.seen, self.leased_until = "", set(), 0
            return False
        if not self.cursor:
            self.cursor = await self.database.read(read_cursor)
        self.leased_until = now_ms + 60_000
        return True


def read_changed(tx: Transaction, cursor: str, seen: set[str]) -> tuple[dict[str, set[str]], set[str], str]:
    """Threads by tenant that changed after the cursor, the events that say so, and the last one if there are more."""
    owners = [OPERATOR, *(row[0] for row in tx.all(select(tenant.c.tenant_id)))]
    columns = (event.c.event_id, event.c.tenant_id, event.c.thread_id, event.c.type)
    found: list[Sequence[str]] = []
    for at in range(0, len(owners), 500):
        where = event.c.tenant_id.in_(owners[at : at + 500]) & (event.c.event_id > cursor)
        found += tx.all(select(*columns).where(where).order_by(event.c.event_id).limit(LOOK + len(seen)))
    found.sort(key=lambda row: row[0])
    more = len(found) >= LOOK + len(seen)
    found = found[: LOOK + len(seen)]
    changed: dict[str, set[str]] = {}
    for event_id, tenant_id, thread_id, type in found:
        if event_id not in seen and thread_id and type not in IGNORED:
            changed.setdefault(tenant_id, set()).add(thread_id)
    return changed, {row[0] for row in found}, found[-1][0] if more else ""


async def index_threads(database: Database, tenant_id: str, ids: Sequence[str]) -> None:
    """Index threads as they are now, a few at a time; what somebody else wrote meanwhile is read again."""
    for at in range(0, len(ids), BATCH):
        waiting: Sequence[str] = ids[at : at + BATCH]
        while waiting:
            entries = await database.read(make_entries, tenant_id, waiting)
            left = await database.write(_put, entries)
            waiting = [one.thread_id for one in left]


def _put(tx: Transaction, entries: Sequence[Entry]) -> list[Entry]:
    return put_entries(tx, entries, lambda count: draw_places(tx, count))


# -- building a tenant's part


def read_next(tx: Transaction, was: Progress, count: int) -> tuple[list[Entry], Progress]:
    """The next threads of a walk, the latest first, with their places; and how far the walk is then."""
    at, _, last = was.position.partition(".")
    before = (int(at), last) if last else None
    count = min(count, was.total - was.done)
    found = list_lanes(tx, was.tenant_id, Listing(LANES), before, count) if count else []
    places = {one.id: was.next_seq - place for place, one in enumerate(found)}
    entries = [replace(one, seq=places[one.thread_id]) for one in make_entries(tx, was.tenant_id, list(places))]
    if not found:
        return [], replace(was, state=BUILT)
    position = f"{to_ms(found[-1].last_at)}.{found[-1].id}"
    return entries, replace(was, position=position, next_seq=was.next_seq - len(found), done=was.done + len(found))


def write_next(tx: Transaction, now: datetime, was: Progress, entries: Sequence[Entry], reached: Progress) -> Progress:
    """Write them and note it; the same progress when somebody else walks too, or a thread changed meanwhile."""
    if put_entries(tx, entries, lambda count: draw_places(tx, count)):
        raise Meanwhile
    if not note_built(tx, to_ms(now), was, reached):
        raise Meanwhile
    return reached


class Meanwhile(Exception):
    """Somebody wrote the same threads; nothing is written, read them again."""

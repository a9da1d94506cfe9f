"""What is indexed of a thread, and following what happens: the index is written after the commit, not by a door.

`serve.indexing` keeps `Follower.step` going; `gateway inbox reindex` builds a tenant's part. Which threads changed is
known from `inbox.search_news`. Entries are made and spelt outside the writing transaction, and written if nobody else
wrote the thread meanwhile (`version`), on a lane of their own. What a thread costs is bounded: of a long one the newest
is indexed, and the more it has, the more seldom; a writing transaction ends after so many words.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from gateway.inbox.search_entries import make_entries
from gateway.inbox.search_news import Key, read_news
from gateway.store.database import Database, Transaction, foresees, to_ms
from gateway.store.event_feed import find_horizon
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
from gateway.store.search_spelling import Spelt
from gateway.store.thread_lists import Listing, list_lanes
from gateway.store.threads import LANES

BATCH = 25  # threads that are read at once
STEP = 100  # that a step indexes
WRITTEN = 6_000  # words that one transaction writes and forgets, unless they are one thread's: some 3 ms
WORD_REST, MAIL_REST = 1, 20  # ms that a thread is left alone for each of its words and mails, once it was indexed
LEAST_REST = 2_000  # ms; who would rest less does not rest

T = TypeVar("T")


# -- indexing


@dataclass
class Indexer:
    """Indexes threads, and counts what CPU it takes."""

    database: Database
    spent: float = 0.0  # seconds of CPU so far

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """As the database does."""
        result, took = await self.database.read(_measured, function, *args)
        self.spent += took
        return result

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        """As the database does, beside the doors where it can."""
        result, took = await self.database.write(_measured_beside, function, *args)
        self.spent += took
        return result

    async def index(self, tenant_id: str, ids: Sequence[str]) -> dict[str, int]:
        """Index threads as they are now, a few at a time; what somebody else wrote meanwhile is read again.

        How long (ms) each should be left alone now.
        """
        rests: dict[str, int] = {}
        for at in range(0, len(ids), BATCH):
            waiting: Sequence[str] = ids[at : at + BATCH]
            while waiting:
                spelt = await self.read(make_entries, tenant_id, waiting)
                waiting = []
                for some in _portions(one for one in spelt if one.is_news):
                    waiting += [one.id for one in await self.write(_put, some)]
                rests |= {one.id: one.size * WORD_REST + one.entry.mails * MAIL_REST for one in spelt}
        return rests


def _measured(tx: Transaction, function: Callable[..., T], *args: Any) -> tuple[T, float]:
    began = time.thread_time()
    return function(tx, *args), time.thread_time() - began


@foresees(lambda *_: (), lane="search")
def _measured_beside(tx: Transaction, function: Callable[..., T], *args: Any) -> tuple[T, float]:
    return _measured(tx, function, *args)


def _portions(spelt: Iterable[Spelt], most: int = WRITTEN) -> Iterator[list[Spelt]]:
    """What is written in one transaction each."""
    some: list[Spelt] = []
    words = 0
    for one in spelt:
        if some and words + one.size > most:
            yield some
            some, words = [], 0
        some.append(one)
        words += one.size
    if some:
        yield some


def _put(tx: Transaction, spelt: Sequence[Spelt]) -> list[Spelt]:
    return put_entries(tx, spelt, lambda count: draw_places(tx, count))


async def index_threads(database: Database, tenant_id: str, ids: Sequence[str]) -> None:
    """Index some threads of a tenant now."""
    await Indexer(database).index(tenant_id, ids)


# -- following


@dataclass
class Follower:
    """Follows what happens in one database. `step` it; it keeps what it has seen beyond the horizon.

    On PostgreSQL events commit in another order than their ids: a step looks again at all that is younger than the
    *horizon* of the step before (`store.event_feed`), and remembers which of them it has seen.
    """

    database: Database
    node: str
    cursor: str = ""  # all before it was read
    seen: set[str] = field(default_factory=set)  # events after the cursor that were read
    span: int = 1_000  # ms of events that are looked at
    waiting: dict[Key, str] = field(default_factory=dict)  # to be indexed; each with the cursor before its event
    renamed: dict[Key, str] = field(default_factory=dict)  # the same, when nothing else waits
    resting: dict[Key, int] = field(default_factory=dict)  # long threads that were indexed, and until when they rest
    behind: bool = False  # there is more to be done at once
    leased_until: int = 0

    def __post_init__(self) -> None:
        self.indexer = Indexer(self.database)

    async def step(self, now: datetime) -> int:
        """Index what changed since the last step; how many threads. -1: another node follows."""
        now_ms = to_ms(now)
        if now_ms > self.leased_until - 40_000 and not await self._take_lease(now_ms):
            return -1
        horizon = str(await self.database.read(find_horizon))
        before = self.cursor
        news = await self.indexer.read(read_news, before, self.seen, self.span, now_ms)
        for known, found in ((self.waiting, news.threads), (self.renamed, news.renamed)):
            for key in found:
                known.setdefault(key, before)
        self.cursor = max(min(horizon, news.last) if news.last else horizon, before)
        self.seen = {one for one in self.seen | news.events if one > self.cursor}
        self.span = news.span
        count, more = await self._index_some(now_ms)
        self.behind = more or bool(news.last)
        kept = min((self.cursor, *self.waiting.values(), *self.renamed.values()))
        if count and not await self.indexer.write(move_cursor, now_ms, self.node, kept):
            self.leased_until = 0
        return count

    async def _index_some(self, now_ms: int) -> tuple[int, bool]:
        """Index what waits and does not rest: how many threads, and whether there are more."""
        self.resting = {key: until for key, until in self.resting.items() if until > now_ms}
        due = [key for key in self.waiting if key not in self.resting]
        due += [key for key in self.renamed if key not in self.resting and key not in self.waiting]
        some = due[:STEP]
        for tenant_id in dict.fromkeys(key[0] for key in some):
            ids = sorted(key[1] for key in some if key[0] == tenant_id)
            for thread_id, rest in (await self.indexer.index(tenant_id, ids)).items():
                if rest >= LEAST_REST:
                    self.resting[tenant_id, thread_id] = now_ms + rest
        for key in some:
            self.waiting.pop(key, None)
            self.renamed.pop(key, None)
        return len(some), len(due) > len(some)

    async def _take_lease(self, now_ms: int) -> bool:
        taken = await self.indexer.write(take_lease, now_ms, self.node)
        if not taken:
            self.cursor, self.seen, self.leased_until = "", set(), 0
            self.waiting, self.renamed = {}, {}
            return False
        if not self.cursor:
            self.cursor = await self.database.read(read_cursor)
        self.leased_until = now_ms + 60_000
        return True


# -- building a tenant's part


def read_next(tx: Transaction, was: Progress, count: int, most: int = WRITTEN) -> tuple[list[Spelt], Progress]:
    """The next threads of a walk, the latest first, with their places; and how far the walk is then.

    `count` of them, or as many as have `most` words together, but one at least.
    """
    at, _, last = was.position.partition(".")
    before = (int(at), last) if last else None
    count = min(count, was.total - was.done)
    found = list_lanes(tx, was.tenant_id, Listing(LANES), before, count) if count else []
    if not found:
        return [], replace(was, state=BUILT)
    places = {one.id: was.next_seq - place for place, one in enumerate(found)}
    spelt = sorted(make_entries(tx, was.tenant_id, list(places), places), key=lambda one: -one.entry.seq)
    some = next(_portions(spelt, most))
    found = found[: len(some)]
    position = f"{to_ms(found[-1].last_at)}.{found[-1].id}"
    return some, replace(was, position=position, next_seq=was.next_seq - len(found), done=was.done + len(found))


def write_next(tx: Transaction, now: datetime, was: Progress, spelt: Sequence[Spelt], reached: Progress) -> Progress:
    """Write them and note it; the same progress when somebody else walks too, or a thread changed meanwhile."""
    if put_entries(tx, spelt, lambda count: draw_places(tx, count)):
        raise Meanwhile
    if not note_built(tx, to_ms(now), was, reached):
        raise Meanwhile
    return reached


class Meanwhile(Exception):
    """Somebody wrote the same threads; nothing is written, read them again."""

"""The loop that keeps the search index up to date, within the house: `serve` starts it in its first seat.

It gives way: after each step it rests for as long as the step took of the CPU; while the process is busy with mail,
until all else has had thirty times as much. So it takes three parts in a hundred then, on a machine that others use,
too, and catches up afterwards. Parts that were never built (a new tenant, a database that is older than the index) are
built beside it, the latest threads first.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.inbox.indexing import Follower, Meanwhile, read_next, write_next
from gateway.store.database import Database, to_ms
from gateway.store.search_progress import BUILDING, begin_building, list_progress, list_unbuilt

log = structlog.get_logger()

LOOK_SECONDS = 1.0
LEAST_SECONDS = 0.01
GIVE_WAY, LONGEST = 30, 60  # of what it worked: the CPU that all else gets before it goes on, the time that it waits
IDLE = 0.1  # of a core: a process that takes less does not mind
UNBUILT_SECONDS = 5.0
BUILT_AT_ONCE = 16  # threads: as many as one writing transaction takes, as a rule


@dataclass(frozen=True, slots=True)
class Indexing:
    """The loop's surroundings."""

    database: Database
    node: str
    clock: Callable[[], datetime]

    async def run(self) -> None:
        """Follow and build, for ever; survives every exception but cancellation."""
        follower, looked = Follower(self.database, self.node), 0.0
        while True:
            began, spent, built = time.monotonic(), follower.indexer.spent, False
            try:
                changed = await follower.step(self.clock())
                if changed >= 0 and not follower.behind and began - looked > UNBUILT_SECONDS:
                    built = await self.build_some(follower)
                    looked = looked if built else began
            except Meanwhile:
                built = True
            except Exception as error:
                log.error("search.failed", error=type(error).__name__, exc_info=True)
                follower, spent = Follower(self.database, self.node), 0.0
            await _give_way(follower.indexer.spent - spent)
            if not (built or follower.behind):
                await asyncio.sleep(LOOK_SECONDS - (time.monotonic() - began))

    async def build_some(self, follower: Follower) -> bool:
        """Index the next threads of a tenant's part that is not built; whether there was one."""
        now, indexer = self.clock(), follower.indexer
        for tenant_id in await self.database.read(list_unbuilt):
            made = await indexer.write(begin_building, to_ms(now), tenant_id)
            if made.total:
                log.info("search.building", tenant=tenant_id, threads=made.total)
        for one in await self.database.read(list_progress):
            if one.state == BUILDING:
                spelt, reached = await indexer.read(read_next, one, BUILT_AT_ONCE)
                await indexer.write(write_next, now, one, spelt, reached)
                return True
        return False


async def _give_way(spent: float) -> None:
    """Rest after so many seconds of CPU."""
    began, used = time.monotonic(), time.process_time()
    while True:
        at, before = time.monotonic(), time.process_time()
        await asyncio.sleep(max(spent, LEAST_SECONDS))
        taken, now = time.process_time(), time.monotonic()
        if taken - before < IDLE * (now - at) or taken - used >= GIVE_WAY * spent or now - began >= LONGEST * spent:
            return

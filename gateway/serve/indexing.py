"""The loop that keeps the search index up to date, within the house: `serve` starts it in its first seat.

It gives way: after each step it rests for as long as the step took of the CPU, up to thirty times as long when the
process is busy with mail, so that it takes three parts in a hundred then, and catches up afterwards. Parts that were
never built (a new tenant, a database that is older than the index) are built beside it, the latest threads first.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.inbox.indexing import BATCH, Follower, Meanwhile, read_next, write_next
from gateway.store.database import Database, to_ms
from gateway.store.search_progress import BUILDING, begin_building, list_progress, list_unbuilt

log = structlog.get_logger()

LOOK_SECONDS = 1.0
LEAST_SECONDS = 0.01
GIVE_WAY = 30  # how many times as long as it worked it rests when all else takes a whole core
UNBUILT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Indexing:
    """The loop's surroundings."""

    database: Database
    node: str
    clock: Callable[[], datetime]

    async def run(self) -> None:
        """Follow and build, for ever; survives every exception but cancellation."""
        follower, looked, busy = Follower(self.database, self.node), 0.0, 0.0
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
            rest = (follower.indexer.spent - spent) * (1 + GIVE_WAY * busy)
            least = LEAST_SECONDS if built or follower.behind else LOOK_SECONDS - (time.monotonic() - began)
            busy = await _rest(max(rest, least, LEAST_SECONDS))

    async def build_some(self, follower: Follower) -> bool:
        """Index the next threads of a tenant's part that is not built; whether there was one."""
        now, indexer = self.clock(), follower.indexer
        for tenant_id in await self.database.read(list_unbuilt):
            made = await indexer.write(begin_building, to_ms(now), tenant_id)
            if made.total:
                log.info("search.building", tenant=tenant_id, threads=made.total)
        for one in await self.database.read(list_progress):
            if one.state == BUILDING:
                spelt, reached = await indexer.read(read_next, one, BATCH)
                await indexer.write(write_next, now, one, spelt, reached)
                return True
        return False


async def _rest(seconds: float) -> float:
    """Sleep; how much of a core the process took meanwhile, 1 at the most."""
    began, used = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    return min((time.process_time() - used) / (time.monotonic() - began), 1.0)

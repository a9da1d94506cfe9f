"""The loop that keeps the search index up to date, within the house: `serve` starts it in its first seat.

It gives way: after each step it rests for several times as long as it worked while much mail goes through, so that it
never takes more than a small part of the process, and catches up afterwards. Parts that were never built (a new
tenant, a database that is older than the index) are built beside it, the latest threads first.
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
BUSY = 100  # threads that changed within a step: mail is pouring in
RESTS = (1.0, 9.0)  # how long it rests, by how long it worked: usually, and when the house is busy
UNBUILT_SECONDS = 5.0


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
            began, changed, built = time.monotonic(), 0, False
            try:
                changed = await follower.step(self.clock())
                if changed >= 0 and changed < BUSY and (built or began - looked > UNBUILT_SECONDS):
                    built = await self.build_some()
                    looked = 0.0 if built else began
            except Meanwhile:
                built = True
            except Exception as error:
                log.error("search.failed", error=type(error).__name__, exc_info=True)
                follower = Follower(self.database, self.node)
            worked = time.monotonic() - began
            rest = worked * RESTS[changed >= BUSY]
            await asyncio.sleep(max(rest, 0.01) if built or changed >= BUSY else max(rest, LOOK_SECONDS - worked))

    async def build_some(self) -> bool:
        """Index the next threads of a tenant's part that is not built; whether there was one."""
        now = self.clock()
        for tenant_id in await self.database.read(list_unbuilt):
            made = await self.database.write(begin_building, to_ms(now), tenant_id)
            if made.total:
                log.info("search.building", tenant=tenant_id, threads=made.total)
        for one in await self.database.read(list_progress):
            if one.state == BUILDING:
                entries, reached = await self.database.read(read_next, one, BATCH)
                await self.database.write(write_next, now, one, entries, reached)
                return True
        return False

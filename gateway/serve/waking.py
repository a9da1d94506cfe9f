"""The loop that opens threads whose snooze has ended. A house needs it once, and several nodes may run it.

Looks every few seconds with one query over an index of snoozed threads. Survives everything.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from gateway.store.database import Database, to_ms
from gateway.store.thread_lists import tenants_to_wake
from gateway.store.threads import wake_threads

log = structlog.get_logger()
EVERY = 10.0  # seconds


async def wake(database: Database, clock: Callable[[], datetime]) -> int:
    """Open what is to be opened now; how many threads."""
    now_ms = to_ms(clock())
    due = await database.read(tenants_to_wake, now_ms)
    return sum([await database.write(wake_threads, now_ms, tenant_id) for tenant_id in due])


async def keep_waking(database: Database, clock: Callable[[], datetime]) -> None:
    """Do so as long as the house is open."""
    while True:
        try:
            await wake(database, clock)
        except Exception as error:  # a loop never ends: the next look may succeed
            log.error("inbox.wake_failed", error=type(error).__name__, exc_info=True)
        await asyncio.sleep(EVERY)

"""Gives deliveries back to the queue that were booked and not tried: their destination rests, or its line is full.

Used by `outbound.delivery`, on the event loop. Many are written in one transaction; one that cannot be written comes
back by itself when its lease ends.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime

import structlog

from gateway.outbound import queue
from gateway.outbound.queue import Booked, Postponed
from gateway.store.database import Database, to_ms

log = structlog.get_logger()

BATCH = 200


class GivingBack:
    """What is to be written back. `ended` is told of each delivery that is nobody's any more."""

    def __init__(self, database: Database, clock: Callable[[], datetime], ended: Callable[[Booked], None]) -> None:
        self._database = database
        self._clock = clock
        self._ended = ended
        self._waiting: list[tuple[Booked, Postponed]] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, made: Iterable[Booked], until: Postponed) -> None:
        """Write these back soon."""
        self._waiting += [(one, until) for one in made]
        if self._task is None and self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def finish(self) -> None:
        """Wait until all is written."""
        if self._task is not None:
            await self._task

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                await self._database.write(queue.postpone, to_ms(self._clock()), batch)
            except Exception as error:
                log.error("delivery.postpone_failed", error=type(error).__name__, exc_info=True)
            for made, _ in batch:
                self._ended(made)
        self._task = None

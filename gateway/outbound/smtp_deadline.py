"""A deadline that is set anew for every command, at the cost of an assignment.

Owned by `outbound.smtp_wire`, one per connection. One timer sleeps at the earliest time it may be needed and looks then
whether the deadline has moved; a fresh timer per command would cost more than the command's bytes.
"""

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """Calls `late(seconds)` when `seconds` have passed since the last `set`, unless it was cleared."""

    def __init__(self, loop: asyncio.AbstractEventLoop, late: Callable[[float], None]) -> None:
        self._loop, self._late = loop, late
        self._at, self._seconds = math.inf, 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def set(self, seconds: float) -> None:
        """Start waiting anew."""
        self._seconds = seconds
        self._at = self._loop.time() + seconds
        if self._at < self._timer_at:
            self.cancel()
            self._arm()

    def clear(self) -> None:
        """Nothing is waited for."""
        self._at = math.inf

    def cancel(self) -> None:
        """Give the timer back: for a connection that has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, math.inf

    def _arm(self) -> None:
        self._timer, self._timer_at = self._loop.call_at(self._at, self._ring), self._at

    def _ring(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._at == math.inf:
            return
        if self._at - self._loop.time() > 0.001:
            self._arm()
        else:
            self._late(self._seconds)

"""Whether there is room for one more message: memory of this process, and disk.

Shared by the listeners of one kind, so that strangers on port 25 cannot take the memory of billing systems. Connections
ask before a message begins, and tell what they hold of it as it grows: then 452 4.3.1 (RFC 5321 §4.2.2), which every
client tries again. Promises that the disk is asked at most every `LOOK_SECONDS`. Clocks are passed in as monotonic
seconds; a disk that does not answer refuses nothing.
"""

import shutil
from pathlib import Path

import structlog

from gateway.mail.reply import Reply

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
TOLD_SECONDS = 60.0  # between two lines in the log
BEGIN_SHARE = 0.75  # of the memory: beyond it none begins, so that those that began may end
NO_MEMORY = Reply(452, "4.3.1", "Too much mail is being handed over at once; try again in a moment")
NO_DISK = Reply(452, "4.3.1", "The disk of this gateway is nearly full; try again later, and tell its operator")


class Capacity:
    """What messages in flight may hold. `memory` and `min_free` are bytes, 0 for no bound."""

    def __init__(self, memory: int = 0, folder: Path | None = None, min_free: int = 0) -> None:
        self.held = 0
        self._memory = memory
        self._folder = folder
        self._min_free = min_free
        self._free = 0
        self._looked_at = self._told_at = float("-inf")

    def refusal(self, size: int, now: float) -> Reply | None:
        """Why a message of so many bytes (0: unknown) may not begin; None when it may."""
        if self._memory and self.held + size > self._memory * BEGIN_SHARE:
            self._tell("memory", self.held, now)
            return NO_MEMORY
        if self._folder is not None and self._free_bytes(now) - size < self._min_free:
            self._tell("disk", self._free, now)
            return NO_DISK
        return None

    def hold(self, more: int) -> bool:
        """Count bytes that a message has come to hold (fewer than 0: let go of); False when that is too much."""
        self.held += more
        self._free -= max(more, 0)
        return more <= 0 or not self._memory or self.held <= self._memory

    def _free_bytes(self, now: float) -> int:
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            try:
                self._free = shutil.disk_usage(self._folder or ".").free
            except OSError:
                self._free = 2**62
        return self._free

    def _tell(self, what: str, count: int, now: float) -> None:
        if now - self._told_at >= TOLD_SECONDS:
            self._told_at = now
            log.warning("smtp.no_room", what=what, bytes=count)

"""The reads of a database that are under way, on whatever thread: `store.database` closes no connection under them.

SQLite's connections are closed by one thread for all; one that is closed while another thread runs a statement on it
takes the whole process along. A read that begins after the end raises `StoreUnavailable`.
"""

import threading

from gateway.store.writer import StoreUnavailable


class Reads:
    """Counts them: `with reads: ...`. One may be inside another."""

    def __init__(self) -> None:
        self._count = 0
        self._ended = False
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            if self._ended:
                raise StoreUnavailable("the database is closed")
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            if not self._count:
                self._changed.notify_all()

    def end(self, seconds: float) -> bool:
        """Let no more begin once those that run have ended; False when some still run after so long."""
        with self._changed:
            done = self._changed.wait_for(lambda: not self._count, seconds)
            self._ended = True
            return done

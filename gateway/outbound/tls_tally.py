"""Counts how TLS went with each server, in memory, for the reports to its domain (RFC 8460); writes now and then.

Told by `outbound.dialling` of every session that was opened or failed for TLS. A statement per minute and outcome, not
per message; what a crash loses is a minute of counts. Refuses to hold more than MOST outcomes: beyond, they are written
at the next minute or not at all.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from gateway.mail.status import DeliveryStatus
from gateway.outbound.smtp_client import Connection
from gateway.outbound.smtp_terms import Target
from gateway.outbound.smtp_tls import NO_STARTTLS, TlsFailure
from gateway.store.database import Database
from gateway.store.tls_results import TlsResult, add_results

log = structlog.get_logger()

EVERY_SECONDS = 60.0
MOST = 50_000
SUCCESS = "success"


class Tally:
    """The counts of this process that are not written yet."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._counts: dict[tuple[str, str, str, str, str], tuple[int, str]] = {}

    def note(self, target: Target, answer: Connection | DeliveryStatus) -> None:
        """What came of dialling a server; trouble that is not of TLS is no session."""
        counted = target.counted
        if counted is None:
            return
        if isinstance(answer, TlsFailure):
            result, words = answer.fault, answer.text
        elif isinstance(answer, DeliveryStatus):
            return
        elif not answer.tls:
            result, words = NO_STARTTLS, ""
        else:
            result, words = counted.flaw or SUCCESS, counted.words
        self.count(counted.domain, counted.type, target.host, result, words, counted.lines)

    def count(self, domain: str, policy: str, host: str, result: str, words: str, lines: str) -> None:
        """One session with a host for a domain. `lines`: the policy's, kept beside the successes."""
        day = f"{self._clock().astimezone(UTC):%Y-%m-%d}"
        self._add((day, domain, policy, host, SUCCESS), int(result == SUCCESS), lines)
        if result != SUCCESS:
            self._add((day, domain, policy, host, result), 1, words)

    def _add(self, key: tuple[str, str, str, str, str], sessions: int, words: str) -> None:
        known = self._counts.get(key)
        if known is not None:
            self._counts[key] = (known[0] + sessions, known[1] or words)
        elif len(self._counts) < MOST:
            self._counts[key] = (sessions, words)

    async def flush(self) -> None:
        """Write what was counted; what cannot be written is kept for the next time."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            await self._database.write(add_results, [TlsResult(*key, *value) for key, value in sorted(counts.items())])
        except Exception as error:
            log.error("tls.tally_failed", error=type(error).__name__, exc_info=True)
            for key, (sessions, words) in counts.items():
                self._add(key, sessions, words)

    async def run(self) -> None:
        """Write every minute, and once more when cancelled."""
        try:
            while True:
                await asyncio.sleep(EVERY_SECONDS)
                await self.flush()
        finally:
            await self.flush()

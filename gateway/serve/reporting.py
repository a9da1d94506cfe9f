"""The loop by which a serving process tells of itself, and measures the mail of all: `serve` starts it in each seat.

Every few seconds it writes what its delivery is at, and takes along what the operator asked of it. In the first seat of
a node it also counts the mail of the last minutes, and looks at the health of the installation. Without it mail flows
all the same: whatever fails here is logged, and tried again in time.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import structlog

from gateway.config import Config
from gateway.inbox.measuring import measure_now
from gateway.inbox.timeline import msgid
from gateway.mail.address import parse_address
from gateway.outbound.delivery import Delivery
from gateway.outbound.mx import Resolver
from gateway.serve.health import Finding, examine, look_at_files
from gateway.store.database import Database
from gateway.store.nodes import drop_gone, drop_node, list_nodes, note_node

log = structlog.get_logger()

TELL_SECONDS = 10.0
MEASURE_SECONDS = 30.0
LOOK_SECONDS = 300.0
DNS_SECONDS = 5.0  # that an answer may take
SILENT = "TIMEOUT"  # what a lookup says when nobody answered


@dataclass(slots=True)
class Reporting:
    """The loop's surroundings. `resolver` is None where nobody asks DNS; `first`: whether it measures and looks too."""

    database: Database
    config: Config
    delivery: Delivery
    resolver: Resolver | None
    clock: Callable[[], datetime]
    first: bool = True
    findings: list[dict[str, Any]] = field(default_factory=list)
    _next: dict[str, float] = field(default_factory=dict)

    async def run(self) -> None:
        """Tell, measure and look, for ever; survives every exception but cancellation, at which the row goes."""
        started = self.clock()
        try:
            while True:
                for work, seconds in ((self._look, LOOK_SECONDS), (self._measure, MEASURE_SECONDS)):
                    if self.first and self._is_time(work.__name__, seconds):
                        await self._surely(work())
                await self._surely(self._tell(started))
                await asyncio.sleep(TELL_SECONDS)
        finally:
            await asyncio.shield(self._surely(self.database.write(drop_node, self.config.node)))

    def _is_time(self, name: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self._next.get(name, 0.0):
            return False
        self._next[name] = now + seconds
        return True

    async def _surely(self, work: Any) -> None:
        try:
            await work
        except Exception as error:
            log.error("reporting.failed", error=type(error).__name__, exc_info=True)

    async def _tell(self, started: datetime) -> None:
        began = time.monotonic()
        await self.database.read(list_nodes)
        took = int((time.monotonic() - began) * 1000)
        report = self.delivery.tell() | {
            "most_connections": self.config.delivery.connections, "database_ms": took, "findings": self.findings,
        }  # fmt: skip
        asked = await self.database.write(note_node, self.clock(), self.config.node, started, report)
        if asked:
            log.info("delivery.resumed", destinations=asked)
            self.delivery.resume(asked)

    async def _measure(self) -> None:
        await self.database.write(measure_now, self.clock())

    async def _look(self) -> None:
        found = await asyncio.to_thread(self._examine)
        if self.resolver is not None:
            found.append(await self._ask_dns(self.resolver))
        self.findings = [asdict(one) for one in found]
        await self.database.write(drop_gone, self.clock())

    def _examine(self) -> list[Finding]:
        return [*look_at_files(self.config), *examine(self.database, self.config)]

    async def _ask_dns(self, resolver: Resolver) -> Finding:
        """Whether DNS answers at all: what it says of our own domain is another matter."""
        domain, began = parse_address(self.config.shared_address).domain, time.monotonic()
        facts: dict[str, str | int] = {"domain": domain}
        try:
            async with asyncio.timeout(DNS_SECONDS):
                answer, _ = await resolver.questions.lookup(domain, "TXT")
        except TimeoutError:
            answer = SILENT
        if answer == SILENT:
            todo = msgid("mend the resolver of this machine, or set delivery.resolver")
            return Finding("DNS", "wrong", msgid("does not answer when asked about %(domain)s"), todo, facts)
        facts = {"ms": int((time.monotonic() - began) * 1000)}
        return Finding("DNS", "ok", msgid("answers within %(ms)s ms"), facts=facts)

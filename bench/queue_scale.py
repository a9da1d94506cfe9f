"""What a million queued deliveries cost beside ten thousand: `make bench BENCH=queue_scale`.

Fills two databases with the same mix (one tenant has nine tenths, 100 small ones the rest; half is due, a quarter
within the next lease, the rest later), then takes turns between them: claim and settle, a pass of the summaries, a look
for what a former life had booked, and what `doctor` and `queue list` ask. Then a real `gateway serve` on each: from its
start to ready and to the first delivery, and its memory. Printed are medians and the ratio of large to small, for
SQLite and PostgreSQL, both durable.
"""

import argparse
import asyncio
import contextlib
import functools
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from journeys.serving import Sink, install, run_sink  # noqa: E402 the tests' own
from postroom.postgres import start_postgres  # noqa: E402

from bench.queue_fill import fill  # noqa: E402
from gateway.mail.status import Action, DeliveryStatus  # noqa: E402
from gateway.outbound import queue  # noqa: E402
from gateway.outbound.queue import Attempt, Booked  # noqa: E402
from gateway.outbound.queue_list import Filter, list_queue  # noqa: E402
from gateway.outbound.retry import Retry  # noqa: E402
from gateway.store.database import Database, Transaction, to_ms  # noqa: E402

LEASE_MS = 900_000
CLAIMED = 100  # deliveries of one claim
RETRY = Retry(first=300, longest=14_400, jitter=0.1)
TAKEN = DeliveryStatus(Action.RELAYED, "2.0.0", 250, "taken", "mx.test")
LATER = DeliveryStatus(Action.DELAYED, "4.2.2", 452, "the mailbox is full", "mx.test")
SERVED_SECONDS = 4.0  # how long a gateway delivers before its memory is read


@dataclass
class Filled:
    """A database with so many queued deliveries. `figures` are its measurements by name."""

    size: int
    shell: Any
    database: Database
    tenants: list[str]
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        """Keep one measurement."""
        self.figures.setdefault(name, []).append(value)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=[10_000, 1_000_000], help="queued deliveries")
    parser.add_argument("--rounds", type=int, default=20, help="claims of 100, each settled, per size")
    parser.add_argument("--starts", type=int, default=3, help="starts of a gateway per size")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    args = parser.parse_args()
    for dialect in ("sqlite", "postgresql"):
        if args.database in (dialect, "both"):
            measure(dialect, args.sizes, args.rounds, args.starts)


def measure(dialect: str, sizes: list[int], rounds: int, starts: int) -> None:
    """Fill, measure in turns, print."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(run_sink())
        filled = [stack.enter_context(open_filled(dialect, size, sink)) for size in sizes]
        for _ in range(rounds):
            for one in filled:
                claim_and_settle(one)
        for _ in range(5):
            for one in filled:
                look_around(one)
        for one in filled:
            one.database.close()
        for _ in range(starts):
            for one in filled:
                start(one, sink)
        report(dialect, *filled)


@contextlib.contextmanager
def open_filled(dialect: str, size: int, sink: Sink) -> Iterator[Filled]:
    """An installation that relays to the sink, with its queue."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queue-scale-")))
        url = ""
        if dialect == "postgresql":
            url = stack.enter_context(start_postgres(durable=True)).create_database()
        shell = install(folder, sink, url)
        database = Database(url or f"sqlite:///{shell.data / 'gateway.db'}")
        began = time.monotonic()
        tenants = fill(database, size, LEASE_MS)
        print(f"{dialect}: {size:,} queued, filled in {time.monotonic() - began:.0f} s", flush=True)
        yield Filled(size, shell, database, tenants)


def claim_and_settle(one: Filled) -> None:
    """One claim as the loop makes it, and the outcomes as connections write them: many share a commit."""
    now_ms, cpu = to_ms(datetime.now(UTC)), time.process_time()
    began = time.perf_counter()
    claimed = one.database.write_now(queue.claim, now_ms, "bench", limit=CLAIMED, lease_ms=LEASE_MS)
    took = time.perf_counter() - began
    one.note("claim, µs a delivery", 1e6 * took / len(claimed))
    began = time.perf_counter()
    asyncio.run(_settle(one.database, now_ms, claimed))
    settled = time.perf_counter() - began
    one.note("settle, µs a delivery", 1e6 * settled / len(claimed))
    one.note("claim + settle, µs a delivery", 1e6 * (took + settled) / len(claimed))
    one.note("claim + settle, µs of our CPU", 1e6 * (time.process_time() - cpu) / len(claimed))


async def _settle(database: Database, now_ms: int, claimed: list[Booked]) -> None:
    """Nine of ten are taken, the tenth is to be tried later."""
    how = [Attempt(LATER if at % 10 == 9 else TAKEN, "dot", route="relay") for at in range(len(claimed))]
    pairs = zip(claimed, how, strict=True)
    await asyncio.gather(*(database.write(queue.settle, now_ms, made, how, RETRY) for made, how in pairs))


def look_around(one: Filled) -> None:
    """What is asked of the whole queue now and then: milliseconds each."""
    big, now_ms = one.tenants[0], to_ms(datetime.now(UTC))
    asked: dict[str, Callable[[Transaction], object]] = {
        "any due": lambda tx: queue.any_due(tx, now_ms),
        "list 100": lambda tx: list_queue(tx, big, Filter(), 100),
        "list held": lambda tx: list_queue(tx, big, Filter(held=True), 1000),
        "oldest due": lambda tx: list_queue(tx, big, Filter(held=False), 1),
    }
    for name, ask in asked.items():
        one.note(f"{name}, ms", 1000 * seconds_of(functools.partial(one.database.read_now, ask)))
    changed: dict[str, Callable[[Transaction], object]] = {
        "summaries, ms": queue.mend_summaries,
        "take back, ms": lambda tx: queue.recover(tx, now_ms, "nobody"),
    }
    for name, change in changed.items():
        one.note(name, 1000 * seconds_of(functools.partial(one.database.write_now, change)))


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def start(one: Filled, sink: Sink) -> None:
    """Serve for a while: ready after, first delivery after, and memory."""
    log, before = one.shell.folder / "log", len(sink.mails)
    began = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, ROOT / "cli.py", "serve"], cwd=one.shell.folder, stderr=file, env=one.shell.environment
        )
    try:
        wait(process, lambda: b'"gateway.ready"' in log.read_bytes())
        one.note("ready, s", time.monotonic() - began)
        wait(process, lambda: len(sink.mails) > before)
        one.note("first delivery, s", time.monotonic() - began)
        time.sleep(SERVED_SECONDS)
        status = Path(f"/proc/{process.pid}/status").read_text()
        one.note("memory at most, MB", int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024)
        one.note("delivered meanwhile, a second", (len(sink.mails) - before) / SERVED_SECONDS)
    finally:
        process.terminate()
        process.wait(60)


def wait(process: subprocess.Popen[bytes], ask: Callable[[], bool]) -> None:
    """Ask until it is so; a gateway that ends or takes minutes is an error."""
    until = time.monotonic() + 120
    while not ask():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("the gateway ended or did not come so far; see its log")
        time.sleep(0.005)


def report(dialect: str, small: Filled, large: Filled) -> None:
    """Medians side by side."""
    print(f"\n{dialect:32}{small.size:>12,}{large.size:>12,}   ratio")
    for name, values in small.figures.items():
        pair = [statistics.median(some) for some in (values, large.figures[name])]
        print(f"{name:32}{pair[0]:>12,.2f}{pair[1]:>12,.2f}{pair[1] / pair[0] if pair[0] else 0:>8.2f}")
    print(flush=True)


if __name__ == "__main__":
    main()

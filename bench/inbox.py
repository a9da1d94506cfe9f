"""What a million mails in an inbox cost beside ten thousand: `make bench BENCH=inbox`.

Fills two databases (one tenant has nine tenths, 20 small ones the rest; five mails a thread), builds the search index,
then takes turns between them: views, a thread, searches from a rare word to a word that every thread has. Prints the
95th percentile of each in ms, their ratio (at most 2 is wanted), the ratio of the medians, lines on a page and the
number of queries. On SQLite, which is in our own process, it is CPU that is counted: speed is the neighbours', too.
    BENCH_ARGS="--sizes 10000 100000 --database sqlite" scales it down; --folder keeps the files of SQLite.
"""

import argparse
import contextlib
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from postroom.postgres import start_postgres
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import event as listening

from bench.inbox_fill import EACH, NOW, SMALL, Filled, fill, large_of, number_of
from gateway.inbox.indexing import read_next, write_next
from gateway.inbox.listing import VIEWS, list_page
from gateway.inbox.reading import read_thread
from gateway.inbox.search import search
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.schema import metadata
from gateway.store.search_progress import BUILT, begin_building, begin_following
from gateway.store.tenants import list_tenants

Ask = Callable[[Transaction, int], object]


@dataclass
class Measured:
    """One filled database, its figures, and how many queries each question took."""

    size: int
    database: Database
    filled: Filled
    figures: dict[str, list[float]] = field(default_factory=dict)
    queries: dict[str, set[int]] = field(default_factory=dict)
    lines: dict[str, list[int]] = field(default_factory=dict)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=[10_000, 1_000_000], help="mails")
    parser.add_argument("--rounds", type=int, default=60, help="how often each question is asked")
    parser.add_argument("--folder", type=Path, help="where SQLite's files are kept")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    args = parser.parse_args()
    for dialect in ("sqlite", "postgresql"):
        if args.database in (dialect, "both"):
            with contextlib.ExitStack() as stack:
                made = [stack.enter_context(open_filled(dialect, size, args.folder)) for size in args.sizes]
                measure(made, args.rounds)
                report(dialect, *made)


@contextlib.contextmanager
def open_filled(dialect: str, size: int, kept: Path | None) -> Iterator[Measured]:
    """A database with so many mails and its index."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inbox-bench-")))
        file = kept / f"inbox-{size}.db" if kept else folder / "gateway.db"
        known, url = file.exists(), f"sqlite:///{file}"
        if dialect == "postgresql":
            url = stack.enter_context(start_postgres(durable=False)).create_database()
        database = Database(url)
        stack.callback(database.close)
        if known and dialect == "sqlite":
            yield Measured(size, database, filled_before(database, size))
            return
        metadata.create_all(database.engine)
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
            began = time.monotonic()
            task = progress.add_task(f"{dialect}: filling {size:,}", total=size)
            filled = fill(database, size, functools.partial(progress.advance, task))
            took = time.monotonic() - began
            task = progress.add_task("indexing", total=size // 5)
            began = time.monotonic()
            count = build(database, filled, functools.partial(progress.advance, task))
            indexed = time.monotonic() - began
        print(f"{dialect}: {size:,} mails filled in {took:.0f} s, {count:,} threads indexed in {indexed:.0f} s "
              f"({1000 * indexed / count:.2f} ms each)", flush=True)  # fmt: skip
        yield Measured(size, database, filled)


def filled_before(database: Database, size: int) -> Filled:
    """What a run before had made."""
    made = {one.slug: one.id for one in database.read_now(list_tenants)}
    return Filled([made[f"firma-{number}"] for number in range(SMALL + 1)], large_of(size))


def build(database: Database, filled: Filled, advance: Callable[[int], None]) -> int:
    """Index every tenant's threads; how many."""
    count = 0
    database.write_now(begin_following, to_ms(NOW))
    for tenant_id in filled.tenants:
        at = database.write_now(begin_building, to_ms(NOW), tenant_id)
        while at.state != BUILT:
            entries, reached = database.read_now(read_next, at, 200, 10**9)
            database.write_now(write_next, NOW, at, entries, reached)
            advance(reached.done - at.done)
            at = reached
        count += at.done
    database.write_now(filled.finish)
    return count


def questions(filled: Filled) -> dict[str, Ask]:
    """What is asked: a function of a transaction and a number that changes."""
    tenant_id = filled.tenants[0]

    def finds(query: Callable[[int], str], **options: str) -> Ask:
        return lambda tx, at: search(tx, NOW, tenant_id, query(at), **options)

    def views(view: str) -> Ask:
        return lambda tx, _: list_page(tx, tenant_id, view=view)

    made: dict[str, Ask] = {f"view {view}": views(view) for view in VIEWS}
    made["thread"] = lambda tx, at: read_thread(tx, tenant_id, filled.thread(at))
    made |= {
        "search: a common word": finds(lambda _: "factura"),
        "search: one of a hundred": finds(lambda at: f"cuvint{at % 100}"),
        "search: a rare word": finds(lambda at: f"rar{at % 500}"),
        "search: no thread": finds(lambda at: f"nimic{at}"),
        "search: a number": finds(lambda at: f"number:{number_of(at * 7 % 1800)}"),
        "search: an address": finds(lambda at: f"from:ana{at * 7 % (filled.threads // EACH)}@client.example"),
        "search: an amount range": finds(lambda at: f"amount:>{at % 900 + 0.37}"),
        "search: a narrow range": finds(lambda at: f"amount:{at % 900}..{at % 900 + EACH * 1000 / filled.threads:.2f}"),
        "search: a month": finds(lambda at: f"date:2026-{at % 10 + 1:02}"),
        "search: a phrase": finds(lambda _: '"contul de plata"'),
        "search: a beginning": finds(lambda at: f"cuvint{at % 9 + 1}*"),
        "search: open and common": finds(lambda _: "is:open factura"),
        "search: all but common": finds(lambda _: "-cuvint7 -factura OR rar7"),
        "search: two common words": finds(lambda at: f"zece{at % 10} zece{(at + 1) % 10}"),
        "search: everything": finds(lambda _: ""),
        "search: far back": finds(lambda _: "factura", cursor=str(filled.threads // 20)),
    }
    return made


def measure(made: list[Measured], rounds: int) -> None:
    """Ask every question of each database in turns."""
    counters = []
    clock = time.thread_time if made[0].database.dialect == "sqlite" else time.perf_counter
    for one in made:
        counter: list[str] = []
        listening.listen(one.database.engine, "before_cursor_execute", lambda *given, to=counter: to.append(given[2]))
        counters.append(counter)
    for at in range(rounds + 3):
        for one, counter in zip(made, counters, strict=True):
            for name, ask in questions(one.filled).items():
                counter.clear()
                began = clock()
                page = one.database.read_now(ask, at)
                took = clock() - began
                if at >= 3:
                    one.figures.setdefault(name, []).append(1000 * took)
                    one.lines.setdefault(name, []).append(len(getattr(page, "lines", ())))
                    one.queries.setdefault(name, set()).add(len(counter))


def report(dialect: str, small: Measured, large: Measured) -> None:
    """95th percentiles side by side: of each question, then of all views and of all searches as people ask them."""
    print(f"\n{dialect + ', p95 in ms':32}{small.size:>12,}{large.size:>12,}   ratio   median  queries   lines")
    for name in small.figures:
        asked = small.queries[name] | large.queries[name]
        shown = str(min(asked)) if len(asked) == 1 else f"{min(asked)}-{max(asked)}"
        print(f"{name:32}{_compared(small.figures[name], large.figures[name])}{shown:>9}"
              f"{statistics.mean(small.lines[name]):>7.0f}{statistics.mean(large.lines[name]):>5.0f}")  # fmt: skip
    for kind in ("view", "search"):
        pooled = [[value for name, some in one.figures.items() if name.startswith(kind) for value in some]
                  for one in (small, large)]  # fmt: skip
        print(f"{f'all of {kind}':32}{_compared(*pooled)}")
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M}", flush=True)


def _compared(small: list[float], large: list[float]) -> str:
    """Both 95th percentiles, their ratio, the ratio of the medians."""
    pair = [statistics.quantiles(some, n=20)[18] for some in (small, large)]
    middle = statistics.median(large) / statistics.median(small)
    return f"{pair[0]:>12,.2f}{pair[1]:>12,.2f}{pair[1] / pair[0]:>8.2f}{middle:>9.2f}"


if __name__ == "__main__":
    main()

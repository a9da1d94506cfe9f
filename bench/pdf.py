"""What a PDF costs, beside plain `HTML(...).write_pdf()` on the same page: `make bench BENCH=pdf`.

Both draw the same HTML and style sheet with the same fonts, warm: ours in a worker of the pool, from the document on
and tagged; the plain one in a process of its own, from the finished HTML on, untagged, as anybody would call it. Rounds
are interleaved, since machines are noisy; printed are medians of CPU milliseconds, and of the ratios round by round.
Then: how many PDFs a second one and two workers draw (on two idle cores), and how many PDFs are drawn for 1,000
reminders of invoices that did not change, through a whole gateway. `--json` prints the same as one object.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from journeys.house import Journey, Place, fill_place, open_journey  # noqa: E402 a gateway as the tests have it
from sqlalchemy import func, select  # noqa: E402

from bench.pdf_load import BRAND, PAGES, draw_ours, sample  # noqa: E402
from gateway.demo.samples import document_mail  # noqa: E402
from gateway.outbound import pdf  # noqa: E402
from gateway.outbound.texts import language  # noqa: E402
from gateway.serve.logs import set_up_logging  # noqa: E402
from gateway.store.database import Transaction  # noqa: E402
from gateway.store.messages import list_messages  # noqa: E402
from gateway.store.schema import delivery  # noqa: E402
from gateway.wire.workers import WorkerPool  # noqa: E402

RATIO, SCALE, SIZE = 0.8, 1.7, 60_000  # what is asked: at most, at least, below
SECONDS = 300.0


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=5, help="PDFs of one page in a round; fewer when longer")
    parser.add_argument("--pool", type=int, default=40, help="PDFs in each round of the pool; 0: not measured")
    parser.add_argument("--reminders", type=int, default=1000, help="reminders of 20 invoices; 0: not measured")
    parser.add_argument("--json", action="store_true", help="one object instead of tables")
    options = parser.parse_args()
    set_up_logging("error")
    found: dict[str, Any] = {"load": os.getloadavg()[0], "pages": [compare(name, options) for name in PAGES]}
    found["pool"] = scale(options) if options.pool else None
    found["reminders"] = asyncio.run(remind(options.reminders)) if options.reminders else None
    print(json.dumps(found, indent=1) if options.json else told(found))


def told(found: dict[str, Any]) -> str:
    """The figures as tables."""
    lines = [f"load {found['load']:.1f}; CPU of one PDF, medians", ""]
    lines += [f"{'':10} {'pages':>5} {'bytes':>8} {'ours, ms':>9} {'plain, ms':>10}   ours is (at most {RATIO})"]
    for row in found["pages"]:
        lines.append(
            f"{row['name']:10} {row['pages']:5} {row['bytes']:8} {row['ours']:9.1f} {row['plain']:10.1f}   "
            f"{row['ratio']:.2f}"
        )
    if found["pool"]:
        one, two, times = found["pool"]["one"], found["pool"]["two"], found["pool"]["times"]
        lines += ["", f"PDFs a second: one worker {one:.1f}, two {two:.1f}: {times:.2f} times (at least {SCALE})"]
    if found["reminders"]:
        row = found["reminders"]
        lines += ["", f"{row['invoices']} invoices: {row['drawn']} PDFs drawn, {row['invoice_ms']:.0f} ms each"]
        lines += [f"{row['reminders']} reminders: {row['drawn_again']} PDFs drawn, {row['reminder_ms']:.0f} ms each"]
    return "\n".join(lines)


# -- one PDF


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Interleaved rounds of one page."""
    document, code = sample(name)
    data = pdf.render_pdf(document, BRAND, code)
    pages = len(pdf._lay_out(document, BRAND, language(code)).pages)
    count = max(options.count // pages, 1)
    ours, plain = [], []
    pool = WorkerPool(1, preload=("bench.pdf_load",))
    try:
        with plain_process() as ask:
            for number in range(options.rounds + 1):
                one = pool.run_sync(draw_ours, name, count, seconds=SECONDS)
                other = ask(name, count)
                if number:  # the first warms up
                    ours.append(one)
                    plain.append(other)
                print(f"\r{name}: round {number}/{options.rounds}   ", end="", file=sys.stderr)
    finally:
        pool.close()
    print(file=sys.stderr)
    ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
    return {
        "name": name,
        "pages": pages,
        "bytes": len(data),
        "ours": statistics.median(ours),
        "plain": statistics.median(plain),
        "ratio": ratio,
    }


@contextmanager
def plain_process() -> Iterator[Any]:
    """A process that draws plainly; the function that asks it."""
    command = [sys.executable, "-m", "bench.pdf_load"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout

    def ask(name: str, count: int) -> float:
        assert process.stdin and process.stdout
        process.stdin.write(f"{json.dumps([name, count])}\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait()


# -- the pool


def scale(options: argparse.Namespace) -> dict[str, float]:
    """PDFs a second of one worker and of two, interleaved; the best round of each counts on a busy machine."""
    document, code = sample("one page")
    pools = {size: WorkerPool(size, preload=("gateway.outbound.pdf",)) for size in (1, 2)}
    found: dict[int, list[float]] = {1: [], 2: []}
    try:
        for number in range(4):
            for size, pool in pools.items():
                began = time.perf_counter()
                tasks = [pool._submit(pdf.render_pdf, (document, BRAND, code), SECONDS) for _ in range(options.pool)]
                for task in tasks:
                    task.result()
                if number:
                    found[size].append(options.pool / (time.perf_counter() - began))
    finally:
        for pool in pools.values():
            pool.close()
    one, two = max(found[1]), max(found[2])
    return {"one": one, "two": two, "times": two / one}


# -- reminders


async def remind(count: int, invoices: int = 20) -> dict[str, Any]:
    """Send invoices, then reminders of them, through a gateway on loopback; how many PDFs each drew."""
    with tempfile.TemporaryDirectory(prefix="bench-pdf-") as folder:
        place = Place(Path(folder), f"sqlite:///{folder}/gateway.db")
        fill_place(place)
        async with open_journey(place) as journey:
            values = json.loads((ROOT / "tests/corpus/documents/invoice_ro.json").read_text())
            made = [values | {"id": f"inv_{n}", "number": f"CP-{n:05}"} for n in range(invoices)]
            began = time.perf_counter()
            drawn = await send(journey, made)
            between = time.perf_counter()
            again = await send(journey, made * -(-count // invoices))
            ended = time.perf_counter()
    sent = invoices * -(-count // invoices)
    return {
        "invoices": invoices,
        "drawn": drawn,
        "invoice_ms": 1000 * (between - began) / invoices,
        "reminders": sent,
        "drawn_again": again - drawn,
        "reminder_ms": 1000 * (ended - between) / sent,
    }


async def send(journey: Journey, documents: list[dict[str, Any]]) -> int:
    """Hand documents over, wait until the last has arrived; how many PDFs were drawn since the start."""
    threads, wanted = set(), await journey.house.database.read(count_relayed) + len(documents)
    for at in range(0, len(documents), 20):
        mails = [document_mail(one, now=datetime.now(UTC)) for one in documents[at : at + 20]]
        batch = [journey.queue(mail, "ana@client.test") for mail in mails]
        threads |= {sent.thread_id for sent in await asyncio.gather(*batch)}

    async def arrived() -> bool:
        return await journey.house.database.read(count_relayed) >= wanted

    await journey.until(arrived, SECONDS)
    drawn = 0
    for thread_id in threads:
        events = await journey.events(thread_id, "message.rendered")
        assert len(events) == len(await journey.house.database.read(list_messages, journey.tenant_id, thread_id))
        drawn += sum(event.data["pdf"] == "drawn" for event in events)
    return drawn


def count_relayed(tx: Transaction) -> int:
    """How many deliveries the world has taken."""
    return int(tx.first(select(func.count()).where(delivery.c.state == "relayed"))[0])


if __name__ == "__main__":
    main()

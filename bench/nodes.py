"""Several nodes on one PostgreSQL: is anything lost, or sent twice? `make bench BENCH=nodes`, `python -m bench.nodes`.

Three nodes of four serving processes take 10,000 messages by SMTP and relay them to one sink, which knows each by its
id and counts the copies. Then again, and in the middle of it every process of one node is killed (SIGKILL) and its open
connections are counted; the others take its bookings over when their lease ends, and billing systems go on at the next
node. A message is accepted when its 250 was heard. Duplicates may be as many as the open connections of the killed
node. PostgreSQL syncs to disk; the lease is the shortest that the configuration allows.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from postroom.ports import free_port  # noqa: E402 the tests' own servers
from postroom.postgres import start_postgres  # noqa: E402

from bench.relay import PASSWORD, ask_sink, end, fill, gateway_at, start_sink, write_config  # noqa: E402

LEASE = 60


@dataclass
class Node:
    """One node: all of its processes are in a group of their own."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def helo(self) -> str:
        """How the sink knows its connections."""
        return f"{self.name}.bench.example"

    def kill(self) -> None:
        """SIGKILL to the supervisor and its serving processes; workers of those die with them."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def main() -> None:
    """Both runs, and a line for each. Exit status 1 when something is lost, or came twice too often."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4, help="serving processes of each node")
    parser.add_argument("--count", type=int, default=10_000, help="messages in each run")
    parser.add_argument("--connections", type=int, default=24, help="of all billing systems together")
    parser.add_argument("--size", type=int, default=2000)
    options = parser.parse_args()
    good = True
    for killed in (False, True):
        with contextlib.ExitStack() as stack:
            sink = stack.enter_context(start_sink())
            nodes = stack.enter_context(start_nodes(sink, options))
            good &= run(nodes, sink, options, killed)
    sys.exit(0 if good else 1)


def run(nodes: list[Node], sink: int, options: argparse.Namespace, killed: bool) -> bool:
    """One run and its line; whether it was as it must be."""
    command = [sys.executable, "-m", "bench.load", "run", "--ids", "--login", f"bench:{PASSWORD}", "--port"]
    command += [str(node.port) for node in nodes] + ["--count", str(options.count), "--size", str(options.size)]
    command += ["--connections", str(options.connections)]
    load = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    open_connections = kill_one(nodes[-1], sink, options.count // 2) if killed else 0
    told = json.loads(load.communicate(timeout=1800)[0])
    seen = await_all(sink, set(told["ids"]), 2 * LEASE + 60)
    lost = sum(1 for one in told["ids"] if one not in seen["seen"])
    rate = len(seen["seen"]) / (seen["last"] - told["began"])
    name = "one node killed" if killed else "nobody killed"
    print(
        f"{name:16} accepted {told['accepted']}, unheard {told['unheard']}, "
        f"delivered {len(seen['seen'])}, duplicates {seen['twice']}, lost {lost}; open connections of the killed node "
        f"{open_connections}; {rate:.0f}/s; errors of sessions {told['errors']}; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return bool(lost == 0 and seen["twice"] <= open_connections)


def kill_one(node: Node, sink: int, after: int) -> int:
    """Kill a node once the sink has so many messages; how many connections it had open."""
    while ask_sink(sink, b"STAT")["seen"] < after:
        time.sleep(0.02)
    found = int(ask_sink(sink, b"STAT")["open"].get(node.helo, 0))
    node.kill()
    return found


def await_all(sink: int, wanted: set[str], seconds: float) -> dict[str, Any]:
    """What the sink has, once that is everything and two seconds have passed, or time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and ask_sink(sink, b"STAT")["seen"] < len(wanted):
        time.sleep(0.2)
    while time.monotonic() < until and wanted - ask_sink(sink, b"LIST")["seen"].keys():
        time.sleep(1)
    time.sleep(2)  # for copies
    return ask_sink(sink, b"LIST")


@contextlib.contextmanager
def start_nodes(sink: int, options: argparse.Namespace) -> Iterator[list[Node]]:
    """The nodes on one fresh database, with one key file."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-nodes-")))
        url = stack.enter_context(start_postgres(durable=True)).create_database()
        nodes: list[Node] = []
        for number in range(1, options.nodes + 1):
            nodes.append(stack.enter_context(start_node(folder, number, sink, url, options.workers)))
        for node in nodes:
            await_ready(folder / node.name / "log")
        yield nodes


@contextlib.contextmanager
def start_node(folder: Path, number: int, sink: int, url: str, workers: int) -> Iterator[Node]:
    """One node; the first makes the installation."""
    name, port = f"node{number}", free_port()
    place = folder / name
    place.mkdir()
    more = f'helo = "{name}.bench.example"\nlease_seconds = {LEASE}\n'
    config = write_config(place, port, sink, url, more=more)
    top = f'node = "{name}"\nkey_file = "{folder / "gateway.key"}"\n'
    config.write_text(top + config.read_text().replace('log = "warning"', 'log = "info"'))
    if number == 1:
        fill(config)
    with (place / "log").open("wb") as log:
        command = [*gateway_at(config), "serve", "--workers", str(workers)]
        process = subprocess.Popen(command, cwd=ROOT, stderr=log, start_new_session=True)
    try:
        yield Node(name, port, process)
    finally:
        if process.poll() is None:
            end(process)


def await_ready(log: Path, seconds: float = 180) -> None:
    """Wait until all serving processes of a node are ready."""
    until = time.monotonic() + seconds
    while b'"gateway.ready"' not in log.read_bytes():
        if time.monotonic() > until:
            raise TimeoutError(f"not ready: {log.read_text()[-2000:]}")
        time.sleep(0.2)


if __name__ == "__main__":
    main()

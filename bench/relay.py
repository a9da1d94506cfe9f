"""How fast the signed relay is, beside Postfix with OpenDKIM in the same run: `make bench` or `python -m bench.relay`.

Both take authenticated or trusted sessions over loopback, keep the message durably, sign it with RSA-2048 and hand it
to the same sink. Rounds are interleaved (gateway, Postfix, gateway, ...), since machines are noisy; printed are the
medians of accepted and delivered messages per second and CPU per message, and the medians of the ratios round by round.
`--database sqlite postgresql` and `--workers 1 2` compare the gateway with itself, `--reply-delay-ms 0 100` with next
hops that answer at once and late. `--profile` samples the gateway under load and prints where its time goes.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
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

from postroom.opendkim import start_opendkim  # noqa: E402 the tests' own servers
from postroom.ports import free_port, wait_port  # noqa: E402
from postroom.postfix import start_postfix  # noqa: E402
from postroom.postgres import start_postgres  # noqa: E402

PASSWORD = "bench-password"


@dataclass(frozen=True)
class Candidate:
    """A server under load. `pids` are the roots of its processes."""

    name: str
    port: int
    pids: tuple[int, ...]
    login: str = ""


@dataclass(frozen=True)
class Result:
    """One round: messages per second, CPU milliseconds per message (children included)."""

    accepted: float
    delivered: float
    cpu: float
    signed: int
    lost: int


@dataclass(frozen=True)
class Runner:
    """What is compared: a server, and how late the next hop answers it."""

    server: Candidate
    delay: int  # milliseconds

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{self.server.name}, {self.delay} ms late" if self.delay else self.server.name


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5000, 60_000], help="message sizes, bytes")
    parser.add_argument("--count", type=int, default=2000, help="messages per round at 5 KB; fewer when larger")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--per-session", type=int, default=0, help="messages per session; 0: no limit")
    parser.add_argument("--delivery-connections", type=int, default=0, help="most connections to the next hop; 0: ours")
    parser.add_argument("--reply-delay-ms", type=int, nargs="+", default=[0], help="how late the next hop answers")
    parser.add_argument("--database", nargs="+", default=["sqlite"], help="sqlite, postgresql (started here) or a URL")
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="serving processes of the gateway")
    parser.add_argument("--without-peers", action="store_true", help="the gateway alone (for profiling)")
    parser.add_argument("--profile", action="store_true", help="profile the gateway's event loop and writer")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(start_sink())
        servers = [
            stack.enter_context(start_gateway(sink, database, workers, options))
            for database in options.database
            for workers in options.workers
        ]
        if not options.without_peers:
            servers += stack.enter_context(start_peers(sink))
        for size in options.sizes:
            compare([Runner(one, delay) for one in servers for delay in options.reply_delay_ms], sink, size, options)


def compare(candidates: list[Runner], sink: int, size: int, options: argparse.Namespace) -> None:
    """Interleaved rounds at one size, and their table."""
    count = options.count if size < 20_000 else max(options.count // 3, 100)
    print(f"\nload of the machine before: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    results: dict[str, list[Result]] = {one.name: [] for one in candidates}
    for one in candidates:  # a warm-up, not counted
        measure(one, sink, size, 200, options)
    for number in range(options.rounds):
        for one in candidates:
            results[one.name].append(measure(one, sink, size, count, options))
            print(f"\r{size} bytes: round {number + 1}/{options.rounds} {one.name:30}", end="", file=sys.stderr)
    print(file=sys.stderr)
    print(f"\n{size} bytes, {options.connections} connections, {count} messages, median of {options.rounds} rounds")
    print(f"{'':30} {'accepted/s':>11} {'delivered/s':>12} {'CPU ms/msg':>11} {'signed':>7} {'lost':>5}   the first is")
    ours = results[candidates[0].name]
    for one in candidates:
        theirs = results[one.name]
        row = [statistics.median(getattr(r, name) for r in theirs) for name in ("accepted", "delivered", "cpu")]
        signed, lost = min(r.signed for r in theirs), sum(r.lost for r in theirs)
        ratios = ""
        if one is not candidates[0]:
            faster = statistics.median(a.delivered / b.delivered for a, b in zip(ours, theirs, strict=True))
            cheaper = statistics.median(b.cpu / a.cpu for a, b in zip(ours, theirs, strict=True))
            ratios = f"   {faster:.2f} x as fast, {cheaper:.2f} x as cheap (this: {1 / faster:.2f} of its speed)"
        print(f"{one.name:30} {row[0]:11.0f} {row[1]:12.0f} {row[2]:11.2f} {signed:7} {lost:5}{ratios}")


def measure(runner: Runner, sink: int, size: int, count: int, options: argparse.Namespace) -> Result:
    """One round of one candidate."""
    one = runner.server
    ask_sink(sink, b"ZERO %d" % runner.delay)
    before = tree_cpu(one.pids)
    command = [sys.executable, "-m", "bench.load", "run", "--port", str(one.port), "--size", str(size)]
    command += ["--count", str(count), "--connections", str(options.connections)]
    command += ["--per-session", str(options.per_session)] + (["--login", one.login] if one.login else [])
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=600).stdout)
    if told["errors"]:
        print(f"\n{one.name}: {told['errors']}", file=sys.stderr)
    deadline = time.time() + 120
    while (seen := ask_sink(sink, b"STAT"))["seen"] < told["accepted"] and time.time() < deadline:
        time.sleep(0.05)
    cpu = tree_cpu(one.pids) - before
    return Result(
        accepted=told["accepted"] / (told["ended"] - told["began"]),
        delivered=seen["seen"] / (seen["last"] - told["began"]),
        cpu=1000 * cpu / max(told["accepted"], 1),
        signed=seen["signed"],
        lost=told["accepted"] - seen["seen"],
    )


# -- candidates


@contextlib.contextmanager
def start_sink() -> Iterator[int]:
    """The next hop; its port. It stays up: Postfix gives up a hop that was down."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.load", "sink", "--port", str(port)], cwd=ROOT)
    try:
        wait_port(port)
        yield port
    finally:
        end(process)


def ask_sink(port: int, what: bytes) -> dict[str, Any]:
    """What the sink has counted; ZERO lets it begin anew."""
    with socket.create_connection(("127.0.0.1", port + 1), 10) as connection:
        connection.sendall(what + b"\n")
        found: dict[str, Any] = json.loads(connection.makefile().readline())
        return found


@contextlib.contextmanager
def start_gateway(sink: int, database: str, workers: int, options: argparse.Namespace) -> Iterator[Candidate]:
    """The gateway on a fresh installation: RSA only, relay to the sink, as configured out of the box otherwise."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-gateway-")))
        port, url = free_port(), "" if database == "sqlite" else database
        if database == "postgresql":
            url = stack.enter_context(start_postgres(durable=True)).create_database()
        config = write_config(folder, port, sink, url, options.delivery_connections)
        fill(config)
        serve = [*gateway_at(config), "serve", "--workers", str(workers)]
        if options.profile:
            serve = [sys.executable, "-m", "bench.profiled", str(config)]
        process = subprocess.Popen(serve, cwd=ROOT)
        try:
            wait_port(port, 60 + 20 * workers)
            name = f"gateway, {database.partition(':')[0]}" + (f", {workers} workers" if workers > 1 else "")
            yield Candidate(name, port, (process.pid,), f"bench:{PASSWORD}")
        finally:
            end(process)


def gateway_at(config: Path) -> list[str]:
    """The command line of an installation."""
    return [sys.executable, str(ROOT / "cli.py"), "-c", str(config)]


def write_config(folder: Path, port: int, sink: int, database: str, connections: int = 0, more: str = "") -> Path:
    """A configuration that relays to the sink; `more` stands in [delivery]."""
    busy = f"connections = {connections}\nconnections_per_destination = {connections}\n" if connections else ""
    config = folder / "gateway.toml"
    config.write_text(
        'hostname = "mail.gateway.example"\nshared_address = "noreply@gateway.example"\n'
        f'database = "{database}"\nlog = "warning"\n[submission]\nport = {port}\ntls_port = 0\n'
        "max_connections_per_address = 1000\n[receiver]\nport = 0\n[web]\nport = 0\n[workers]\ncount = 1\n"
        f'[delivery]\nrelay = "127.0.0.1:{sink}"\nrelay_tls = "off"\n{busy}{more}'
    )
    return config


def fill(config: Path) -> None:
    """Make the installation, with one tenant that sends from its own domain."""

    def run(*words: str, given: str = "") -> None:
        subprocess.run([*gateway_at(config), *words], check=True, input=given, text=True, capture_output=True)

    run("init")
    run("tenant", "add", "acme", "--company", "Tenant One")
    run("tenant", "identity", "acme", "billing@tenant1.example")
    run("domain", "add", "-t", "acme", "tenant1.example", "--algorithm", "rsa")
    run("tenant", "set", "acme", "--sending", "own")
    run("credential", "add", "-t", "acme", "--username", "bench", "--password-stdin", given=PASSWORD + "\n")


@contextlib.contextmanager
def start_peers(sink: int) -> Iterator[list[Candidate]]:
    """Postfix with OpenDKIM as its milter (RSA-2048), and Postfix without, both relaying to the sink."""
    key = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True, text=True).stdout
    extra = {
        "smtpd_client_connection_count_limit": "0",
        "default_destination_concurrency_limit": "20",
        "initial_destination_concurrency": "20",
        "smtp_tls_security_level": "",
        "maximal_backoff_time": "10s",
    }
    with contextlib.ExitStack() as stack:
        dkim = stack.enter_context(start_opendkim(sign=("tenant1.example", "s1", key)))
        signing = stack.enter_context(start_postfix(domains=(), relayhost=sink, milters=(dkim.port,), extra=extra))
        bare = stack.enter_context(start_postfix(domains=(), relayhost=sink, extra=extra))
        yield [
            Candidate("Postfix + OpenDKIM", signing.port, (signing.server.process.pid, dkim.server.process.pid)),
            Candidate("Postfix, unsigned", bare.port, (bare.server.process.pid,)),
        ]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours, politely first."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tree_cpu(roots: tuple[int, ...]) -> float:
    """Seconds of CPU of the processes and all their descendants, those that ended included."""
    children: dict[int, list[int]] = {}
    spent: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
        spent[int(entry.name)] = sum(int(ticks) for ticks in fields[11:15])
    waiting, total = list(roots), 0
    while waiting:
        pid = waiting.pop()
        total += spent.get(pid, 0)
        waiting += children.get(pid, [])
    return total / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()

"""Many hostile servers at once: each a sink of hostile_mx.py with faults of its own, all in one process.

Started by the fixture `start_hostile`. The program is given material and no part of this project (AR_SHARED, or
../shared beside the checkout): without it the test is skipped by name. Every sink writes a ledger of what it took.
"""

import contextlib
import json
import re
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postroom.ports import LOOPBACK, wait_until
from postroom.server import Room, Server, open_room, run

# Its parser is out of reach, so these are all its options; a new one shows as an AttributeError in the log.
_PLAIN: Mapping[str, Any] = {
    "host": LOOPBACK, "store": None, "rules": None, "control": None, "eod": "strict", "lmtp": False,
    "tls": "off", "implicit_tls": False, "cert": None, "key": None, "certkind": "self", "user": None, "password": "",
    "auth_required": False, "auth_plain": False, "pipelining": True, "smtputf8": False, "maxsize": 64 << 20,
    "idle": 60.0, "flood_cap": 64 << 20, "name": "mx.test", "seed": None,
}  # fmt: skip
_DRIVER = """
import argparse, asyncio, importlib.util, json, sys
spec = importlib.util.spec_from_file_location("hostile_mx", sys.argv[1])
hostile = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hostile)

async def main():
    sinks = json.load(open(sys.argv[2]))
    await asyncio.gather(*(hostile.amain(argparse.Namespace(**sink)) for sink in sinks))

asyncio.run(main())
"""


@dataclass(frozen=True)
class Sink:
    """One hostile server on 127.0.0.1:`port`."""

    port: int
    ledger: Path
    events: Path

    def played(self) -> set[str]:
        """The actions of faults that it really played, RCPT's by address too."""
        lines = [json.loads(line) for line in self.events.read_text().splitlines()]
        return {line["action"] for line in lines if line["ev"] == "fault"}

    def copies(self, recipient: str) -> int:
        """How often it took mail for a recipient, whether it said so or not."""
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        return sum(recipient in json.loads(line)["rcpts"] for line in lines)


@dataclass(frozen=True)
class Hostile:
    """The running process, and its sinks in the order in which they were asked for."""

    server: Server
    room: Room
    sinks: tuple[Sink, ...]


def faults_of(program: Path) -> tuple[set[str], set[str]]:
    """(stages, actions) that the program knows, read from its text; actions that are codes are left out."""
    text = program.read_text()
    stages = re.search(r'^STAGES = "([a-z ]+)"', text, re.M)
    assert stages, "the program has no list of stages any more"
    actions = set()
    for said in re.findall(r"\bact(?:ion)? (?:==|in) (\([^)]*\)|\"\w+\")", text):
        actions |= set(re.findall(r'"(\w+)"', said))
    return set(stages[1].split()), actions


@contextlib.contextmanager
def start_hostile(program: Path, wanted: Sequence[Mapping[str, Any]]) -> Iterator[Hostile]:
    """A sink for each of `wanted`: its options, as `{"fault": ["rcpt=451,times=1"], "tls": "on"}`."""
    with open_room("hostile") as room:
        ports = _free_ports(len(wanted))
        sinks = [Sink(port, room.path / f"{port}.taken", room.path / f"{port}.events") for port in ports]
        options = [
            {**_PLAIN, **one, "port": [sink.port], "log": str(sink.ledger), "events": str(sink.events)}
            for one, sink in zip(wanted, sinks, strict=True)
        ]
        asked = room.write("sinks.json", json.dumps(options))
        command: list[str | Path] = [sys.executable, "-c", _DRIVER, program, asked]
        with run("hostile", command, room) as server:

            def ready() -> bool:
                return server.log.read_text("utf-8", "replace").count("hostile_mx on") == len(sinks)

            wait_until(ready, 30, "the hostile servers do not listen", server.alive)
            yield Hostile(server, room, tuple(sinks))


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has, all different: they are held until the last one is found."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind((LOOPBACK, 0))
        return [int(one.getsockname()[1]) for one in held]

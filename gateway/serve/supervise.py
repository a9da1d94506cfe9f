"""The supervisor of `gateway serve --workers N`: starts the serving processes of a node, and replaces one that dies.

Called by the command line. It serves nothing itself: it holds the node's lock and its ports, so that nobody else takes
them while a process is replaced. It says `gateway.ready` once, when all of them are. What a dead process had booked is
taken back by its successor, which has its name. Refuses, with ConfigError, what one of them refuses at the first start.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from gateway.config import Config, ConfigError
from gateway.serve.lock import await_former, hold
from gateway.serve.logs import set_up_logging
from gateway.serve.ports import bind_port
from gateway.serve.seat import MOST, ORPHAN_SECONDS, Seat, pack

log = structlog.get_logger()

FIRST_WAIT, LONGEST_WAIT = 0.2, 30.0  # seconds before a process that died is replaced; doubles each time
LASTED = 60.0  # one that served so long died of something new
END_SECONDS = ORPHAN_SECONDS  # for a process to end once it was told to
PORTS = (("submission", "port"), ("submission", "tls_port"), ("receiver", "port"), ("receiver", "lmtp_port"),
         ("web", "port"))  # fmt: skip


def supervise(config: Config, count: int) -> None:
    """Serve with `count` processes until SIGTERM or SIGINT. Raises ConfigError when they cannot start."""
    if not 1 <= count <= MOST:
        raise ConfigError(f"{count} workers are not possible; 1 to {MOST} are")
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError("this system cannot share a port among processes; run `gateway serve` without --workers")
    set_up_logging(config.log)
    with hold(config):
        await_former(config, ORPHAN_SECONDS + 5)
        with _reserved(config) as settled:
            asyncio.run(Supervisor(settled, count).run())


@contextlib.contextmanager
def _reserved(config: Config) -> Iterator[Config]:
    """The configuration with its ports settled, which are bound, and not listened to, while the context lasts."""
    with contextlib.ExitStack() as stack:
        for section, key in PORTS:
            wanted = getattr(config, section)
            port = getattr(wanted, key)
            if not port:
                continue
            bind_port(wanted.host, port, shared=False).close()  # somebody else's must not be shared in silence
            sock = stack.enter_context(bind_port(wanted.host, port, shared=True))
            config = replace(config, **{section: replace(wanted, **{key: int(sock.getsockname()[1])})})
        yield config


@dataclass(eq=False)
class _Chair:
    """A seat, who sits there, and how often it was left lately."""

    seat: Seat
    process: asyncio.subprocess.Process | None = None
    ports: dict[str, int] | None = None
    refused: str = ""
    told: asyncio.Event = field(default_factory=asyncio.Event)  # of its ports, of what is wrong, or that it died


class Supervisor:
    """The serving processes of one node."""

    def __init__(self, config: Config, count: int) -> None:
        self._config = config
        self._chairs = [_Chair(Seat(number, count)) for number in range(1, count + 1)]
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to stop. Raises ConfigError when a process refuses to start at first."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        keepers = [asyncio.create_task(self._keep(chair)) for chair in self._chairs]
        try:
            await self._until_ready()
            await self._stop.wait()
        finally:
            self._stop.set()
            await self._end_all()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _until_ready(self) -> None:
        for chair in self._chairs:
            waits = [asyncio.create_task(event.wait()) for event in (chair.told, self._stop)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if self._stop.is_set():
                return
            if chair.ports is None:
                raise ConfigError(chair.refused or "a serving process could not start; what it logged says why")
        ports = self._chairs[0].ports or {}
        log.info("gateway.ready", node=self._config.node, workers=len(self._chairs), **ports)

    async def _keep(self, chair: _Chair) -> None:
        """Keep somebody in a chair until we stop."""
        loop, wait, first = asyncio.get_running_loop(), FIRST_WAIT / 2, True
        while not self._stop.is_set():
            began = loop.time()
            status = await self._serve(chair)
            lasted = loop.time() - began
            served = chair.ports is not None
            chair.told.set()
            if self._stop.is_set() or (first and not served):
                return
            wait, first = FIRST_WAIT if lasted >= LASTED else min(wait * 2, LONGEST_WAIT), False
            log.error("gateway.seat_ended", seat=chair.seat.number, status=status, again_in=wait, why=chair.refused)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait)

    async def _serve(self, chair: _Chair) -> int:
        """One life of a serving process; its exit status, negative for a signal."""
        chair.ports, chair.refused = None, ""
        async with _start(self._config, chair.seat) as (process, reader):
            chair.process = process
            if self._stop.is_set():  # it was being started when all were told
                process.terminate()
            with contextlib.suppress(OSError, ValueError):
                if line := await reader.readline():
                    told = json.loads(line)
                    chair.ports, chair.refused = told.get("ports"), told.get("refused", "")
                    chair.told.set()
            status = await process.wait()
            chair.process = None
        return status

    async def _end_all(self) -> None:
        """Tell everybody to stop, and wait; who does not end in time is killed."""
        ends = []
        for chair in self._chairs:
            if (process := chair.process) is not None and process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                ends.append(_end(chair, process))
        await asyncio.gather(*ends)


async def _end(chair: _Chair, process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        log.error("gateway.seat_killed", seat=chair.seat.number)
        process.kill()


@contextlib.asynccontextmanager
async def _start(config: Config, seat: Seat) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """A serving process, and what it tells us. It ends when our end of its channel closes."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "gateway.serve.seated", stdin=theirs.fileno(), env=_environment()
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            writer.write(pack(config, seat))
            yield process, reader
        finally:
            writer.close()


def _environment() -> dict[str, str]:
    """Ours, and where we found our own modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in sys.path)}

"""A serving process of `gateway serve --workers N`, started by `gateway.serve.supervise` as a program of its own.

Standard input is one end of a socket pair: the supervisor sends configuration and seat, and is told of ports or of what
is wrong. When that end closes, the supervisor is gone and the process ends as if it had been told to; if its event loop
does not come round to that, it is ended anyway. SIGINT is the supervisor's: a terminal sends it to everybody.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from gateway.config import Config, ConfigError
from gateway.serve.house import open_house
from gateway.serve.logs import set_up_logging
from gateway.serve.process import loop_factory
from gateway.serve.seat import ORPHAN_SECONDS, Seat, unpack


def main() -> None:
    """Take a seat and serve until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=os.dup(0))
    with channel.makefile("rb") as file:
        line = file.readline()
    if not line:
        raise SystemExit(1)  # the supervisor ended before it could say what to do
    config, seat = unpack(line)
    set_up_logging(config.log)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        told = runner.run(_serve(config, seat, channel))
    raise SystemExit(told)


async def _serve(config: Config, seat: Seat, channel: socket.socket) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    threading.Thread(target=_watch, args=(channel, loop.call_soon_threadsafe, stop.set), daemon=True).start()
    try:
        async with open_house(config, seat=seat) as house:
            _tell(channel, {"ports": asdict(house.ports)})
            await stop.wait()
    except ConfigError as error:
        _tell(channel, {"refused": str(error)})
        return 1
    return 0


def _watch(channel: socket.socket, soon: Callable[..., Any], end: Callable[[], None]) -> None:
    """Wait for the supervisor's end; it says nothing more while it lives."""
    while channel.recv(1):
        continue
    soon(end)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)


def _tell(channel: socket.socket, what: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # it is gone: `_watch` sees it, too
        channel.sendall(json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()

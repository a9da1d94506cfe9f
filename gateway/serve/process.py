"""The process of `gateway serve`: its event loop, its signals, its log.

Called by the command line. Ends in good order at SIGTERM or SIGINT.
"""

import asyncio
import signal
import sys
from collections.abc import Callable

from gateway.config import Config
from gateway.serve.house import open_house
from gateway.serve.logs import set_up_logging


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError when it cannot start."""
    set_up_logging(config.log)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_until_told(config))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists."""
    if sys.platform == "win32":
        return None
    import uvloop  # not on Windows

    return uvloop.new_event_loop


async def _until_told(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_house(config):
        await stop.wait()

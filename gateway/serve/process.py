"""The process of `gateway serve`: its event loop, its signals, its log.

Called by the command line. Ends in good order at SIGTERM or SIGINT.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from typing import Any

import structlog
import structlog.tracebacks

from gateway.config import Config
from gateway.serve.house import open_house


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError when it cannot start."""
    set_up_logging(config.log)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_told(config))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
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


# A traceback names files and lines; the values of variables may be mail or secrets.
_WITHOUT_LOCALS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def set_up_logging(level: str, stream: Any = None) -> None:
    """One JSON object a line on standard error; control characters are escaped by JSON (security rule 14)."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _WITHOUT_LOCALS,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=stream or sys.stderr, format="%(message)s")

"""The log of a serving process: one JSON object a line.

Set up by every process of `gateway serve`. Promises that no variable's value and no control character gets into it
(security rule 14).
"""

import logging
import sys
from typing import Any

import structlog
import structlog.tracebacks

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

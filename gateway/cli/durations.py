"""Lengths of time as people type them in options: 90s, 10m, 2h, 3d, 1w.

Used by every command that takes one. Refuses what has no unit, since nobody remembers whose seconds those were.
"""

import re
from datetime import timedelta
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


class Duration(click.ParamType[timedelta]):
    """A length of time; 0 is one too."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The time that is meant."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,7})([smhdw])|0", value)
        if found is None:
            self.fail(f"{value!r} is no length of time; write 90s, 10m, 2h, 3d or 1w", param, ctx)
        return timedelta(seconds=int(found[1] or 0) * _UNITS[found[2] or "s"])


def say_duration(seconds: float) -> str:
    """A length of time as people say it, two units at the most: 5m, 2h 10m, 3d 4h."""
    left, parts = int(seconds), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2]) or "0s"

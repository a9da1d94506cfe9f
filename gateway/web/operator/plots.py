"""Plots of a day as SVG: lines in a box of 1000 by 100, drawn here so that a page needs no script and no style.

Called by the operator's pages with what was measured. A line is the points of a polyline; labels stand outside the
drawing, where they keep their size on a telephone; and every number is in a table too, hour by hour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.inbox.timeline import msgid
from gateway.store.database import need_time
from gateway.store.measures import SLOT_MS, Measure, slot_of

DAY = timedelta(days=1)
SLOTS = 144
WIDE, HIGH = 1000, 100
_NICE = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what it is (msgid), its class, its points in parts (a gap where nothing is known), and its greatest."""

    name: str
    style: str
    parts: tuple[str, ...]
    most: int


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over the same day; `top` is the value at the upper edge, `unit` what it counts (msgid)."""

    name: str
    unit: str
    lines: tuple[Line, ...]
    top: int


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour in numbers: sums of what happened; of times and depths the greatest, None where nothing is known."""

    begins: datetime
    accepted: int
    relayed: int
    failed: int
    half: int | None
    most: int | None
    queued: int | None


@dataclass(frozen=True, slots=True)
class Day:
    """The last day: its plots, the moments at the edge of a quarter of it, and its hours, the latest first."""

    plots: tuple[Plot, ...]
    ticks: tuple[datetime, ...]
    hours: tuple[Hour, ...]


def first_slot(now: datetime) -> int:
    """The first slot of the day that ends now."""
    return slot_of(now) - SLOTS + 1


def draw_day(found: Sequence[Measure], now: datetime, *, whole: bool = True) -> Day:
    """The day that ends now. `whole`: of all tenants together, of whom times and the queue are known too."""
    known = {one.slot: one for one in found}
    slots = [known.get(first_slot(now) + n) for n in range(SLOTS)]
    plots = [
        _plot(msgid("Mail in ten minutes"), msgid("messages"), slots, (
            (msgid("accepted from billing systems"), "accepted", lambda one: one.accepted if one else 0),
            (msgid("taken by a server"), "relayed", lambda one: one.relayed if one else 0),
            (msgid("bounced or given up"), "failed", lambda one: one.failed if one else 0),
        ))
    ]  # fmt: skip
    if whole:
        plots += [
            _plot(msgid("From acceptance until a server had it"), msgid("seconds"), slots, (
                (msgid("half of the mail"), "relayed", lambda one: one.half / 1000 if one and one.relayed else None),
                (msgid("95 of 100"), "failed", lambda one: one.most / 1000 if one and one.relayed else None),
            )),
            _plot(msgid("In the queue"), msgid("deliveries"), slots, (
                (msgid("queued, held ones too"), "accepted", lambda one: one.queued if one else None),
            )),
        ]  # fmt: skip
    ticks = tuple(need_time((first_slot(now) + n) * SLOT_MS) for n in range(0, SLOTS + 1, SLOTS // 4))
    return Day(tuple(plots), ticks, _hours(slots, now))


Value = Callable[[Measure | None], float | None]


def _plot(name: str, unit: str, slots: Sequence[Measure | None], lines: Sequence[tuple[str, str, Value]]) -> Plot:
    values = [[value(one) for one in slots] for _, _, value in lines]
    top = _nice(max((one for line in values for one in line if one is not None), default=0))
    drawn = [
        Line(said, style, _parts(line, top), round(max((one for one in line if one is not None), default=0)))
        for (said, style, _), line in zip(lines, values, strict=True)
    ]
    return Plot(name, unit, tuple(drawn), top)


def _nice(most: float) -> int:
    """The least of 1, 2, 5, 10, 20, 50, ... that is no smaller."""
    power = 1
    while True:
        for digit in _NICE:
            if digit * power >= most:
                return digit * power
        power *= 10


def _parts(values: Sequence[float | None], top: int) -> tuple[str, ...]:
    parts: list[list[str]] = [[]]
    for n, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append(f"{n * WIDE / (SLOTS - 1):.0f},{HIGH - value * HIGH / top:.1f}")
    # a line of one point is drawn as a dash
    return tuple(" ".join(part if len(part) > 1 else part * 2) for part in parts if part)


def _hours(slots: Sequence[Measure | None], now: datetime) -> tuple[Hour, ...]:
    found = []
    for n in range(0, SLOTS, 6):
        some = [one for one in slots[n : n + 6] if one is not None]
        sums = [sum(getattr(one, name) for one in some) for name in ("accepted", "relayed", "failed")]
        times = [max((getattr(one, name) for one in some if one.relayed), default=None) for name in ("half", "most")]
        depth = max((one.queued for one in some if one.queued is not None), default=None)
        at = need_time((first_slot(now) + n) * SLOT_MS)
        found.append(Hour(at, sums[0], sums[1], sums[2], times[0], times[1], depth))
    return tuple(reversed(found))

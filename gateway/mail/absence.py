"""What an automatic answer of somebody who is away says: when he is back, whom to write to instead, whether he left.

Called by `mail.received` for automatic answers. By a table of words in many languages (`absence.toml`), one engine.
Promises never to raise, time linear in the 3,000 characters that it looks at; a day without a year is the one nearest
to the mail's own date. It refuses to guess: without a word before or after it, of several days none is taken.
"""

import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files

from gateway.mail.dsn.addresses import find_addresses

TEXT_LIMIT = 3000
LONGEST = timedelta(days=550)  # of an absence that we believe
_NUMERIC = re.compile(
    r"(?<![\d.:/-])(?:(?P<y>\d{4})(?:[./-]\s?|年\s?|년\s?)(?P<m>\d{1,2})(?:[./-]\s?|月\s?|월\s?)(?P<d>\d{1,2})"
    r"|(?P<m2>\d{1,2})(?:月|월)\s?(?P<d2>\d{1,2})"
    r"|(?P<d3>\d{1,2})[./-]\s?(?P<m3>\d{1,2})(?:[./-]\s?(?P<y3>\d{4}|\d{2}))?)(?!\d|[.:/-]\d)"
)
_BEFORE_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Absence:
    """`back_on` is the day of return or the last day away, whichever the mail names; None when it names none."""

    back_on: date | None = None
    substitute: str = ""  # address to write to instead
    left: bool = False  # works there no longer


@dataclass(frozen=True, slots=True)
class _Table:
    named: re.Pattern[str]  # 24 November 2026, November 24th
    months: tuple[tuple[str, int], ...]
    weekday: re.Pattern[str]
    weekdays: tuple[tuple[str, int], ...]
    before: re.Pattern[str]
    after: re.Pattern[str]
    begins: re.Pattern[str]
    instead: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _Day:
    value: date
    start: int
    end: int


@cache
def _read_table() -> _Table:
    data = tomllib.loads(files("gateway.mail").joinpath("absence.toml").read_text("utf-8"))

    def numbered(name: str) -> tuple[tuple[str, int], ...]:
        """(beginning of the word, number), the longest beginnings first."""
        rows = [(word, number) for number, words in enumerate(data[name]) for word in words]
        return tuple(sorted(rows, key=lambda row: -len(row[0])))

    months, weekdays = numbered("months"), numbered("weekdays")
    month = "(?:" + "|".join(re.escape(word) for word, _ in months) + r")[^\W\d_]{0,12}"
    day = r"\d{1,2}(?:st|nd|rd|th|er|-?го|-?е|-?lea|º|ª)?"
    return _Table(
        re.compile(
            rf"(?<![\w])(?:(?P<d>{day})\.?(?: ?(?:of|de|den|al|-))?[ \u00a0]?(?P<m>{month})\.?"
            r"(?:,? ?(?:de |del )?(?P<y>20\d\d))?"
            rf"|(?:(?P<y2>20\d\d)\.? )?(?P<m2>{month})\.? (?:the )?(?P<d2>{day})(?:,? (?P<y3>20\d\d))?)(?!\d)"
        ),
        months,
        re.compile("|".join(re.escape(word) for word, _ in weekdays)),
        weekdays,
        re.compile(rf"(?:{'|'.join(data['before'])})[^\w\n]{{0,3}}(?:\w{{1,12}}[ ,.]{{1,3}}){{0,3}}$"),
        re.compile("|".join(data["after"])),
        re.compile(rf"(?:{'|'.join(data['begins'])})[^\w\n]{{0,3}}(?:\w{{1,12}}[ ,.]{{1,3}}){{0,1}}$"),
        re.compile("|".join(data["instead"])),
    )


def read_absence(text: str, sent: datetime | None, own: frozenset[str] = frozenset(), left: bool = False) -> Absence:
    """What the words of an automatic answer say; `own` are addresses that are no substitute, in lower case."""
    text = text[:TEXT_LIMIT]
    lower = text.lower()
    lower = lower if len(lower) == len(text) else text  # a letter that changes its length would shift every place
    today = sent.date() if sent else None
    return Absence(_back_on(lower, today), _substitute(text, lower, own), left)


def _back_on(text: str, today: date | None) -> date | None:
    table = _read_table()
    days = _find_days(table, text, today)
    if today is not None:
        days = [day for day in days if today <= day.value <= today + LONGEST]
    told = [day for day in days if _is_return(table, text, day)]
    if told:
        return max(told, key=lambda day: day.value).value
    if len(days) == 2 and days[0].value < days[1].value and days[1].start - days[0].end <= 12:
        return days[1].value  # 16.11 - 24.11
    if len(days) == 1 and not table.begins.search(text[max(0, days[0].start - _BEFORE_LIMIT) : days[0].start]):
        return days[0].value
    return None


def _is_return(table: _Table, text: str, day: _Day) -> bool:
    if table.after.search(text[day.end : day.end + 20]):
        return True
    before = text[max(0, day.start - _BEFORE_LIMIT) : day.start]
    return bool(table.before.search(before)) and not table.begins.search(before[-12:])


def _find_days(table: _Table, text: str, today: date | None) -> list[_Day]:
    found: list[_Day] = []
    for match in list(_NUMERIC.finditer(text))[:40]:
        year = match["y"] or match["y3"] or ""
        first, second = match["d"] or match["d2"] or match["d3"], match["m"] or match["m2"] or match["m3"]
        day, month = int(first), int(second)
        if match["d3"] and month > 12 >= day:  # 11/24/2026
            day, month = month, day
        _add(found, match, year, month, day, today)
    for match in list(table.named.finditer(text))[:40]:
        word = match["m"] or match["m2"]
        month = next(number for start, number in table.months if word.startswith(start)) + 1
        day = int(re.match(r"\d+", match["d"] or match["d2"])[0])  # type: ignore[index]
        _add(found, match, match["y"] or match["y2"] or match["y3"] or "", month, day, today)
    if not found and today is not None:
        for match in list(table.weekday.finditer(text))[:10]:
            weekday = next(number for start, number in table.weekdays if match[0] == start)
            ahead = (weekday - today.weekday()) % 7 or 7
            found.append(_Day(today + timedelta(days=ahead), match.start(), match.end()))
    return sorted(found, key=lambda day: day.start)


def _add(found: list[_Day], match: re.Match[str], year: str, month: int, day: int, today: date | None) -> None:
    """Add the day that a match names, when there is such a day; without a year the one nearest to `today`."""
    try:
        if year:
            value = date(int(year) + (2000 if len(year) == 2 else 0), month, day)
        elif today is None:
            return
        else:
            value = min(
                (date(today.year + step, month, day) for step in (-1, 0, 1)), key=lambda one: abs(one - today).days
            )
    except ValueError:
        return
    found.append(_Day(value, match.start(), match.end()))


def _substitute(text: str, lower: str, own: frozenset[str]) -> str:
    """The address after a word of asking; the only other address when no such word stands."""
    others = [hit for hit in find_addresses(text, 20) if hit.address.lower() not in own]
    for word in _read_table().instead.finditer(lower):
        for hit in others:
            if word.start() - 80 <= hit.start <= word.end() + 240:
                return hit.address
    return others[0].address if len({hit.address.lower() for hit in others}) == 1 else ""

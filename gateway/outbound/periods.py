"""The period that a statement is for, as its subject or the name of its file says it: a month, a quarter, two days.

Used by `placing`, so that an account's statements of one period are one thread. Romanian, Russian and English, letters
compared without their marks. Precise rather than greedy: what names no year is no period. Pure.
"""

import calendar
import re
from collections.abc import Iterable
from datetime import date

from gateway.outbound.numbers import plain_text

LIMIT = 500  # characters of a text that are looked at

_MONTHS = {
    name: number
    for number, names in enumerate(
        "ian jan янв|feb фев|mar мар|apr апр|mai may мая май|iun jun июн|iul jul июл|aug авг|sep сен|oct окт|"
        "noi nov ноя|dec дек".split("|"),
        1,
    )
    for name in names.split()
}
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4}
_DIGIT = re.compile("[0-9]")
_YEAR = r"((?:19|20)[0-9]{2})(?![0-9])"
_OF = r"[\s,./_-]{1,3}(?:(?:de|of|al|а|anul(?:ui)?)\s+)?"
_DAY = r"(?<![0-9])([0-3]?[0-9])[./-]([01]?[0-9])[./-]((?:19|20)[0-9]{2})(?![0-9])"
_ISO_DAY = r"(?<![0-9])((?:19|20)[0-9]{2})[-./_]([01]?[0-9])[-./_]([0-3]?[0-9])(?![0-9])"
_TO = r"\s*(?:-|–|—|\.\.+|pana la|to|until|по|до|la|si|and)\s*"
_DAYS = re.compile(f"{_DAY}|{_ISO_DAY}")
_SHORT_RANGE = re.compile(rf"(?<![0-9])([0-3]?[0-9])[./]([01]?[0-9]){_TO}{_DAY}")
_MONTH = re.compile(rf"(?<![^\W_])({'|'.join(_MONTHS)})[a-zа-я]{{0,9}}\.?{_OF}{_YEAR}", re.I)
_QUARTER = re.compile(
    rf"(?<![^\W_])(?:(?:trim(?:estrul(?:ui)?)?|quarter|q|t)\.?\s*)?(iv|i{{1,3}}|[1-4])"
    rf"(?:\s*(?:-?(?:й|st|nd|rd|th))?\s*(?:quarter|кв(?:артал[а-я]?)?\.?))?{_OF}{_YEAR}",
    re.I,
)
_QUARTER_WORD = re.compile(r"(?<![^\W_])(?:trim|quarter|кв|[qt]\s*[1-4](?![0-9]))", re.I)
_MONTH_NUMBER = re.compile(rf"(?<![0-9./-])(0?[1-9]|1[0-2])[./-]{_YEAR}(?![./-][0-9])")
_ISO_MONTH = re.compile(r"(?<![0-9./-])((?:19|20)[0-9]{2})[-./_](0[1-9]|1[0-2])(?![-./_]?[0-9])")

Period = tuple[str, str]  # ISO days, the first and the last


def find_period(texts: Iterable[str]) -> Period | None:
    """The period of the first text that names one."""
    return next(filter(None, (_find(plain_text(text[:LIMIT])) for text in texts)), None)


def _find(text: str) -> Period | None:
    if not _DIGIT.search(text):
        return None
    try:
        return _of_days(text) or _of_quarter(text) or _of_month(text)
    except ValueError:  # the 31st of February
        return None


def _of_days(text: str) -> Period | None:
    if found := _SHORT_RANGE.search(text):
        day, month, *end = map(int, found.groups()[:5])
        last = date(end[2], end[1], end[0])
        first = date(last.year - (month > last.month), month, day)
        return first.isoformat(), last.isoformat()
    days = [_day(*found.groups()) for found in _DAYS.finditer(text)][:2]
    if len(days) == 2 and days[0] <= days[1]:
        return days[0].isoformat(), days[1].isoformat()
    return (days[0].isoformat(),) * 2 if len(days) == 1 else None


def _day(day: str, month: str, year: str, *iso: str) -> date:
    return date(int(year), int(month), int(day)) if day else date(*map(int, iso))


def _of_quarter(text: str) -> Period | None:
    found = _QUARTER.search(text) if _QUARTER_WORD.search(text) else None
    if found is None:
        return None
    quarter = _ROMAN.get(found[1].lower()) or int(found[1])
    return _months(int(found[2]), 3 * quarter - 2, 3 * quarter)


def _of_month(text: str) -> Period | None:
    if found := _MONTH.search(text):
        month = _MONTHS[found[1].lower()]
        return _months(int(found[2]), month, month)
    if found := _MONTH_NUMBER.search(text):
        return _months(int(found[2]), int(found[1]), int(found[1]))
    if found := _ISO_MONTH.search(text):
        return _months(int(found[1]), int(found[2]), int(found[2]))
    return None


def _months(year: int, first: int, last: int) -> Period:
    return date(year, first, 1).isoformat(), date(year, last, calendar.monthrange(year, last)[1]).isoformat()

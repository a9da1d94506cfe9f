"""The times that an X-AR-* field may say: a moment with its zone, a day, a length of time.

Used by `outbound.control`, for one value each. What is malformed is refused with the right form.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gateway.mail.reply import Refused

LONGEST = timedelta(days=30)  # of a delay, and of a letter's time
_LENGTH = re.compile(r"([0-9]{1,7})\s*(s|m|h|d)\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Ending = datetime | date | timedelta  # a moment, the end of a day where the tenant is, or so long after it may go


def read_day(name: str, value: str) -> str:
    """An ISO day. Raises Refused."""
    day = _day(value)
    if day is None:
        raise wrong(name, value, "a date; write 2026-12-08")
    return day.isoformat()


def read_moment(name: str, value: str) -> datetime:
    """A moment, UTC. Raises Refused."""
    at = _moment(value)
    if at is None:
        raise wrong(name, value, "a time with its zone; write 2026-12-08T09:00:00+02:00")
    return at


def read_length(name: str, value: str) -> timedelta:
    """A length of time. Raises Refused."""
    found = _length(value)
    if found is None or found > LONGEST:
        raise wrong(name, value, "a delay of at most 30 days; write 5m, 2h or 1d")
    return found


def read_ending(name: str, value: str) -> Ending:
    """When a mail means nothing any more. Raises Refused."""
    found = _day(value) or _moment(value) or _length(value)
    if found is None or found == timedelta(0) or (isinstance(found, timedelta) and found > LONGEST):
        form = "a day, a time with its zone, or at most 30 days; write 2026-12-08, 2026-12-08T18:00:00+02:00 or 2d"
        raise wrong(name, value, form)
    return found


def ends_at(ending: Ending, start: datetime, zone: ZoneInfo) -> datetime:
    """The moment that is meant, of a mail that may go from `start` on."""
    if isinstance(ending, datetime):
        return ending
    if isinstance(ending, timedelta):
        return start + ending
    return datetime.combine(ending + timedelta(days=1), time(), zone).astimezone(UTC)


def wrong(name: str, value: str, form: str) -> Refused:
    """The refusal of a value, with the form that is right."""
    return Refused(554, "5.6.0", f'{name} "{value[:100]}" is not {form}')


def _day(value: str) -> date | None:
    try:
        return datetime.strptime(value, "%Y-%m-%d").date()
    except ValueError:
        return None


def _moment(value: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _length(value: str) -> timedelta | None:
    matched = _LENGTH.match(value)
    return timedelta(**{_UNITS[matched[2]]: int(matched[1])}) if matched else None

"""Dates of mail, as far as they can be read: RFC 5322 §3.3 and its usual distortions.

Called by `mail.dsn` and `mail.received`. A date that cannot be read is None; a date without zone is taken as UTC.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

_MONTHS = {name: i + 1 for i, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split())}
_DATE = re.compile(
    r"(\d{1,2})[ -]([A-Za-z]{3})[a-z]{0,6}[ -](\d{4}|\d{2})["
    r" ,]{1,3}(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d{1,9})?\s{0,3}([+-]\d{4})?"
)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?(?:\.\d{1,9})?\s?([+-]\d\d:?\d\d|Z)?")


def read_date(text: str) -> datetime | None:
    """The aware time that a Date field names, or None."""
    text = text[:200]
    match = _DATE.search(text)
    if match:
        day, month, year = int(match[1]), _MONTHS.get(match[2].lower(), 0), int(match[3])
        year += (2000 if year < 70 else 1900) if year < 100 else 0
    else:
        match = _ISO.search(text)
        if not match:
            return None
        year, month, day = int(match[1]), int(match[2]), int(match[3])
    try:
        local = datetime(year, month, day, int(match[4]), int(match[5]), min(int(match[6] or 0), 59), tzinfo=UTC)
        return local.replace(tzinfo=_zone(match[7] or "")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(text: str) -> timezone:
    digits = text.replace(":", "")
    if len(digits) != 5:
        return UTC
    minutes = int(digits[1:3]) * 60 + int(digits[3:5])
    return timezone(timedelta(minutes=-minutes if digits[0] == "-" else minutes))

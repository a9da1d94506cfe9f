"""Amounts and days as people write them, in searches and in mail.

Pure; called by `inbox.search_operators` for what is looked for, and by `inbox.search_entries` for what mail mentions.
What is no amount or day is None, never an error.
"""

import re
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

from gateway.store.search_tokens import FIRST_DAY, MOST

THOUSANDTHS = 1000

_AMOUNT = re.compile(r"\d{1,3}(?:[ .,'\u202f]\d{3})+(?:[.,]\d{1,3})?|\d+(?:[.,]\d{1,3})?")


def read_amount(text: str) -> int | None:
    """An amount as people write it, in thousandths: 1200, 1.200,00, 1 200.5; None when it is none, or huge."""
    if not _AMOUNT.fullmatch(text):
        return None
    digits = re.sub(r"[ '\u202f]", "", text)
    last = max(digits.rfind("."), digits.rfind(","))
    whole = digits
    if last >= 0:
        behind = digits[last + 1 :]
        several = len(re.findall(r"[.,]", digits)) > 1
        mixed = "." in digits and "," in digits
        grouped = len(behind) == 3 and not mixed and (several or 1 <= last <= 3) and not digits.startswith("0")
        whole = re.sub(r"[.,]", "", digits if grouped else digits[:last]) + ("" if grouped else f".{behind}")
    try:
        value = int(Decimal(whole) * THOUSANDTHS)
    except InvalidOperation:  # never: the mask is stricter
        return None
    return value if value <= MOST else None


def find_amounts(text: str, most: int = 50) -> list[int]:
    """The amounts that a text mentions, of at least two decimals or a thousand with its separator."""
    found = []
    for one in _AMOUNT.finditer(text):
        if not one[0].isdigit() and (value := read_amount(one[0])) is not None:
            found.append(value)
            if len(found) >= most:
                break
    return found


_AGO = re.compile(r"(\d{1,4})([dwmy])\Z")
_ISO = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?\Z")
_POINTS = re.compile(r"(?:(\d{1,2})[./])?(\d{1,2})[./](\d{4})\Z")
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


def read_days(text: str, today: date) -> tuple[date, date] | None:
    """The first and the last day of what a text names: 2026, 2026-11, 2026-11-24, 24.11.2026, today, 7d; None: none."""
    text = text.strip().lower()
    near = {"today": today, "yesterday": today - timedelta(1)}
    if text in near:
        return near[text], near[text]
    if ago := _AGO.match(text):
        day = max(today - timedelta(int(ago[1]) * _DAYS[ago[2]]), FIRST_DAY)
        return day, day
    iso, points = _ISO.match(text), _POINTS.match(text)
    if iso is None and points is None:
        return None
    parts = iso.groups() if iso else (points[3], points[2], points[1])  # type: ignore[index]
    year, month, day_of = (int(one) if one else 0 for one in parts)
    try:
        if not month:
            return date(year, 1, 1), date(year, 12, 31)
        if not day_of:
            return date(year, month, 1), (date(year, month, 28) + timedelta(4)).replace(day=1) - timedelta(1)
        return date(year, month, day_of), date(year, month, day_of)
    except (ValueError, OverflowError):
        return None

"""What the search index holds: tokens of a thread, and the boolean expressions over them that are asked for.

Pure. Made by `inbox.indexing` and `inbox.search`, spent by `store.search_index`, the same for every database. A word is
a token (`plata`), a word of a field another (`f:ion`), a fact a third (`is=open`). Amounts and days are kept as their
own beginnings (`d2026`, `d202611`, `d20261124`), so that a range is a few tokens and exact. Before each stands the code
of its tenant, so that no tenant's words stand in another's lists.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
MOST_DIGITS = 15  # of an amount in thousandths
MOST = 10**MOST_DIGITS - 1
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
EVERY = "every"  # each thread has it, so that "all but these" can be asked


@dataclass(frozen=True, slots=True)
class Word:
    """A token; with `prefix` every token that begins so."""

    token: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Phrase:
    """Tokens one after the other; with `prefix` the last may go on."""

    tokens: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Both:
    """All of these; nothing in it is every thread."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of these at least; nothing in it is no thread."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Without:
    """Every thread but these."""

    part: "Expression"


Expression = Word | Phrase | Both | Either | Without


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a thread. A run: tokens that stand side by side; `mails`: how many were read for it."""

    tenant_id: str
    thread_id: str
    last_at: int  # ms
    runs: tuple[tuple[str, ...], ...]
    facts: frozenset[str]
    seq: int = 0  # its place; 0: the index gives one
    mails: int = 0


def code_of(tenant_id: str) -> str:
    """Four characters that stand before a tenant's tokens. Two tenants may share them: rows are checked besides."""
    number = int.from_bytes(hashlib.sha256(tenant_id.encode()).digest()[:4], "big") % 36**4
    return "".join(_DIGITS[number // 36**place % 36] for place in range(4))


def fact(name: str, value: str) -> str:
    """The token of a fact: `is=open`."""
    return f"{name}={''.join(c if c.isalnum() else '_' for c in value.lower())[:100]}"


# -- amounts: thousandths, at least 0. `a7` has seven digits, `a7:12` begins with 12.


def amount_tokens(letter: str, value: int) -> list[str]:
    """Every beginning of an amount."""
    digits = str(min(max(value, 0), MOST))
    start = f"{letter}{_DIGITS[len(digits)]}"
    return [start, *(f"{start}:{digits[:count]}" for count in range(1, len(digits) + 1))]


def amount_range(letter: str, low: int, high: int) -> Expression:
    """Amounts from `low` to `high`, both included."""
    low, high = max(low, 0), min(high, MOST)
    found = []
    for count in range(1, MOST_DIGITS + 1):
        least, most = (0 if count == 1 else 10 ** (count - 1)), 10**count - 1
        if low <= most and high >= least:
            inner = _beginnings("", count, max(low, least), min(high, most), least, most)
            start = f"{letter}{_DIGITS[count]}"
            found += [Word(f"{start}:{one}" if one else start) for one in inner]
    return Either(tuple(found))


def _beginnings(prefix: str, count: int, low: int, high: int, least: int, most: int) -> Iterator[str]:
    """The fewest beginnings of numbers with `count` digits, from `least` to `most`, that make up low..high."""
    if low > most or high < least:
        return
    if low <= least and high >= most:
        yield prefix
        return
    size = 10 ** (count - len(prefix) - 1)
    for digit in "0123456789" if prefix or count == 1 else "123456789":
        start = int(prefix + digit) * size
        yield from _beginnings(prefix + digit, count, low, high, start, start + size - 1)


# -- days: `d20` a century, `d202` a decade, `d2026`, `d202611`, `d20261124`


def day_tokens(letter: str, day: date) -> list[str]:
    """Every beginning of a day."""
    digits = f"{day:%Y%m%d}"
    return [f"{letter}{digits[:count]}" for count in (2, 3, 4, 6, 8)]


def day_range(letter: str, low: date, high: date) -> Expression:
    """Days from `low` to `high`, both included."""
    low, high = max(low, FIRST_DAY), min(high, LAST_DAY)
    return Either(tuple(Word(f"{letter}{one}") for one in _spell("", low, high)))


def _spell(prefix: str, low: date, high: date) -> Iterator[str]:
    for one, least, most in _inside(prefix):
        if low > most or high < least:
            continue
        if low <= least and high >= most:
            yield one
        else:
            yield from _spell(one, low, high)


def _inside(prefix: str) -> Iterator[tuple[str, date, date]]:
    """The next finer beginnings, each with its first and last day."""
    if len(prefix) < 4:
        step = {0: ("19", "20", "21"), 2: tuple("0123456789"), 3: tuple("0123456789")}[len(prefix)]
        for one in step:
            made = prefix + one
            yield made, date(int(made.ljust(4, "0")), 1, 1), date(int(made.ljust(4, "9")), 12, 31)
    elif len(prefix) == 4:
        for month in range(1, 13):
            first = date(int(prefix), month, 1)
            yield f"{prefix}{month:02}", first, (first + timedelta(31)).replace(day=1) - timedelta(1)
    else:
        day = date(int(prefix[:4]), int(prefix[4:]), 1)
        while f"{day:%Y%m}" == prefix:
            yield f"{day:%Y%m%d}", day, day
            day += timedelta(1)


def flat(parts: Sequence[Expression]) -> tuple[Expression, ...]:
    """Parts of an Either, those within another Either beside them."""
    found: list[Expression] = []
    for one in parts:
        found += one.parts if isinstance(one, Either) else (one,)
    return tuple(found)

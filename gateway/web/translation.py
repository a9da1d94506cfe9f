"""The pages' words in Romanian, Russian and English, by gettext catalogues that are read as text at start.

Each area of the pages has a catalogue of its own; a sentence that two of them translate must be the same in both.
A msgid is the English sentence, so English needs no translations; a sentence without one stays English rather than
failing a page (a test finds it). Dates, numbers and amounts are those of the reader's language, in the tenant's zone.
"""

import gettext
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_date, format_datetime
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal

LANGUAGES = ("ro", "ru", "en")
NAMES = {"ro": "Română", "ru": "Русский", "en": "English"}  # each in its own language, for the switcher

# Checked with CLDR: its long Russian date ends in "г.", its currency of Moldova prints as a bare "L".
_MONEY = {"ro": "#,##0.00 ¤¤", "ru": "#,##0.00 ¤¤", "en": "¤¤ #,##0.00"}
_DATE = {"ro": "dd.MM.yyyy", "ru": "dd.MM.yyyy", "en": "dd/MM/yyyy"}


@dataclass(frozen=True)
class Translation:
    """One language's sentences."""

    language: str
    sentences: Mapping[str, str | tuple[str, ...]]
    plural: Callable[[int], int]

    def gettext(self, text: str) -> str:
        """The sentence in this language; itself when it has no translation."""
        found = self.sentences.get(text)
        return found if isinstance(found, str) else text

    def ngettext(self, one: str, many: str, number: int) -> str:
        """The sentence in the plural form for `number`."""
        found = self.sentences.get(one)
        if isinstance(found, tuple):
            return found[self.plural(number)]
        return one if number == 1 else many


@cache
def translation(language: str) -> Translation:
    """The catalogue of a language; Romanian for one that we do not have."""
    language = language if language in LANGUAGES else "ro"
    folder = files("gateway") / "templates" / "locale" / language / "LC_MESSAGES"
    sentences: dict[str, str | tuple[str, ...]] = {}
    for path in sorted((path for path in folder.iterdir() if path.name.endswith(".po")), key=lambda path: path.name):
        with path.open("rb") as file:
            catalog = read_po(file, locale=language, charset="utf-8")
        for id, said in _said(catalog):
            if sentences.setdefault(id, said) != said:
                raise ValueError(f"{language}/{path.name} translates {id!r} otherwise than another catalogue")
    return Translation(language, sentences, gettext.c2py(catalog.plural_expr))


def _said(catalog: Catalog) -> Iterator[tuple[str, str | tuple[str, ...]]]:
    """(msgid, its translation) of all that is translated."""
    for message in catalog:
        if not message.id or message.fuzzy:
            continue
        said = message.string
        if isinstance(message.id, str):
            if said:
                yield message.id, str(said)
        elif isinstance(said, (tuple, list)) and all(said):
            yield message.id[0], tuple(said)


@dataclass(frozen=True)
class Reader:
    """Who reads a page: their language and their zone, and how times and amounts look to them."""

    language: str
    zone: ZoneInfo

    def moment(self, at: datetime) -> str:
        """`luni, 23 noiembrie 2026, 10:14`."""
        return str(format_datetime(at.astimezone(self.zone), "EEEE, d MMMM y, HH:mm", locale=self.language))

    def second(self, at: datetime) -> str:
        """`lun. 23 nov. 2026, 10:14:05`, for timelines."""
        return str(format_datetime(at.astimezone(self.zone), "EEE d MMM y, HH:mm:ss", locale=self.language))

    def brief(self, at: datetime, now: datetime) -> str:
        """`lun. 23 nov., 10:14` for lists; the year instead of the hour when it is not this one."""
        here, today = at.astimezone(self.zone), now.astimezone(self.zone)
        pattern = "EEE d MMM, HH:mm" if here.year == today.year else "EEE d MMM y"
        return str(format_datetime(here, pattern, locale=self.language))

    def day(self, text: str) -> str:
        """`23.11.2026` for a document's ISO date; text that is none as it is."""
        try:
            return str(format_date(date.fromisoformat(text), _DATE[self.language], locale=self.language))
        except ValueError:
            return text

    def money(self, amount: str, currency: str) -> str:
        """`1.200,00 MDL` for decimal text; text that is none as it is."""
        try:
            value = Decimal(amount)
        except InvalidOperation:
            return amount
        if not value.is_finite():
            return amount
        if not currency:
            return str(format_decimal(value, "#,##0.00", locale=self.language))
        return str(format_currency(value, currency, _MONEY[self.language], locale=self.language))

    def clock(self, at: datetime) -> str:
        """`10:14`."""
        return str(format_datetime(at.astimezone(self.zone), "HH:mm", locale=self.language))

    def number(self, value: float) -> str:
        """`1.200`; `12,5`."""
        return str(format_decimal(value, "#,##0.#", locale=self.language))

    def percent(self, share: float) -> str:
        """`12,5 %` for 0.125."""
        return f"{format_decimal(share * 100, '#,##0.#', locale=self.language)} %"

    def size(self, octets: int) -> str:
        """`24 KB`, `1,3 MB`."""
        if octets < 1_000_000:
            return f"{format_decimal(max(octets // 1000, 1), '#,##0', locale=self.language)} KB"
        return f"{format_decimal(octets / 1_000_000, '#,##0.0', locale=self.language)} MB"


@cache
def zone(name: str) -> ZoneInfo:
    """A time zone by name; UTC for one that does not exist."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")

"""The product's texts in Romanian, Russian and English, and how dates, amounts and numbers are written in each.

Called by rendering and the PDF, and by whoever shows a bounce reason. The texts are data (`templates/email/*.toml`),
read once; a language that lacks a table is a defect of ours, found when it is read. `filling` puts the facts of a
document into them.
"""

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal, get_currency_precision

from gateway.outbound.documents.fields import date_of, decimal_of
from gateway.outbound.documents.model import Document

LANGUAGES = ("ro", "ru", "en")

_RANGE = re.compile(r"(\d{1,4})\s*[-–]\s*(\d{1,4})\Z")
_OVER = re.compile(r"(?:[>≥]\s*(\d{1,4})|(\d{1,4})\s*\+)\Z")
_NBSP = "\u00a0"
_TABLES = (
    "formats", "greeting", "footer", "download", "days", "installments", "when", "more_lines", "more_lines_bare",
    "labels", "buckets", "intervals", "entry_types", "nouns", "templates", "bounce_reasons",
)  # fmt: skip
_INTERVALS = {
    "daily": "day", "p1d": "day", "weekly": "week", "p1w": "week", "p7d": "week", "monthly": "month", "p1m": "month",
    "quarterly": "quarter", "p3m": "quarter", "p6m": "half_year", "half-year": "half_year", "semiannual": "half_year",
    "yearly": "year", "annual": "year", "annually": "year", "p1y": "year", "p12m": "year",
}  # fmt: skip
_METHODS = {"bank": "bank_transfer", "transfer": "bank_transfer", "wire": "bank_transfer"}


@dataclass(frozen=True, slots=True)
class Template:
    """What holds for a template in every language.

    `fits` are the types of document that it is about; `link` names the member of the document's links, or "".
    """

    key: str
    fits: tuple[str, ...]
    link: str
    attach_pdf: bool
    enabled: bool
    auto: Mapping[str, Any]


class Language:
    """The texts and the ways of writing of one language."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.locale = Locale(code)
        self._data = _load(code)
        self._units: Mapping[str, str | Mapping[str, str]] = _load("units")[code]
        self.labels: Mapping[str, str] = self._data["labels"]
        self.bounce_reasons: Mapping[str, str] = self._data["bounce_reasons"]

    def text(self, table: str, key: str) -> str:
        """One text of a table: greeting, footer, formats …"""
        return str(self._data[table][key])

    def template(self, key: str) -> Mapping[str, str]:
        """The unfilled texts of a template: subject, preheader, lead, and where they exist alt and button."""
        found: Mapping[str, str] = self._data["templates"][key]
        return found

    def noun(self, name: str) -> Mapping[str, str]:
        """The forms of what a document of a kind or type is called: doc doc_def doc_acc doc_gen doc_dat doc_short."""
        nouns = self._data["nouns"]
        found: dict[str, str] = nouns.get(name, nouns["invoice"])
        short = found.get("doc_def") or found.get("doc_acc") or found["doc"]
        return {"doc_def": "", "doc_acc": "", "doc_gen": "", "doc_dat": "", "doc_short": short} | found

    def title(self, document: Document) -> str:
        """What the document is called, as its heading."""
        return capitalised(self.noun(noun_of(document))["doc"])

    def date(self, text: str) -> str:
        """An ISO date in words, `8 decembrie 2026`; "" for ""."""
        day = date_of(text)
        return format_date(day, self.text("formats", "date"), locale=self.locale) if day else ""

    def day(self, text: str) -> str:
        """An ISO date as it stands by itself, outside of a sentence; "" for ""."""
        day = date_of(text)
        return format_date(day, self.text("formats", "day"), locale=self.locale) if day else ""

    def short_date(self, text: str) -> str:
        """An ISO date in figures, `08.12.2026`; "" for ""."""
        day = date_of(text)
        return format_date(day, self.text("formats", "short"), locale=self.locale) if day else ""

    def period(self, start: str, end: str) -> str:
        """A span of days in figures; either end may be ""."""
        return f"{_NBSP}– ".join(part for part in (self.short_date(start), self.short_date(end)) if part)

    def number(self, text: str, least: int = 0) -> str:
        """A decimal as it was given, with at least `least` places: "12.50" is `12,5`; "" for ""."""
        if not text:
            return ""
        value = decimal_of(text)
        places = max(least, -int(value.normalize().as_tuple().exponent), 0)
        pattern = "#,##0" + ("." + "0" * places if places else "")
        return _unbroken(format_decimal(value, pattern, locale=self.locale, decimal_quantization=False))

    def amount(self, text: str, currency: str) -> str:
        """An amount without its currency, in the places that the currency has or the amount needs: `1.200,00`."""
        return self.number(text, get_currency_precision(currency))

    def money(self, text: str, currency: str) -> str:
        """An amount with its ISO 4217 code, unbreakable: `1.200,00 MDL`, `MDL 1,200.00`; "" for ""."""
        if not text:
            return ""
        form = self.text("formats", "money")
        return form.replace("{number}", self.amount(text, currency)).replace("{currency}", currency)

    def bucket(self, text: str) -> str:
        """An age of debts as people say it: `31-60` is `31–60 de zile`, `90+` is `peste 90 de zile`."""
        forms = self._data["buckets"]
        if found := _RANGE.match(text.strip()):
            return str(forms["range"]).replace("{from}", found[1]).replace("{days}", self.count("days", int(found[2])))
        if found := _OVER.match(text.strip()):
            return str(forms["over"]).replace("{days}", self.count("days", int(found[1] or found[2])))
        return str(forms.get(text.strip().lower(), text))

    def interval(self, text: str) -> str:
        """How often it is billed: `month`, `monthly` and `P1M` are `lunar`; what is not known stays as it is."""
        name = text.strip().lower()
        return str(self._data["intervals"].get(_INTERVALS.get(name, name), text))

    def entry_type(self, text: str) -> str:
        """What a document or an entry of a statement is called; what is not known stays as it is."""
        return str(self._data["entry_types"].get(text.strip().lower(), text))

    def method(self, text: str) -> str:
        """How it was paid: `card`, `bank_transfer` …; what is not known stays as it is."""
        name = text.strip().lower()
        name = _METHODS.get(name, name)
        return self.labels[name] if name in ("card", "cash", "direct_debit", "bank_transfer", "other") else text

    def count(self, table: str, n: int) -> str:
        """A number with its noun in the right plural: `20 de zile`, `2 дня`. Tables: days, installments, more_lines."""
        forms = self._data[table]
        form = forms.get(self.locale.plural_form(n), forms["other"])
        return str(form).replace("{n}", self.number(str(n)))

    def unit(self, code: str) -> str:
        """A unit of UN/ECE Rec 20 in words, as it stands for one: `HUR` is `oră`; what is not known stays as it is."""
        found = self._units.get(code, code)
        return found if isinstance(found, str) else found["one"]

    def quantity(self, text: str, code: str) -> str:
        """So many of a unit of UN/ECE Rec 20: `3 ore`, `20 de ore`, `1,5 часа`; "" for a unit that is not known."""
        forms = self._units.get(code)
        if not text or forms is None:
            return ""
        value = decimal_of(text)
        shown = Decimal(f"{value.normalize():f}")  # CLDR counts the decimals that are seen
        name = forms if isinstance(forms, str) else forms.get(self.locale.plural_form(abs(shown)), forms["other"])
        return f"{self.number(text)}{_NBSP}{name}"

    def size(self, size: int) -> str:
        """A size in bytes as people say it: `12,3 MB`, `340 KB`."""
        name, unit = ("megabytes", 10**6) if size >= 10**6 else ("kilobytes", 10**3)
        value = max(Decimal(size) / unit, Decimal("0.1") if name == "megabytes" else Decimal(1))
        shown = format_decimal(value, "#,##0.#" if name == "megabytes" else "#,##0", locale=self.locale)
        return f"{shown}{_NBSP}{self.text('download', name)}"

    def in_days(self, n: int) -> str:
        """When it is, seen from today: `astăzi`, `mâine`, `în 5 zile`."""
        if n <= 0:
            return self.text("when", "today")
        if n == 1:
            return self.text("when", "tomorrow")
        return self.text("when", "later").replace("{days}", self.count("days", n))


@functools.cache
def language(code: str) -> Language:
    """The texts of `ro`, `ru` or `en`; of anything else, English."""
    return Language(code if code in LANGUAGES else "en")


@functools.cache
def templates() -> Mapping[str, Template]:
    """The fourteen templates of the product by their key."""
    data = _load("templates")["templates"]
    return {
        key: Template(key, tuple(item["fits"]), item["button"], item["attach_pdf"], item["enabled"], item["auto"])
        for key, item in data.items()
    }


@functools.cache
def reasons() -> Mapping[str, Mapping[str, str]]:
    """For each reason of a bounce its `kind` (hard, soft, policy, ours, unknown) and what to `do`."""
    found: Mapping[str, Mapping[str, str]] = _load("reason_table")
    return found


def language_of(document: Document, default: str = "ro") -> str:
    """The document's language, else its payer's or customer's, else the tenant's."""
    return document.language or document.payer_or_customer.language or document.customer.language or default


def balance_of(document: Document) -> str:
    """What is still to be paid: the balance as given, else what total, paid and credited say."""
    totals = document.totals
    if totals is None:
        return ""
    return totals.balance or f"{decimal_of(totals.total) - decimal_of(totals.paid) - decimal_of(totals.credited):f}"


def is_settled(document: Document) -> bool:
    """Whether it was paid in full: its status says so, or money came and nothing is left."""
    totals = document.totals
    if totals is None or document.status == "paid":
        return document.status == "paid"
    return decimal_of(totals.paid) > 0 and decimal_of(balance_of(document)) <= 0


def noun_of(document: Document) -> str:
    """The name in the tables of nouns: the kind where the type has kinds, else the type."""
    if document.type == "invoice":
        return document.kind or "invoice"
    act = (
        document.type == "statement"
        and document.statement
        and ("act_de_verificare" in (document.kind, document.statement.style))
    )
    return "act_de_verificare" if act else document.type


def capitalised(text: str) -> str:
    """`text` with a capital first letter."""
    return text[:1].upper() + text[1:]


def _unbroken(text: str) -> str:
    """A number in one piece, with a minus that is one: its spaces are the no-break space that every font has."""
    return text.replace("\u202f", _NBSP).replace(" ", _NBSP).replace("-", "\u2212")


def is_zero(text: str) -> bool:
    """Whether an amount says nothing: "" or 0.00."""
    return decimal_of(text) == Decimal(0)


@functools.cache
def _load(name: str) -> dict[str, Any]:
    if name == "reason_table":
        found: dict[str, Any] = _load("templates")["reason"]
        return found
    data = tomllib.loads((files("gateway") / "templates" / "email" / f"{name}.toml").read_text("utf-8"))
    if name in LANGUAGES and (missing := set(_TABLES) - data.keys()):
        raise ValueError(f"templates/email/{name}.toml lacks {', '.join(sorted(missing))}")
    return data

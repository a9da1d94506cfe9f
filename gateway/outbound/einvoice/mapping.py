"""The verbs of the tables: field of the document <- paths in the XML, one engine for both syntaxes.

Used by `ubl` and `cii`, whose tables name, for each field, a verb and the paths at which it may be: `text`, `money`,
`day`, `one`, `many`, ... The first path that has a text wins. Amounts keep the digits that were written; what is wrong
is noted as a complaint about the field, and the model of the document says the rest.
"""

import re
from typing import Any

from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.outbound.documents.fields import date_of
from gateway.outbound.einvoice.extract import Extract, Table, Take, elements
from gateway.outbound.einvoice.xml import Element

MAX_ITEMS = 1000  # of any list, as the schema allows lines
_DECIMAL = re.compile(r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?\Z")
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9:.]+)?(Z|[+-][0-9]{2}:[0-9]{2})?\Z")
_DAY_102 = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})\Z")
_NOTE_CODE = re.compile(r"\A#[A-Z]{3}#")  # BT-21 before BT-22, as the UBL binding of EN 16931 writes it


# -- verbs for single fields


def text(*paths: str) -> Take:
    """The first text that is there."""

    def take(extract: Extract, element: Element, at: str) -> str:
        found = extract.first(element, paths)
        return extract.use(found, at) if found else ""

    return take


def short(limit: int, *paths: str) -> Take:
    """The first text, unless it is too long for a field that can do without it."""

    def take(extract: Extract, element: Element, at: str) -> str:
        found = extract.first(element, paths)
        return extract.use(found, at) if found and len(found.text) <= limit else ""

    return take


def country(*paths: str) -> Take:
    """A country by its code. EN 16931 writes Kosovo as 1A; everybody else as XK."""

    def take(extract: Extract, element: Element, at: str) -> str:
        found = extract.first(element, paths)
        return {"1A": "XK"}.get(code := extract.use(found, at), code) if found else ""

    return take


def joined(limit: int, separator: str, *paths: str) -> Take:
    """The texts at all the paths, as one text of at most `limit` characters; what no longer fits is left out whole."""

    def take(extract: Extract, element: Element, at: str) -> str:
        whole = ""
        for path in paths:
            for found in extract.find(element, path):
                more = (separator if whole else "") + _NOTE_CODE.sub("", found.text, count=1)
                if len(whole) + len(more) <= limit:
                    whole += more
                    extract.use(found, at)
        return whole

    return take


def texts(*takes: Take) -> Take:
    """A list of what each of `takes` finds."""

    def take(extract: Extract, element: Element, at: str) -> list[str]:
        return [found for one in takes if (found := one(extract, element, at))]

    return take


def mail(*paths: str) -> Take:
    """The first mail address; one that is malformed is left where it is: nobody can be written to by it."""

    def take(extract: Extract, element: Element, at: str) -> str:
        for path in paths:
            for found in extract.find(element, path):
                if is_mail(found.text):
                    return extract.use(found, at)
        return ""

    return take


def is_mail(value: str) -> bool:
    """Whether a text is a mail address."""
    try:
        return len(value) <= 320 and bool(parse_address(value))
    except Refused:
        return False


def money(*paths: str) -> Take:
    """An amount in the document's currency."""

    def take(extract: Extract, element: Element, at: str) -> str:
        found = extract.first(element, paths)
        if found is None:
            return ""
        currency = found.element.attributes.get("currencyID", "").strip()
        if currency and currency != extract.currency:
            extract.complain(at, f"is in {currency[:10]}, and the document in {extract.currency or 'no currency'}")
        return decimal(extract, extract.use(found, at), at, 6)

    return take


def number(*paths: str) -> Take:
    """A decimal number."""

    def take(extract: Extract, element: Element, at: str) -> str:
        found = extract.first(element, paths)
        return decimal(extract, extract.use(found, at), at, 10) if found else ""

    return take


def decimal(extract: Extract, written: str, at: str, places: int) -> str:
    """An xs:decimal as the document's schema writes it: `+.50` as `0.50`; zeros beyond `places` are cut, digits never.

    What is no decimal stays as it is, and the model says so.
    """
    match = _DECIMAL.match(written)
    if not match or not (match["whole"] or match["part"]):
        return written
    whole, part = match["whole"].lstrip("0") or "0", match["part"] or ""
    if len(part) > places:
        part = part[:places] + part[places:].rstrip("0")
    if len(part) > places or len(whole) > 15:
        extract.complain(at, f"has {len(whole)} digits and {len(part)} decimals; at most 15 and {places} are taken")
    return ("-" if match["sign"] == "-" else "") + whole + (f".{part}" if part else "")


def day(*paths: str) -> Take:
    """A date: xs:date, or UN/EDIFACT 2379 format 102 (YYYYMMDD)."""

    def take(extract: Extract, element: Element, at: str) -> str:
        found = extract.first(element, paths)
        if found is None:
            return ""
        written, form = extract.use(found, at), found.element.attributes.get("format", "").strip()
        if form not in ("", "102"):
            extract.complain(at, f"has the date format {form[:10]}; write format 102, as 20261231")
            return ""
        if compact := _DAY_102.match(written):
            written = "-".join(compact.groups())
        elif (plain := _DAY.match(written)) and not form:
            written = plain[1]
        return _in_calendar(extract, written, at)

    return take


def _in_calendar(extract: Extract, written: str, at: str) -> str:
    try:
        date_of(written)
    except ValueError:
        extract.complain(at, f"{written[:40]!r} is no day of the calendar; write a date, as 2026-12-31")
        return ""
    return written


def flag(*paths: str) -> Take:
    """True or false (xs:boolean)."""

    def take(extract: Extract, element: Element, at: str) -> bool:
        found = extract.first(element, paths)
        said = extract.use(found, at) if found else ""
        if said not in ("true", "1", "false", "0"):
            extract.complain(at, "is neither true nor false" if found else "is missing; write true or false")
        return said in ("true", "1")

    return take


def always(value: Any) -> Take:
    """The same in every document."""
    return lambda _extract, _element, _at: value


# -- verbs for parts


def one(path: str, table: Table) -> Take:
    """The object at the first element of `path`, or of the element itself when `path` is "."."""

    def take(extract: Extract, element: Element, at: str) -> dict[str, Any]:
        here = element if path == "." else next(iter(elements(extract, element, path)), None)
        return extract.fill(here, table, at) if here is not None else {}

    return take


def many(*sources: tuple[str, Table]) -> Take:
    """A list of objects: for each (path, table), one for each element."""

    def take(extract: Extract, element: Element, at: str) -> list[dict[str, Any]]:
        here = [(one, table) for path, table in sources for one in elements(extract, element, path)]
        if len(here) > MAX_ITEMS:
            extract.complain(at, f"has {len(here)} items; at most {MAX_ITEMS} are taken")
            extract.cut = True
        return [extract.fill(one, table, f"{at}[{number}]") for number, (one, table) in enumerate(here[:MAX_ITEMS])]

    return take

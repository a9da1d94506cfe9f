"""From the tree of an e-invoice to a document: filled by the table of its syntax, shaped, checked; what is lost listed.

Called by `einvoice` with the root of an XML that has one of `SYNTAXES`. Each complaint names the document's field and
the place in the XML. EN 16931 is asked for where the document's own identifier (BT-24) promises it; plain UBL is held
to what a mail about it needs.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from types import ModuleType
from typing import Any

from gateway.outbound.documents import Document, check_values
from gateway.outbound.documents.sums import Complaint
from gateway.outbound.einvoice import cii, ubl
from gateway.outbound.einvoice.checks import check_amounts, check_members
from gateway.outbound.einvoice.extract import Extract, elements
from gateway.outbound.einvoice.mapping import money
from gateway.outbound.einvoice.parts import add_endpoint
from gateway.outbound.einvoice.xml import Element

SYNTAXES: dict[str, tuple[str, ModuleType]] = {
    "Invoice": ("UBL Invoice", ubl),
    "CreditNote": ("UBL CreditNote", ubl),
    "rsm:CrossIndustryInvoice": ("CII", cii),
}
# UNTDID 1001, as the code list of EN 16931 splits it (BT-3).
INVOICES = frozenset(
    "71 80 82 84 102 130 202 203 204 211 218 219 295 325 326 331 380 382 383 384 385 386 387 388 389 390 393 394 395"
    " 456 457 471 472 473 500 501 527 553 575 623 633 751 780 817 870 875 876 877 935".split()
)
CREDIT_NOTES = frozenset("81 83 261 262 296 308 381 396 420 458 502 503 532".split())
PROFORMA, CORRECTED = "325", "384"
SELF_BILLED = ("261", "389", "471", "473", "500", "501", "502", "503", "527")
STRICT = ("en16931", "xrechnung", "peppol.eu:2017")  # of UBL; CII is an e-invoice of EN 16931 or of nothing
WITHOUT_LINES = (":minimum", ":basicwl")  # profiles of Factur-X and ZUGFeRD that leave the lines to the page
EXTENSION, EXTENDED, THIRD_PARTIES = "exten", ":extended", "extension:xrechnung"
MAX_ERRORS = 100
MAX_LOST = 10_000
# Codes by which a table tells things of one name apart: the tax is VAT, the reference is a file, an object, a tender.
IMPLIED = {
    ("cbc:ID", "VAT"), ("cbc:DocumentTypeCode", "130"),
    *(("ram:TypeCode", code) for code in ("VAT", "916", "130", "50")),
}  # fmt: skip
DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]+)?\Z")


@dataclass(frozen=True, slots=True)
class Reading:
    """What an e-invoice says.

    `kind` is "" for a file that is none: an ordinary PDF, or XML of another sort; a broken invoice has its kind.
    `errors` are (field, message); with any, `document` is None. `lost` are the XPaths of the elements whose text the
    document does not carry. `hybrid`: the XML was in a PDF.
    """

    kind: str = ""
    document: Document | None = None
    errors: tuple[Complaint, ...] = ()
    lost: tuple[str, ...] = ()
    hybrid: bool = False


def read_tree(root: Element, hybrid: bool) -> Reading:
    """The document below `root`, which is one of `SYNTAXES`."""
    kind, syntax = SYNTAXES[root.name]
    extract = Extract()
    currency = extract.first(root, (syntax.CURRENCY,))
    extract.currency = currency.text if currency else ""
    values = extract.fill(root, syntax.DOCUMENT, "")
    found = extract.first(root, (syntax.SPECIFICATION,))
    profile = _profile(found.text.lower() if found else "", syntax)
    _shape(extract, root, syntax, values, profile)
    missing = _missing(extract, root, syntax, profile)
    document, wrong = check_values(values)
    complaints = [*missing, *extract.complaints]
    if document is not None and not extract.cut:  # the standard's words come before those for every document
        if profile.strict:
            represented = extract.first(root, (syntax.REPRESENTATIVE,)) is not None
            complaints += check_members(document, profile.lines, represented)
        complaints += check_amounts(document, profile.exact)
    complaints += [] if extract.cut else wrong
    errors = _placed(extract, complaints)
    return Reading(kind, None if errors else document, errors, _lost(root), hybrid)


def _lost(root: Element) -> tuple[str, ...]:
    """The paths of the elements whose text was not carried over."""
    found = [one for one in root.walk() if not one.used and one.text and not _implied(one)]
    more = [f"and {len(found) - MAX_LOST} more"] if len(found) > MAX_LOST else []
    return (*(one.path for one in found[:MAX_LOST]), *more)


def _implied(element: Element) -> bool:
    """Whether an element only says which kind of thing its neighbours are, and one of those was carried over."""
    if (element.name, element.text) not in IMPLIED or element.parent is None:
        return False
    beside = element.parent.parent if element.parent.name == "cac:TaxScheme" else element.parent
    return beside is not None and any(one.used for child in beside.children for one in (child, *child.children))


@dataclass(frozen=True, slots=True)
class _Profile:
    """What the specification (BT-24) that a document names asks of it.

    `strict`: EN 16931; `lines`: with lines; `whole`: without an extension, whose parts have other rules; `exact`: sums
    to the minor unit; `third_parties`: what is collected for others is part of the amount due (BG-DEX-09).
    """

    strict: bool
    lines: bool
    whole: bool
    exact: bool
    third_parties: bool


def _profile(specification: str, syntax: ModuleType) -> _Profile:
    strict = syntax is cii or any(name in specification for name in STRICT)
    return _Profile(
        strict,
        lines=not any(name in specification for name in WITHOUT_LINES),
        whole=strict and EXTENSION not in specification,
        exact=strict and EXTENDED not in specification,
        third_parties=THIRD_PARTIES in specification,
    )


def _shape(extract: Extract, root: Element, syntax: ModuleType, values: dict[str, Any], profile: _Profile) -> None:
    """What follows from several fields at once: type, id, whom to write to, what the related invoices are."""
    code = extract.first(root, syntax.TYPE_CODES)
    coded = extract.use(code, "type") if code else ""
    if coded and coded not in INVOICES | CREDIT_NOTES:
        extract.complain("type", f"{coded[:20]!r} is no invoice and no credit note (BT-3, UNTDID 1001)")
    credit = coded in CREDIT_NOTES or root.name == "CreditNote"
    values["type"] = "credit_note" if credit else "invoice"
    if coded == PROFORMA:
        values["kind"] = "proforma"
    for related in values.get("related", ()):
        if credit or coded == CORRECTED:
            related["relation"] = "credits" if credit else "replaces"
    values["id"] = values.get("number", "-")
    if coded in SELF_BILLED:
        seller = values.get("seller", {})
        whose = seller.get("vat") or seller.get("idno") or seller.get("id") or seller.get("name", "")
        values["id"] = f"{whose[:90]}/{values['id']}"
    for party in (values.get("seller", {}), values.get("customer", {})):
        if party.get("trade_name") == party.get("name"):
            party.pop("trade_name", None)
    add_endpoint(values.get("customer", {}))
    if profile.third_parties:
        _add_third_parties(extract, root, syntax, values)


def _add_third_parties(extract: Extract, root: Element, syntax: ModuleType, values: dict[str, Any]) -> None:
    """What is collected for others makes more due: a credit below zero, so that the sums hold, and a note of it."""
    path, amount, names = syntax.THIRD_PARTY
    notes, whole = [], Decimal(0)
    for number, element in enumerate(elements(extract, root, path)):
        at = f"totals.credited[{number}]"
        written = money(amount)(extract, element, at)
        if not DECIMAL.match(written):
            extract.complain(at, f"{written[:40]!r} is not a decimal amount")
            continue
        said = [extract.use(one, f"notes[{number}]") for name in names if (one := extract.first(element, (name,)))]
        notes.append(f"{' '.join(said)}: {written} {extract.currency}")
        whole += Decimal(written)
    if notes:
        values.setdefault("totals", {})["credited"] = format(-whole, "f")
        values["notes"] = "\n".join(filter(None, [values.get("notes", ""), *notes]))


def _missing(extract: Extract, root: Element, syntax: ModuleType, profile: _Profile) -> list[Complaint]:
    """The members that are not there, each with its business term and the path where it belongs."""
    wanted = list(syntax.ALWAYS)
    if profile.strict:
        wanted += [one for one in syntax.MANDATORY if profile.lines or one[1] not in ("BT-55", "BT-106")]
    found = [
        (at, f"is missing ({term}, /{root.name}/{paths[0]})")
        for at, term, paths in wanted
        if extract.first(root, paths) is None
    ]
    for element in root.walk() if profile.whole else ():
        for path, rule in syntax.WITHIN.get(element.name, ()):
            if extract.first(element, (path,)) is None:
                found.append((f"{element.path}/{path}", f"is missing ({rule})"))
    return found


def _placed(extract: Extract, complaints: list[Complaint]) -> tuple[Complaint, ...]:
    """The first complaint about each field, with its place in the XML; none that only follows from another."""
    told: dict[str, str] = {}
    for at, words in complaints:
        followed = at == "id" or any(one.startswith(f"{at}.") for one in told)
        if len(told) < MAX_ERRORS and at not in told and not followed:
            place = extract.origins.get(at)
            told[at] = f"{words} ({place.path})" if place else words
    return tuple(told.items())

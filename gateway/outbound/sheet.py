"""What a document shows, as plain text and tuples: one content for the mail's HTML, its text and the PDF.

Made from a `Document` of any type, the tenant's `Brand` and a language; called by rendering and the PDF. Everything is
formatted here, so templates only place it and see no object of ours. What the document lacks is "" or an empty tuple.
"""

from dataclasses import dataclass
from decimal import Decimal

from babel.numbers import get_currency_precision

from gateway.outbound.brand import Brand
from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import Document, Line, Party
from gateway.outbound.facts import Fact, facts_of, given, headline_of, is_payable, sum_of
from gateway.outbound.paying import payment_of, qr_of
from gateway.outbound.tables import Table, tables_of
from gateway.outbound.texts import Language, is_zero, noun_of

__all__ = ["Brand", "PartyBlock", "Row", "Sheet", "make_sheet"]

_PAID_OTHERWISE = ("receipt", "refund", "credit_note", "estimate", "subscription")  # no account to pay to


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the document, every cell as text; `carried` is the sum of the amounts so far.

    `counted` is quantity and unit in one, `3 ore`; "" for a unit that is the billing system's own word.
    """

    description: str
    sku: str
    details: str
    quantity: str
    unit: str
    counted: str
    price: str
    tax: str
    amount: str
    carried: str


@dataclass(frozen=True, slots=True)
class PartyBlock:
    """A party: its role, its name, and further lines (address, registration numbers, phone, mail)."""

    role: str
    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that is shown of one document. `grand` is the bottom line, `headline` what stands at the top.

    `closing` is the sentence above the `signatures`, for those documents that both parties sign.
    """

    title: str
    number: str
    headline: Fact
    facts: tuple[Fact, ...]
    parties: tuple[PartyBlock, ...]
    rows: tuple[Row, ...]
    totals: tuple[Fact, ...]
    grand: Fact
    tables: tuple[Table, ...]
    payment: tuple[Fact, ...]
    terms: str
    notes: tuple[str, ...]
    view: str
    pay: str
    qr: str
    payable: bool
    stamp: str
    closing: str
    signatures: tuple[str, ...]


def make_sheet(document: Document, brand: Brand, words: Language) -> Sheet:
    """Everything that is shown of `document`, in the language of `words`."""
    label, payable = words.labels, is_payable(document)
    stamps = {"draft": label["draft"], "voided": label["voided"], "paid": label["paid_stamp"]}
    if document.type not in ("invoice", "payment_plan"):
        del stamps["paid"]  # it says nothing on what is never to be paid
    parties = _parties(document, brand, words)
    act = noun_of(document) == "act_de_verificare"
    return Sheet(
        title=words.title(document),
        number=document.number,
        headline=headline_of(document, words),
        facts=facts_of(document, words),
        parties=parties,
        rows=_rows(document, words),
        totals=_totals(document, words),
        grand=sum_of(document, words),
        tables=tables_of(document, words),
        payment=() if document.type in _PAID_OTHERWISE else payment_of(document, words),
        terms=document.payment.terms if document.payment else "",
        notes=tuple(text for text in (document.notes, document.terms) if text),
        view=document.links.view if document.links else "",
        pay=document.links.pay if document.links and payable else "",
        qr=qr_of(document),
        payable=payable,
        stamp=stamps.get(document.status, ""),
        closing=_closing(document, parties, words) if act else "",
        signatures=tuple(party.name for party in parties[:2]) if act else (),
    )


def _closing(document: Document, parties: tuple[PartyBlock, ...], words: Language) -> str:
    """Who owes whom how much at the end of the statement, in words."""
    statement = document.statement
    if statement is None:
        return ""
    balance = decimal_of(statement.closing_balance)
    day = words.date(statement.end)
    if balance == 0:
        return words.labels["even"].replace("{date}", day)
    owed_to = parties[0].name if balance > 0 else parties[1].name
    amount = words.money(f"{abs(balance):f}", document.currency)
    sentence = words.labels["in_favour"].replace("{date}", day).replace("{amount}", amount)
    return sentence.replace("{party}", owed_to)


def _parties(document: Document, brand: Brand, words: Language) -> tuple[PartyBlock, ...]:
    label = words.labels
    receipt = document.type == "receipt"
    role = label["recipient" if receipt else "seller"]
    if document.seller:
        seller = _block(document.seller, role, words)
    else:
        numbers = [_numbered(label["idno"], brand.idno), _numbered(label["vat"], brand.vat)]
        lines = [brand.address, *numbers, _numbered(label["phone"], brand.phone), brand.contact_email]
        seller = PartyBlock(role, brand.company, tuple(line for line in lines if line))
    payer = document.payer if document.payer and document.payer.name != document.customer.name else None
    customer = _block(document.customer, label["payer" if receipt and not payer else "customer"], words)
    return (seller, customer, _block(payer, label["payer"], words)) if payer else (seller, customer)


def _block(party: Party, role: str, words: Language) -> PartyBlock:
    label, place = words.labels, party.address
    lines: list[str] = []
    if place:
        town = ", ".join(part for part in (" ".join(filter(None, (place.postcode, place.city))), place.region) if part)
        country = words.locale.territories.get(place.country, place.country)
        lines = [*place.lines, ", ".join(part for part in (town, country) if part)]
    lines += [
        _numbered(label["idnp" if party.kind == "person" else "idno"], party.idno),
        _numbered(label["vat"], party.vat),
    ]
    lines += [_numbered(label["phone"], party.phone), party.email]
    # the legal name is who owes and who is owed; what people call it stands below
    traded = party.trade_name if party.trade_name != party.name else ""
    return PartyBlock(role, party.name, tuple(line for line in (traded, *lines) if line))


def _numbered(name: str, value: str) -> str:
    return f"{name}\u00a0{value}" if value else ""


def _rows(document: Document, words: Language) -> tuple[Row, ...]:
    total, rows = Decimal(0), []
    whole = all(line.amount for line in document.lines)  # else there is no sum to carry
    for line in document.lines:
        total += decimal_of(line.amount)
        rows.append(_row(line, document.currency, words, f"{total:f}" if whole else ""))
    return tuple(rows)


def _row(line: Line, currency: str, words: Language, carried: str) -> Row:
    period = words.period(line.period.start, line.period.end) if line.period else ""
    return Row(
        description=" · ".join(part for part in (line.description, period) if part),
        sku=line.sku,
        details=line.details,
        quantity=words.number(line.quantity),
        unit=words.unit(line.unit),
        counted=words.quantity(line.quantity, line.unit),
        price=words.number(line.unit_price, get_currency_precision(currency)),
        tax=words.number(line.tax_rate),
        amount=words.amount(line.amount, currency),
        carried=words.amount(carried, currency),
    )


def _totals(document: Document, words: Language) -> tuple[Fact, ...]:
    """The rows between the lines and the bottom line: sums, adjustments, taxes by rate, what was paid."""
    totals, label = document.totals, words.labels
    if totals is None:
        return ()
    adjusted = [
        (item.reason or label["charge" if item.charge else "discount"],
         words.amount(item.amount if item.charge else _negated(item.amount), document.currency))
        for item in document.adjustments
    ]  # fmt: skip
    if not adjusted:
        adjusted = [
            (label["discount"], words.amount(_negated(totals.discount), document.currency)),
            (label["charge"], words.amount(_unless_zero(totals.charges), document.currency)),
        ]
    rows = (
        [(label["lines_total"], words.amount(totals.lines, document.currency))] if any(v for _, v in adjusted) else []
    )
    rows += adjusted
    rows.append((label["net"], words.amount(totals.net, document.currency)))
    rows += _taxes(document, words)
    rows.append((label["rounding"], words.amount(_unless_zero(totals.rounding), document.currency)))
    if document.type not in ("estimate", "credit_note"):  # whose bottom line is the total
        rows.append((label["total"], words.money(totals.total, document.currency)))
    rows.append((label["paid"], words.amount(_negated(totals.paid), document.currency)))
    rows.append((label["credited"], words.amount(_negated(totals.credited), document.currency)))
    return given(rows)


def _taxes(document: Document, words: Language) -> list[Fact]:
    if not document.taxes:
        return [(words.labels["tax"], words.amount(document.totals.tax if document.totals else "", document.currency))]
    rows = []
    for tax in document.taxes:
        name = tax.name or words.labels["tax"]
        if tax.rate:
            name += f" {words.number(tax.rate)}%"
        if tax.base and len(document.taxes) > 1:
            name += f" {words.labels['tax_of']} {words.amount(tax.base, document.currency)}"
        if tax.exemption:
            name += f" ({tax.exemption})"
        rows.append((name, words.amount(tax.amount, document.currency)))
    return rows


def _negated(amount: str) -> str:
    return "" if is_zero(amount) else f"{-decimal_of(amount):f}"


def _unless_zero(amount: str) -> str:
    return "" if is_zero(amount) else amount

"""What an invoice shows, as plain text and tuples: one content for the mail's HTML, its text and the PDF.

Made from a `Document`, the tenant's `Brand` and a language; called by rendering and the PDF. Everything is formatted
here, so templates only place it and see no object of ours. What the document lacks is "" or an empty tuple.
"""

import re
from dataclasses import dataclass

from babel.numbers import get_currency_precision

from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import BankMethod, Document, Line, LinkMethod, OtherMethod, Party, QrMethod
from gateway.outbound.texts import Language, balance_of, is_zero

DEFAULT_COLOUR = "#0b6b4f"
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\Z")

Fact = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """How a tenant looks. `colour` is #rrggbb (else ours is used); `logo` PNG or JPEG bytes; `language` its default."""

    company: str
    contact_email: str = ""
    phone: str = ""
    address: str = ""
    idno: str = ""
    vat: str = ""
    colour: str = ""
    logo: bytes | None = None
    language: str = "ro"

    @property
    def accent(self) -> str:
        """The colour of bars and buttons."""
        return self.colour.lower() if _COLOUR.match(self.colour) else DEFAULT_COLOUR

    @property
    def on_accent(self) -> str:
        """Black or white, whichever reads better on the accent (WCAG 2 relative luminance)."""
        red, green, blue = (_linear(int(self.accent[at : at + 2], 16) / 255) for at in (1, 3, 5))
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        return "#ffffff" if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else "#14161a"

    @property
    def logo_type(self) -> str:
        """`image/png`, `image/jpeg`, or "" for a logo that is neither (and is not shown)."""
        if self.logo and self.logo.startswith(b"\x89PNG\r\n\x1a\n"):
            return "image/png"
        return "image/jpeg" if self.logo and self.logo.startswith(b"\xff\xd8\xff") else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the document, every cell as text."""

    description: str
    sku: str
    details: str
    quantity: str
    unit: str
    price: str
    tax: str
    amount: str


@dataclass(frozen=True, slots=True)
class PartyBlock:
    """A party: its role, its name, and further lines (address, registration numbers, phone, mail)."""

    role: str
    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that is shown of one document."""

    title: str
    number: str
    balance: str
    facts: tuple[Fact, ...]
    parties: tuple[PartyBlock, ...]
    rows: tuple[Row, ...]
    totals: tuple[Fact, ...]
    grand: Fact
    payment: tuple[Fact, ...]
    terms: str
    notes: tuple[str, ...]
    view: str
    pay: str
    qr: str
    stamp: str


def make_sheet(document: Document, brand: Brand, words: Language) -> Sheet:
    """Everything that is shown of `document`, in the language of `words`."""
    noun, label = words.noun(document)["doc"], words.labels
    balance = balance_of(document)
    stamps = {"draft": label["draft"], "voided": label["voided"], "paid": label["paid_stamp"]}
    return Sheet(
        title=noun[:1].upper() + noun[1:],
        number=document.number,
        balance=words.money(balance, document.currency),
        facts=_facts(document, words),
        parties=_parties(document, brand, words),
        rows=tuple(_row(line, document.currency, words) for line in document.lines),
        totals=_totals(document, words),
        grand=(label["amount_due"], words.money(balance, document.currency)),
        payment=_payment(document, words),
        terms=document.payment.terms if document.payment else "",
        notes=tuple(text for text in (document.notes, document.terms) if text),
        view=document.links.view if document.links else "",
        pay=document.links.pay if document.links else "",
        qr=_qr(document, balance),
        stamp=stamps.get(document.status, ""),
    )


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _given(pairs: list[Fact]) -> tuple[Fact, ...]:
    return tuple((name, value) for name, value in pairs if value)


def _facts(document: Document, words: Language) -> tuple[Fact, ...]:
    label, period = words.labels, document.period
    return _given(
        [
            (label["issued"], words.date(document.issue_date)),
            (label["due"], words.date(document.due_date)),
            (label["period"], words.period(period.start, period.end) if period else ""),
            (label["contract"], document.contract),
            (label["order"], document.purchase_order),
            (label["buyer_reference"], document.buyer_reference),
            (label["seller_number"], document.seller_number if document.seller_number != document.number else ""),
        ]
    )


def _parties(document: Document, brand: Brand, words: Language) -> tuple[PartyBlock, ...]:
    label = words.labels
    if document.seller:
        seller = _block(document.seller, label["seller"], words)
    else:
        numbers = [_numbered(label["idno"], brand.idno), _numbered(label["vat"], brand.vat)]
        lines = [brand.address, *numbers, _numbered(label["phone"], brand.phone), brand.contact_email]
        seller = PartyBlock(label["seller"], brand.company, tuple(line for line in lines if line))
    blocks = [seller, _block(document.customer, label["customer"], words)]
    if document.payer and document.payer.name != document.customer.name:
        blocks.append(_block(document.payer, label["payer"], words))
    return tuple(blocks)


def _block(party: Party, role: str, words: Language) -> PartyBlock:
    label, place = words.labels, party.address
    lines: list[str] = []
    if place:
        town = ", ".join(part for part in (" ".join(filter(None, (place.postcode, place.city))), place.region) if part)
        country = words.locale.territories.get(place.country, place.country)
        lines = [*place.lines, ", ".join(part for part in (town, country) if part)]
    lines += [_numbered(label["idno"], party.idno), _numbered(label["vat"], party.vat)]
    lines += [_numbered(label["phone"], party.phone), party.email]
    return PartyBlock(role, party.trade_name or party.name, tuple(line for line in lines if line))


def _numbered(name: str, value: str) -> str:
    return f"{name}\u00a0{value}" if value else ""


def _row(line: Line, currency: str, words: Language) -> Row:
    period = words.period(line.period.start, line.period.end) if line.period else ""
    return Row(
        description=" · ".join(part for part in (line.description, period) if part),
        sku=line.sku,
        details=line.details,
        quantity=words.number(line.quantity),
        unit=line.unit,
        price=words.number(line.unit_price, get_currency_precision(currency)),
        tax=words.number(line.tax_rate),
        amount=words.amount(line.amount, currency),
    )


def _totals(document: Document, words: Language) -> tuple[Fact, ...]:
    """The rows between the lines and what is to be paid: sums, adjustments, taxes by rate, what was paid."""
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
    rows.append((label["total"], words.money(totals.total, document.currency)))
    rows.append((label["paid"], words.amount(_negated(totals.paid), document.currency)))
    rows.append((label["credited"], words.amount(_negated(totals.credited), document.currency)))
    return _given(rows)


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


def _payment(document: Document, words: Language) -> tuple[Fact, ...]:
    payment, label = document.payment, words.labels
    if payment is None:
        return ()
    pairs: list[Fact] = []
    for method in payment.methods:
        if isinstance(method, BankMethod):
            bare = re.sub(r"[ ./-]", "", method.iban)
            iban = bool(_IBAN.match(bare))
            pairs += [
                (label["holder"], method.holder),
                (label["iban"] if iban else label["account"], _grouped(bare) if iban else method.iban),
                (label["bank"], " · ".join(part for part in (method.bank, method.bic) if part)),
            ]
        elif isinstance(method, LinkMethod):
            pairs.append((method.label or label["pay_online"], method.url))
        elif isinstance(method, OtherMethod):
            pairs.append((label[method.type], method.note))
    pairs.append((label["reference"], payment.reference))
    return _given(pairs)


def _grouped(iban: str) -> str:
    """An IBAN in fours, as it is printed (ISO 13616)."""
    return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))


def _qr(document: Document, balance: str) -> str:
    """What the QR code for paying holds: a payload as given, else an EPC code for euros to an IBAN; else ""."""
    methods = document.payment.methods if document.payment else ()
    codes = [method for method in methods if isinstance(method, QrMethod)]
    for code in codes:
        if code.payload:
            return code.payload
    banks = [method for method in methods if isinstance(method, BankMethod) and method.currency in ("", "EUR")]
    if document.currency != "EUR" or not banks or (codes and all(code.scheme != "epc" for code in codes)):
        return ""
    if document.payment is None or not 0 < decimal_of(balance) < 10**9:
        return ""
    return _epc(banks[0], document.payment.reference or document.number, balance, document)


def _epc(bank: BankMethod, reference: str, balance: str, document: Document) -> str:
    """The payload of an EPC code (EPC069-12, version 002, UTF-8); "" when the account or its holder is missing."""
    name = bank.holder or (document.seller.name if document.seller else "")
    iban = re.sub(r"[ ./-]", "", bank.iban)
    if not name or not _IBAN.match(iban):
        return ""
    name, reference = (" ".join(text.split()) for text in (name, reference))
    amount = f"EUR{decimal_of(balance):.2f}"
    return "\n".join(["BCD", "002", "1", "SCT", "", name[:70], iban, amount, "", "", reference[:140]])

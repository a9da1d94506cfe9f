"""What EN 16931 asks for and a document leaves unsaid, filled in where it follows exactly; nothing is invented.

Called by `facturx` before it writes. A sum is the sum of its parts, a rate above zero is category S, a number without
a country is of the country that its owner's address is in, a unit's word becomes its code. What does not follow, or
follows only after rounding, stays as it is, and comes back as a complaint that names the field and what to hand over.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext

from gateway.outbound.documents import Document, Totals
from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import Adjustment, Tax
from gateway.outbound.documents.sums import Complaint
from gateway.outbound.einvoice.checks import UNTAXED, check_amounts, check_members
from gateway.outbound.einvoice.complete_checks import check_categories, check_cents, check_due
from gateway.outbound.einvoice.complete_lines import CENT, DISCOUNT, OTHER, complete_lines, written
from gateway.outbound.einvoice.complete_parties import complete_parties

# Names of value added tax, for a tax whose category is not given: another tax has no place in such an invoice.
VAT_NAMES = (
    "vat", "tva", "ндс", "пдв", "ддс", "mwst", "ust", "mehrwertsteuer", "umsatzsteuer", "iva", "btw", "moms", "áfa",
    "dph", "ptu", "pvm", "pdv", "ddv", "alv", "φπα", "mva", "kdv", "t.v.a", "value added",
)  # fmt: skip
REASONS = {
    "AE": "VATEX-EU-AE",
    "K": "VATEX-EU-IC",
    "G": "VATEX-EU-G",
    "O": "VATEX-EU-O",
}  # say the same as the category
DIGITS = 100  # of sums and products: a number of a document has up to 25
Group = tuple[str, Decimal]


def complete(document: Document) -> tuple[Document, list[Complaint]]:
    """The document as EN 16931 wants it, and what it still lacks, a field once."""
    with localcontext() as context:
        context.prec = DIGITS
        return _complete(document)


def _complete(document: Document) -> tuple[Document, list[Complaint]]:
    found: list[Complaint] = _missing(document)
    document = complete_parties(document, found)
    document = complete_lines(document, found)
    totals = document.totals
    if totals is not None and document.lines:
        document = _complete_taxes(document, totals, found)
        adjustments = _given_adjustments(document, totals)
        document = document.model_copy(update={"adjustments": _complete_adjustments(document, adjustments, found)})
        document = document.model_copy(update={"taxes": _with_bases(document)})
        document = document.model_copy(update={"totals": _complete_totals(document, totals, found)})
    found += check_members(document, lines=True, represented=False)
    found += check_amounts(document, exact=True)
    found += check_categories(document) + check_due(document) + check_cents(document)
    first = dict(reversed(found))
    return document, list(first.items())[::-1]


def _missing(document: Document) -> list[Complaint]:
    found: list[Complaint] = []
    if not document.issue_date:
        found.append(("issue_date", "is missing (BT-2)"))
    if document.totals is None:
        found.append(("totals", "is missing (BG-22)"))
    return found


# -- taxes


def _complete_taxes(document: Document, totals: Totals, found: list[Complaint]) -> Document:
    """Each tax with its category, each line with that of its tax; the taxes themselves where the lines make them."""
    taxes = tuple(_complete_tax(tax, f"taxes[{number}]", found) for number, tax in enumerate(document.taxes))
    lines = tuple(line.model_copy(update=_tax_of(line.tax_category, line.tax_rate, taxes)) for line in document.lines)
    document = document.model_copy(update={"taxes": taxes, "lines": lines})
    if taxes:
        return document
    made = _taxes_of(document)
    whole = sum((decimal_of(tax.amount) for tax in made), Decimal(0))
    if made and not document.adjustments and totals.tax and whole == decimal_of(totals.tax):
        return document.model_copy(update={"taxes": made})
    words = "is missing: hand over each rate, as {category: S, rate: 20, base: 1000.00, amount: 200.00} (BG-23)"
    found.append(("taxes", words))
    return document


def _complete_tax(tax: Tax, at: str, found: list[Complaint]) -> Tax:
    category, rate = tax.category, tax.rate
    if not category and tax.name and not any(name in tax.name.casefold() for name in VAT_NAMES):
        words = (
            f'is missing, and "{tax.name[:40]}" is not known as value added tax; such an invoice has no other (BT-118)'
        )
        found.append((f"{at}.category", words))
    elif not category and decimal_of(rate) > 0:
        category = "S"
    elif not category:
        found.append((f"{at}.category", "is missing: without a rate above 0 say Z, E, AE, K, G or O (BT-118)"))
    if category in UNTAXED and not rate:
        rate = "0"
    return tax.model_copy(
        update={"category": category, "rate": rate, "exemption": tax.exemption or REASONS.get(category, "")}
    )


def _tax_of(category: str, rate: str, taxes: Sequence[Tax]) -> dict[str, str]:
    """The category and the rate of a line or an adjustment, as far as they follow from the taxes and each other."""
    fits = [
        tax
        for tax in taxes
        if (not category or tax.category == category) and (not rate or decimal_of(tax.rate) == decimal_of(rate))
    ]
    if len(fits) == 1:
        category, rate = fits[0].category, rate or fits[0].rate
    elif not category and decimal_of(rate) > 0:
        category = "S"
    elif category in UNTAXED and not rate:
        rate = "0"
    return {"tax_category": category, "tax_rate": rate}


def _taxes_of(document: Document) -> tuple[Tax, ...]:
    """The taxes that lines above 0 % make; () when one of them does not say its rate."""
    if not all(line.tax_category == "S" and line.amount for line in document.lines):
        return ()
    made = []
    for (category, rate), base in _sums(document).items():
        amount = (base * rate / 100).quantize(CENT, ROUND_HALF_UP)
        made.append(Tax(category=category, rate=written(rate), base=written(base), amount=written(amount)))
    return tuple(made)


def _sums(document: Document) -> dict[Group, Decimal]:
    """What the lines and the adjustments of each tax add up to."""
    whole: dict[Group, Decimal] = {}
    for line in document.lines:
        key = (line.tax_category, decimal_of(line.tax_rate))
        whole[key] = whole.get(key, Decimal(0)) + decimal_of(line.amount)
    for one in document.adjustments:
        key = (one.tax_category, decimal_of(one.tax_rate))
        whole[key] = whole.get(key, Decimal(0)) + decimal_of(one.amount) * (1 if one.charge else -1)
    return whole


def _with_bases(document: Document) -> tuple[Tax, ...]:
    """The taxes, each on what its lines and adjustments make when it does not say so itself."""
    whole = _sums(document)
    return tuple(
        tax if tax.base else tax.model_copy(update={"base": written(whole[key]) if key in whole else ""})
        for tax in document.taxes
        for key in ((tax.category, decimal_of(tax.rate)),)
    )


# -- adjustments


def _given_adjustments(document: Document, totals: Totals) -> tuple[Adjustment, ...]:
    """The adjustments, and those that only the totals tell of."""
    made = list(document.adjustments)
    lines = sum((decimal_of(line.amount) for line in document.lines), Decimal(0))
    net = decimal_of(totals.net) if totals.net else None
    discount, charges = decimal_of(totals.discount), decimal_of(totals.charges)
    if made or net is None or lines == net:  # a discount that the net amount knows nothing of is inside the lines
        return tuple(made)
    if discount:
        made.append(Adjustment(charge=False, amount=totals.discount, reason=DISCOUNT))
    if charges:
        made.append(Adjustment(charge=True, amount=totals.charges, reason=OTHER))
    return tuple(made)


def _complete_adjustments(
    document: Document, adjustments: Sequence[Adjustment], found: list[Complaint]
) -> tuple[Adjustment, ...]:
    """Each with a reason and a tax: that of the only rate, or of the only one whose base they explain."""
    made = []
    open_to = document.taxes if len(document.taxes) == 1 else _explained(document, adjustments)
    for number, one in enumerate(adjustments):
        tax = _tax_of(one.tax_category, one.tax_rate, document.taxes)
        if not one.tax_category and not one.tax_rate:
            tax = _tax_of("", "", open_to)
            if not tax["tax_category"]:
                words = "is missing, and the taxes do not say which rate it lowers or raises (BT-95, BT-102)"
                found.append((f"adjustments[{number}].tax_category", words))
        made.append(one.model_copy(update=tax | {"reason": one.reason or (OTHER if one.charge else DISCOUNT)}))
    return tuple(made)


def _explained(document: Document, adjustments: Sequence[Adjustment]) -> Sequence[Tax]:
    """The one tax whose base differs from its lines by just the adjustments that do not say theirs; else none."""
    known = tuple(one for one in adjustments if one.tax_category or one.tax_rate)
    completed = tuple(one.model_copy(update=_tax_of(one.tax_category, one.tax_rate, document.taxes)) for one in known)
    rest = sum(
        (decimal_of(one.amount) * (1 if one.charge else -1) for one in adjustments if one not in known), Decimal(0)
    )
    whole = _sums(document.model_copy(update={"adjustments": completed}))
    apart = []
    for tax in document.taxes:
        gap = decimal_of(tax.base) - whole.get((tax.category, decimal_of(tax.rate)), Decimal(0))
        if not tax.base:
            return ()
        if gap:
            apart.append((tax, gap))
    return [apart[0][0]] if len(apart) == 1 and apart[0][1] == rest else ()


# -- totals


def _complete_totals(document: Document, totals: Totals, found: list[Complaint]) -> Totals:
    """Every sum of EN 16931, to the cent; one that is given and is another is a complaint."""
    parts = {
        "lines": sum((decimal_of(line.amount) for line in document.lines), Decimal(0)),
        "discount": sum((decimal_of(one.amount) for one in document.adjustments if not one.charge), Decimal(0)),
        "charges": sum((decimal_of(one.amount) for one in document.adjustments if one.charge), Decimal(0)),
        "tax": sum((decimal_of(tax.amount) for tax in document.taxes), Decimal(0)),
    }
    parts["net"] = parts["lines"] - parts["discount"] + parts["charges"]
    optional = ("discount", "charges")
    values = {name: getattr(totals, name) for name in parts}
    for name, whole in parts.items():
        if not values[name] and (whole or name not in optional):
            values[name] = written(whole)
        elif not document.adjustments and name in optional and decimal_of(values[name]):
            values[name] = ""  # the net amount is not lowered by it: it is inside the lines
        if values[name] and decimal_of(values[name]) != whole:
            found.append((f"totals.{name}", f'"{values[name]}" is not what its parts make; that is {written(whole)}'))
    total = parts["net"] + parts["tax"]
    rounding = decimal_of(totals.rounding)
    if decimal_of(totals.total) not in (total, total + rounding):
        found.append(("totals.total", f'"{totals.total}" is not net + tax; that is {written(total)} (BR-CO-15)'))
    return totals.model_copy(update=values | {"total": written(total)} | _balance(totals, total, rounding, found))


def _balance(totals: Totals, total: Decimal, rounding: Decimal, found: list[Complaint]) -> dict[str, str]:
    """What was paid (a credit counts as paid: the standard has one field for both) and what is due."""
    credited = decimal_of(totals.credited)
    paid = decimal_of(totals.paid) + credited
    if credited < 0:
        found.append(("totals.credited", "is below zero: EN 16931 has no place for what is collected for others"))
    due = total - paid + rounding
    if totals.balance and decimal_of(totals.balance) != due:
        words = f'"{totals.balance}" is not total - paid - credited + rounding; that is {written(due)} (BR-CO-16)'
        found.append(("totals.balance", words))
    shown = written(paid) if credited else totals.paid
    return {"paid": shown, "credited": "", "balance": totals.balance or written(due)}

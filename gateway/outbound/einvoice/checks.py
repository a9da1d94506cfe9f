"""What EN 16931 asks of an invoice, as far as somebody who is to pay it would miss it: members, sums, taxes.

Called by `reading` after the fields were read. Sums that every document has to satisfy are `documents.sums`; here are
those of the standard beyond them, each with its business rule (BR). Tolerances are the standard's where it has one,
else half a minor unit of the currency for each amount that was rounded. Says nothing of code lists and identifiers.
"""

from collections.abc import Iterable
from decimal import Decimal

from gateway.outbound.documents import Document, Totals
from gateway.outbound.documents.currencies import minor_unit
from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import Adjustment
from gateway.outbound.documents.sums import Complaint, tax_due

ONE = Decimal(1)  # the tolerance of BR-CO-17 and BR-*-08 in the standard's own validation
EXEMPT = frozenset(("E", "AE", "K", "G", "O"))  # categories (UNTDID 5305) that need a reason
UNTAXED = frozenset(("Z", "E", "AE", "K", "G"))  # ... whose rate is 0
NUMBERED = frozenset(("S", "Z", "E", "AE", "K", "G", "L", "M"))  # ... that need the seller's tax number
Key = tuple[str, Decimal]
LINE = (
    ("id", "BT-126"), ("quantity", "BT-129"), ("unit", "BT-130"), ("amount", "BT-131"), ("unit_price", "BT-146"),
    ("tax_category", "BT-151"),
)  # fmt: skip


def check_members(document: Document, lines: bool, represented: bool) -> list[Complaint]:
    """What EN 16931 makes mandatory in the parts that are there.

    `lines`: whether the profile has lines and taxes; `represented`: whether the seller has a tax representative.
    """
    found: list[Complaint] = []
    if lines and not document.lines:
        found.append(("lines", "is missing: an invoice has at least one line (BG-25)"))
    if lines and not document.taxes:
        found.append(("taxes", "is missing: an invoice has the tax of each rate (BG-23)"))
    for number, line in enumerate(document.lines):
        found += [(f"lines[{number}].{name}", f"is missing ({term})") for name, term in LINE if not getattr(line, name)]
        if line.tax_category != "O" and not line.tax_rate:
            found.append((f"lines[{number}].tax_rate", "is missing (BT-152)"))
        if line.tax_category in UNTAXED and decimal_of(line.tax_rate) != 0:
            found.append((f"lines[{number}].tax_rate", f"is not 0, and the tax category is {line.tax_category}"))
        found += _adjustments(line.adjustments, f"lines[{number}].adjustments", taxed=False)
    found += _adjustments(document.adjustments, "adjustments", taxed=True)
    for number, tax in enumerate(document.taxes):
        at = f"taxes[{number}]"
        found += [(f"{at}.base", "is missing (BT-116)")] if not tax.base else []
        found += [(f"{at}.category", "is missing (BT-118)")] if not tax.category else []
        found += [(f"{at}.rate", "is missing (BT-119)")] if not tax.rate and tax.category != "O" else []
        if tax.category in EXEMPT and not tax.exemption:
            found.append((f"{at}.exemption", "is missing (BT-120, BT-121)"))
    return found + _identities(document, represented)


def _identities(document: Document, represented: bool) -> list[Complaint]:
    """The tax numbers that a category of tax asks for (BR-S-02 and its kin for the other categories)."""
    seller, customer = document.seller, document.customer
    categories = {tax.category for tax in document.taxes} | {line.tax_category for line in document.lines}
    found: list[Complaint] = []
    number = seller is not None and (seller.vat or document.metadata.get("seller_tax_number"))
    if categories & NUMBERED and not number and not represented:
        found.append(("seller.vat", "is missing, and so are a tax number and a representative (BT-31, BT-32, BT-63)"))
    if "K" in categories and not customer.vat:
        found.append(("customer.vat", "is missing: a supply within the community has it (BT-48, BR-IC-02)"))
    if "AE" in categories and not customer.vat and not customer.idno:
        found.append(("customer.vat", "is missing: the customer owes the tax (BT-47 or BT-48, BR-AE-02)"))
    known = seller is None or seller.id or seller.idno or seller.vat or document.metadata.get("creditor_id")
    if not known:
        found.append(("seller.id", "is missing, and so are a registration and a tax number (BR-CO-26)"))
    return found


def _adjustments(adjustments: Iterable[Adjustment], at: str, taxed: bool) -> list[Complaint]:
    found: list[Complaint] = []
    for number, one in enumerate(adjustments):
        if not one.reason:
            found.append((f"{at}[{number}].reason", "is missing: a reason, or its code (BR-CO-21 to BR-CO-24)"))
        if taxed and not one.tax_category:
            found.append((f"{at}[{number}].tax_category", "is missing (BT-95, BT-102)"))
    return found


def check_amounts(document: Document, exact: bool) -> list[Complaint]:
    """Sums of EN 16931 that do not hold, beyond those of every document.

    `exact`: to the minor unit, as the standard asks; else half of one is allowed for each line (Factur-X EXTENDED).
    """
    totals = document.totals
    if totals is None:
        return []
    minor = minor_unit(document.currency)
    count = 1 if exact else max(len(document.lines), 1)
    return [
        *(_check_exact(document, totals, minor / 2) if exact else ()),
        *_check_net(document, totals, minor / 2 * count),
        *_check_adjustments(document, totals, minor),
        *_check_tax(document, totals, minor),
        *_check_bases(document),
    ]


def _check_exact(document: Document, totals: Totals, tolerance: Decimal) -> list[Complaint]:
    """The sums of every document once more, without what their rounding may excuse."""
    given = {name: decimal_of(getattr(totals, name)) for name in Totals.model_fields}
    found: list[Complaint] = []
    lines = sum((decimal_of(line.amount) for line in document.lines), Decimal(0))
    if document.lines and totals.lines and abs(lines - given["lines"]) > tolerance:
        found.append(("totals.lines", f'"{totals.lines}" is not the sum of the lines; that is {lines} (BR-CO-10)'))
    total = given["net"] + given["tax"]
    if totals.net and abs(total - given["total"]) > tolerance:
        found.append(("totals.total", f'"{totals.total}" is not net + tax; that is {total} (BR-CO-15)'))
    balance = given["total"] - given["paid"] - given["credited"] + given["rounding"]
    if totals.balance and abs(balance - given["balance"]) > tolerance:
        words = f'"{totals.balance}" is not total - paid + rounding; that is {balance} (BR-CO-16)'
        found.append(("totals.balance", words))
    return found


def _check_net(document: Document, totals: Totals, tolerance: Decimal) -> list[Complaint]:
    found: list[Complaint] = []
    if totals.net and totals.lines:
        net = decimal_of(totals.lines) - decimal_of(totals.discount) + decimal_of(totals.charges)
        if abs(net - decimal_of(totals.net)) > tolerance:
            found.append(("totals.net", f'"{totals.net}" is not lines - discount + charges; that is {net} (BR-CO-13)'))
    if totals.net and not totals.tax and abs(decimal_of(totals.total) - decimal_of(totals.net)) > tolerance:
        found.append(("totals.total", f'"{totals.total}" is not the net amount, and there is no tax (BR-CO-15)'))
    return found


def _check_adjustments(document: Document, totals: Totals, minor: Decimal) -> list[Complaint]:
    found: list[Complaint] = []
    for name, charge, rule in (("discount", False, "BR-CO-11"), ("charges", True, "BR-CO-12")):
        amounts = [decimal_of(one.amount) for one in document.adjustments if one.charge is charge]
        given = getattr(totals, name)
        whole = sum(amounts, Decimal(0))
        # A document may give the sum alone (a profile without the parts), but not parts that make another one.
        if (amounts or (document.lines and given)) and abs(whole - decimal_of(given)) > minor / 2 * max(
            len(amounts), 1
        ):
            words = f'"{given}" is not their sum; that is {whole}' if given else f"is missing; the sum is {whole}"
            found.append((f"totals.{name}", f"{words} ({rule})"))
    return found


def _check_tax(document: Document, totals: Totals, minor: Decimal) -> list[Complaint]:
    found: list[Complaint] = []
    for number, tax in enumerate(document.taxes):
        due = tax_due(tax, minor)
        if due is not None and abs(due - decimal_of(tax.amount)) >= ONE:
            words = f'"{tax.amount}" is not {tax.rate}% of {tax.base}; that is {due} (BR-CO-17)'
            found.append((f"taxes[{number}].amount", words))
    if document.taxes and totals.tax:
        whole = sum((decimal_of(tax.amount) for tax in document.taxes), Decimal(0))
        if abs(whole - decimal_of(totals.tax)) > minor / 2 * len(document.taxes):
            found.append(("totals.tax", f'"{totals.tax}" is not the sum of the taxes; that is {whole} (BR-CO-14)'))
    return found


def _check_bases(document: Document) -> list[Complaint]:
    """Whether each tax is on what its lines and adjustments make (BR-S-08 and its kin for the other categories)."""
    if (
        not document.lines
        or not document.taxes
        or not all(line.amount and line.tax_category for line in document.lines)
    ):
        return []
    due: dict[Key, Decimal] = {}
    for line in document.lines:
        key = _key(line.tax_category, line.tax_rate)
        due[key] = due.get(key, Decimal(0)) + decimal_of(line.amount)
    for one in document.adjustments:
        key = _key(one.tax_category, one.tax_rate)
        due[key] = due.get(key, Decimal(0)) + decimal_of(one.amount) * (1 if one.charge else -1)
    found: list[Complaint] = []
    told: dict[Key, Decimal] = {}
    place: dict[Key, int] = {}
    for number, tax in enumerate(document.taxes):
        key = _key(tax.category, tax.rate)
        told[key] = told.get(key, Decimal(0)) + decimal_of(tax.base)
        place.setdefault(key, number)
    for key, base in due.items():
        if key not in told:
            found.append(("taxes", f"lack category {key[0]} at {key[1]}%, which a line or an adjustment has (BG-23)"))
        elif abs(told[key] - base) > ONE:
            words = f"is not what the lines and adjustments of category {key[0]} make; that is {base} (BR-{key[0]}-08)"
            found.append((f"taxes[{place[key]}].base", words))
    return found


def _key(category: str, rate: str) -> Key:
    return category, decimal_of(rate).normalize() if category == "S" else Decimal(0)

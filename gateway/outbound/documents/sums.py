"""Whether a document adds up, where it gives both the parts and the whole: lines, adjustments, taxes, totals, balance.

Called by the reader with a document whose fields are well formed. Decimal arithmetic; a sum may be off by half a minor
unit of the currency for each amount in it that was rounded. Both ways of writing lines are read: without the tax, and
with it. A `rounding` may belong to the total or to the balance: both are in use (UBL puts it on the balance). A line
is not held against its quantity and price, which may be rounded, or with the tax where the amount is without.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from gateway.outbound.documents.currencies import minor_unit
from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import Document, Tax, Totals

Complaint = tuple[str, str]
ZERO, ONE = Decimal(0), Decimal(1)


def check_sums(document: Document) -> list[Complaint]:
    """What does not add up, as (field, message)."""
    half = minor_unit(document.currency) / 2
    found = _check_taxes(document, half)
    totals = document.totals
    if totals is None:
        return found
    tolerance = half * max(len(document.lines), 1)
    return [
        *_check_lines(document, totals, tolerance),
        *_check_adjustments(document, totals, half),
        *_check_net(document, totals, half * max(len(document.lines) + len(document.adjustments), 1)),
        *_check_tax(document, totals, half * max(len(document.taxes), 1)),
        *_check_total(document, totals, tolerance),
        *_check_balance(totals, half),
        *found,
    ]


def total_of(amounts: Iterable[str]) -> Decimal:
    """The sum of some amounts; "" counts as none."""
    return sum(map(decimal_of, amounts), ZERO)


def _check_lines(document: Document, totals: Totals, tolerance: Decimal) -> list[Complaint]:
    if not document.lines or not totals.lines or not all(line.amount for line in document.lines):
        return []
    total = total_of(line.amount for line in document.lines)
    if abs(total - decimal_of(totals.lines)) <= tolerance:
        return []
    return [("totals.lines", f'"{totals.lines}" is not the sum of the lines\' amounts; they add up to {total:f}')]


def _check_adjustments(document: Document, totals: Totals, half: Decimal) -> list[Complaint]:
    """Discounts and charges of the whole document, where their sum is given too."""
    found: list[Complaint] = []
    for name, charge in (("discount", False), ("charges", True)):
        amounts = [one.amount for one in document.adjustments if one.charge is charge]
        given, whole = getattr(totals, name), total_of(amounts)
        if given and amounts and abs(whole - decimal_of(given)) > half * len(amounts):
            found.append((f"totals.{name}", f'"{given}" is not the sum of the adjustments; they add up to {whole:f}'))
    return found


def _check_net(document: Document, totals: Totals, tolerance: Decimal) -> list[Complaint]:
    """lines - discount + charges: the net, or the total where the lines are with the tax."""
    if totals.lines:
        lines = decimal_of(totals.lines)
    elif document.lines and all(line.amount for line in document.lines):
        lines = total_of(line.amount for line in document.lines)
    else:
        return []
    parts = {False: totals.discount, True: totals.charges}
    for charge, given in list(parts.items()):
        parts[charge] = given or f"{total_of(one.amount for one in document.adjustments if one.charge is charge):f}"
    made = lines - decimal_of(parts[False]) + decimal_of(parts[True])
    tax = decimal_of(totals.tax) if totals.tax else total_of(one.amount for one in document.taxes)
    total, rounding = decimal_of(totals.total), decimal_of(totals.rounding)
    if _fits(made, total, rounding, tolerance):  # with the tax, or none is due
        return []
    if totals.net:
        if abs(made - decimal_of(totals.net)) <= tolerance:
            return []
        return [("totals.net", f'"{totals.net}" is not lines - discount + charges; that is {made:f}')]
    if _fits(made + tax, total, rounding, tolerance):
        return []
    words = f'"{totals.total}" is not lines - discount + charges + tax; that is {made + tax:f}'
    return [("totals.total", words)]


def _check_tax(document: Document, totals: Totals, tolerance: Decimal) -> list[Complaint]:
    if not document.taxes or not totals.tax:
        return []
    whole = total_of(tax.amount for tax in document.taxes)
    if abs(whole - decimal_of(totals.tax)) <= tolerance:
        return []
    return [("totals.tax", f'"{totals.tax}" is not the sum of the taxes; they add up to {whole:f}')]


def _check_taxes(document: Document, half: Decimal) -> list[Complaint]:
    """Whether each tax is its rate of its base; rounded at once, or line by line."""
    # Whoever names a specification (BT-24) is held to the tolerance of EN 16931 (BR-CO-17).
    slack = ONE - half if document.metadata.get("specification") else half * (len(document.lines) + 1)
    found: list[Complaint] = []
    for number, tax in enumerate(document.taxes):
        due = tax_due(tax, half * 2)
        if due is not None and abs(due - decimal_of(tax.amount)) > slack:
            words = f'"{tax.amount}" is not {tax.rate}% of {tax.base}; that is {due:f}'
            found.append((f"taxes[{number}].amount", words))
    return found


def tax_due(tax: Tax, minor: Decimal) -> Decimal | None:
    """The tax that its rate makes of its base, to the minor unit; None where either is not given."""
    if not tax.base or not tax.rate:
        return None
    return (decimal_of(tax.base) * decimal_of(tax.rate) / 100).quantize(minor, ROUND_HALF_UP)


def _check_total(document: Document, totals: Totals, tolerance: Decimal) -> list[Complaint]:
    if not totals.net or not (totals.tax or document.taxes):
        return []
    tax = decimal_of(totals.tax) if totals.tax else total_of(one.amount for one in document.taxes)
    total = decimal_of(totals.net) + tax
    if _fits(total, decimal_of(totals.total), decimal_of(totals.rounding), tolerance):
        return []
    return [("totals.total", f'"{totals.total}" is not net + tax; {totals.net} + {tax:f} is {total:f}')]


def _check_balance(totals: Totals, tolerance: Decimal) -> list[Complaint]:
    if not totals.balance:
        return []
    balance = decimal_of(totals.total) - decimal_of(totals.paid) - decimal_of(totals.credited)
    if _fits(balance, decimal_of(totals.balance), decimal_of(totals.rounding), tolerance):
        return []
    return [("totals.balance", f'"{totals.balance}" is not total - paid - credited; that is {balance:f}')]


def _fits(computed: Decimal, given: Decimal, rounding: Decimal, tolerance: Decimal) -> bool:
    return min(abs(computed - given), abs(computed + rounding - given)) <= tolerance

"""Whether a document adds up, where it gives both the parts and the whole.

Called by the reader with a document whose fields are well formed. Decimal arithmetic; a sum may be off by half a minor
unit of the currency for each line that was rounded. A `rounding` may belong to the total or to the balance: both are in
use (UBL puts it on the balance).
"""

from decimal import Decimal

from babel.numbers import get_currency_precision

from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import Document, Totals

Complaint = tuple[str, str]


def minor_unit(currency: str) -> Decimal:
    """The smallest amount of a currency: 0.01 for EUR, 1 for JPY."""
    return Decimal(1).scaleb(-get_currency_precision(currency))


def check_sums(document: Document) -> list[Complaint]:
    """What does not add up, as (field, message)."""
    totals = document.totals
    if totals is None:
        return []
    minor = minor_unit(document.currency)
    half, tolerance = minor / 2, minor / 2 * max(len(document.lines), 1)
    found: list[Complaint] = []
    if document.lines and totals.lines and all(line.amount for line in document.lines):
        total = sum((decimal_of(line.amount) for line in document.lines), Decimal(0))
        if abs(total - decimal_of(totals.lines)) > tolerance:
            found.append(
                ("totals.lines", f'"{totals.lines}" is not the sum of the lines\' amounts; they add up to {total}')
            )
    return found + _check_total(totals, tolerance) + _check_balance(totals, half)


def _check_total(totals: Totals, tolerance: Decimal) -> list[Complaint]:
    if not totals.net or not totals.tax:
        return []
    total = decimal_of(totals.net) + decimal_of(totals.tax)
    if _fits(total, decimal_of(totals.total), decimal_of(totals.rounding), tolerance):
        return []
    return [("totals.total", f'"{totals.total}" is not net + tax; {totals.net} + {totals.tax} is {total}')]


def _check_balance(totals: Totals, tolerance: Decimal) -> list[Complaint]:
    if not totals.balance:
        return []
    balance = decimal_of(totals.total) - decimal_of(totals.paid) - decimal_of(totals.credited)
    if _fits(balance, decimal_of(totals.balance), decimal_of(totals.rounding), tolerance):
        return []
    return [("totals.balance", f'"{totals.balance}" is not total - paid - credited; that is {balance}')]


def _fits(computed: Decimal, given: Decimal, rounding: Decimal, tolerance: Decimal) -> bool:
    return min(abs(computed - given), abs(computed + rounding - given)) <= tolerance

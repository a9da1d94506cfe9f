"""The lines of an invoice as EN 16931 wants them: a number, a quantity with its code, a price for it, an amount.

Called by `complete`. Quantity, price and amount follow from one another; where a price would have to be rounded, it is
the amount for the whole quantity instead (BT-149), which is exact. A price below zero is a quantity below zero (BR-27).
"""

from decimal import Decimal

from gateway.outbound.documents import Document, Line
from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import Adjustment
from gateway.outbound.documents.sums import Complaint
from gateway.outbound.einvoice.codes import AGREED, unit_code

CENT = Decimal("0.01")
PLACES = Decimal(1).scaleb(-10)  # of quantities and prices, as a document may have them
DISCOUNT, OTHER = "95", "ZZZ"  # of UNTDID 5189 "discount", of UNTDID 7161 "mutually defined"


def written(amount: Decimal) -> str:
    """An amount with two decimals, or with as many as it needs."""
    exact = amount.quantize(CENT)
    return format(exact if exact == amount else amount, "f")


def complete_lines(document: Document, found: list[Complaint]) -> Document:
    """The document with complete lines; what a line lacks is added to `found`."""
    taken = {line.id for line in document.lines if line.id}
    lines = []
    for number, line in enumerate(document.lines):
        made = _complete_line(line, f"lines[{number}]", found)
        if not made.id:
            name = next(name for at in range(number + 1, number + 2002) if (name := str(at)) not in taken)
            made = made.model_copy(update={"id": name})
            taken.add(name)
        lines.append(made)
    return document.model_copy(update={"lines": tuple(lines)})


def _complete_line(line: Line, at: str, found: list[Complaint]) -> Line:
    adjustments = tuple(_reasoned(one) for one in line.adjustments)
    extra = sum((decimal_of(one.amount) * (1 if one.charge else -1) for one in adjustments), Decimal(0))
    metadata = dict(line.metadata)
    unit = unit_code(line.unit)
    if unit == AGREED and line.unit not in ("", AGREED):
        metadata["unit"] = line.unit
    line = line.model_copy(update={"adjustments": adjustments, "unit": unit, "metadata": metadata})
    values = _amounts(line, extra)
    for name in ("quantity", "unit_price", "amount"):
        if not values[name]:
            found.append((f"{at}.{name}", "is missing, and does not follow from the others without rounding"))
    if decimal_of(values["unit_price"]) < 0:
        values["unit_price"] = written(-decimal_of(values["unit_price"]))
        values["quantity"] = written(-decimal_of(values["quantity"]))
    if values["price_base"] and decimal_of(values["price_base"]) <= 0:
        found.append((f"{at}.price_base", "is not above 0 (BT-149)"))
    return line.model_copy(update=values)


def _amounts(line: Line, extra: Decimal) -> dict[str, str]:
    """Quantity, price, its base and the amount: those that are given, and what follows from them exactly."""
    quantity, price, base, amount = line.quantity, line.unit_price, line.price_base, line.amount
    per = decimal_of(base) or Decimal(1)
    if not amount and quantity and price:
        whole = decimal_of(quantity) * decimal_of(price) / per + extra
        amount = written(whole) if whole == whole.quantize(CENT) else ""
    if amount and not quantity and not price:
        quantity, price, base = "1", written(decimal_of(amount) - extra), ""
    elif amount and not quantity and decimal_of(price):
        whole = (decimal_of(amount) - extra) * per
        many = (whole / decimal_of(price)).quantize(PLACES)
        quantity = format(many.normalize(), "f") if many * decimal_of(price) == whole else ""
    elif amount and not price:
        price, base = _price(decimal_of(amount) - extra, decimal_of(quantity))
    return {"quantity": quantity, "unit_price": price, "price_base": base, "amount": amount}


def _price(amount: Decimal, quantity: Decimal) -> tuple[str, str]:
    """(price, base quantity) of an amount for a quantity: for one where that is exact, else for all of it."""
    if not quantity:
        return ("0.00", "") if not amount else ("", "")
    single = (amount / quantity).quantize(PLACES)
    if single * quantity == amount:
        return written(single.normalize()), ""
    return written(amount * (1 if quantity > 0 else -1)), format(abs(quantity), "f")


def _reasoned(one: Adjustment) -> Adjustment:
    """An adjustment of a line with a reason: without one it is a discount, or a charge as agreed."""
    return one.model_copy(update={"reason": one.reason or (OTHER if one.charge else DISCOUNT)})

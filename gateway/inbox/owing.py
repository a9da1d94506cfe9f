"""What is owed: how a document stands on a day, and what a customer has still to pay in each currency.

Called by the lists of documents and customers. Only invoices are owed; of other documents their billing system's word
stands. The conditions for the database (`is_owed`, `is_late`, `is_paid`) say what `standing` says of one document.
Sums are exact: they are made of whole numbers, since SQLite adds decimals as floats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

from sqlalchemy import BigInteger, ColumnElement, Numeric, case, cast, func, select

from gateway.store.database import Transaction
from gateway.store.reminders import SETTLED
from gateway.store.schema import document

OWED = "invoice"
# How a document stands; besides, as it is, whatever else a billing system calls it: bad_debt, accepted, declined ...
DRAFT, VOIDED, PAID, OVERDUE, UNPAID, ACTIVE = "draft", "voided", "paid", "overdue", "unpaid", "active"
_SCALE = 10_000  # ten-thousandths: no currency has smaller units


@dataclass(frozen=True, slots=True)
class Owed:
    """What is still to come in one currency, as decimal text, how much of it is past due, and of how many invoices."""

    currency: str
    amount: str
    late: str
    count: int


def standing(type: str, status: str, balance: str, due_date: str, today: date) -> str:
    """How a document stands on a day, as a word."""
    if status in SETTLED:
        return status
    if type != OWED:
        return ACTIVE if status in ("", "open") else status
    left = _amount(balance)
    if left is not None and left <= 0:
        return PAID
    late = status == "past_due" or (due_date and due_date < today.isoformat())
    return OVERDUE if late else UNPAID


def _amount(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _nothing_left() -> ColumnElement[bool]:
    zero = func.trim(document.c.balance, "0").in_(("", ".")) & (document.c.balance != "")
    return zero | document.c.balance.startswith("-")


def is_owed(*, of_few: bool = False) -> ColumnElement[bool]:
    """Invoices for which money is still to come; `of_few`: of customers that are named, whose documents are few.

    Then the type is hidden from SQLite, which would else walk all invoices by their due day.
    """
    type = func.lower(document.c.type) if of_few else document.c.type
    return (type == OWED) & document.c.status.not_in(SETTLED) & ~_nothing_left()


def is_paid() -> ColumnElement[bool]:
    """Documents that are paid: their billing system says so, or nothing is left of an invoice."""
    left = (document.c.type == OWED) & document.c.status.not_in(SETTLED) & _nothing_left()
    return (document.c.status == PAID) | left


def is_late(today: date) -> ColumnElement[bool]:
    """Of those that are owed the ones that are past due."""
    return ((document.c.due_date != "") & (document.c.due_date < today.isoformat())) | (document.c.status == "past_due")


def owed_by(tx: Transaction, tenant_id: str, customers: Sequence[str], today: date) -> dict[str, tuple[Owed, ...]]:
    """customer's key -> what it owes, by currency; one query. Those that owe nothing are not among them."""
    amount = cast(func.round(cast(func.nullif(document.c.balance, ""), Numeric) * _SCALE), BigInteger)
    columns = (
        document.c.customer_key, document.c.currency, func.sum(func.coalesce(amount, 0)),
        func.sum(case((is_late(today), func.coalesce(amount, 0)), else_=0)), func.count(),
    )  # fmt: skip
    where = (document.c.tenant_id == tenant_id) & document.c.customer_key.in_(customers) & is_owed(of_few=True)
    grouped = select(*columns).where(where).group_by(document.c.customer_key, document.c.currency)
    rows = tx.all(grouped.order_by(document.c.currency)) if customers else ()
    found: dict[str, tuple[Owed, ...]] = {}
    for key, currency, total, late, count in rows:
        one = Owed(currency, _text(total), _text(late), int(count))
        found[key] = (*found.get(key, ()), one)
    return found


def _text(ten_thousandths: int) -> str:
    return f"{Decimal(int(ten_thousandths)) / _SCALE:f}"

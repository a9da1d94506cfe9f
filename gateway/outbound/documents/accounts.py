"""Whether statements, receipts, refunds and payment plans agree with themselves.

Called by the reader with a document whose fields are well formed, after `sums`. These amounts are paid or owed as they
stand, so there is no tolerance. Where the schema leaves a reading open (a balance in an entry may be the running one or
what is open of that entry), every customary reading is accepted, and what fits none is refused.
"""

from decimal import Decimal

from gateway.outbound.documents.fields import date_of, decimal_of
from gateway.outbound.documents.model import Document, Statement
from gateway.outbound.documents.sums import Complaint, total_of


def check_accounts(document: Document) -> list[Complaint]:
    """What does not agree, as (field, message)."""
    return [
        *(_check_statement(document.statement) if document.statement else ()),
        *_check_receipt(document),
        *_check_refund(document),
        *_check_plan(document),
    ]


# -- statements


def _check_statement(statement: Statement) -> list[Complaint]:
    found = _check_closing(statement) + _check_ageing(statement)
    end, start = date_of(statement.end), date_of(statement.start)
    for number, entry in enumerate(statement.entries):
        day = date_of(entry.date)
        at = f"statement.entries[{number}].date"
        if day and end and day > end:
            found.append((at, f"{entry.date} is after the end of the statement, {statement.end}"))
        elif day and start and day < start and statement.opening_balance and statement.style != "open_item":
            words = f"{entry.date} is before the start of the statement, {statement.start}: the opening balance has it"
            found.append((at, words))
    return found


def _check_closing(statement: Statement) -> list[Complaint]:
    """opening + debits - credits = closing, and the balances on the way; or what is open of each entry adds up."""
    entries, closing = statement.entries, decimal_of(statement.closing_balance)
    if not entries:
        if statement.opening_balance and decimal_of(statement.opening_balance) != closing:
            words = f'"{statement.closing_balance}" is not the opening balance, and there are no entries'
            return [("statement.closing_balance", words)]
        return []
    if statement.style == "open_item" or not statement.opening_balance:
        return _check_open_items(statement, closing)
    return _check_running(statement, closing)


def _check_running(statement: Statement, closing: Decimal) -> list[Complaint]:
    balance = decimal_of(statement.opening_balance)
    for number, entry in enumerate(statement.entries):
        balance += decimal_of(entry.debit) - decimal_of(entry.credit)
        if entry.balance and decimal_of(entry.balance) != balance:
            words = f'"{entry.balance}" is not the balance before + debit - credit; that is {balance:f}'
            return [(f"statement.entries[{number}].balance", words)]
    if balance == closing:
        return []
    words = f'"{statement.closing_balance}" is not opening balance + debits - credits; that is {balance:f}'
    return [("statement.closing_balance", words)]


def _check_open_items(statement: Statement, closing: Decimal) -> list[Complaint]:
    """Entries that are still open: their amounts make the closing balance, or what is left of them does."""
    entries = statement.entries
    moved = total_of(entry.debit for entry in entries) - total_of(entry.credit for entry in entries)
    opening = decimal_of(statement.opening_balance)
    left = total_of(entry.balance or entry.debit or f"-{entry.credit or 0}" for entry in entries)
    running = entries[-1].balance and decimal_of(entries[-1].balance) == closing
    if closing in (moved, opening + moved, left, opening + left) or running:
        return []
    unknown = statement.style != "open_item" and not any(entry.balance for entry in entries)
    if unknown and not statement.opening_balance:  # what was owed before may be left out with the opening balance
        return []
    words = f'"{statement.closing_balance}" is not what the entries make; that is {(opening + moved):f}'
    return [("statement.closing_balance", words)]


def _check_ageing(statement: Statement) -> list[Complaint]:
    """The ages of a debt are parts of all of it, or of what is past due."""
    if not statement.aging:
        return []
    whole = total_of(one.amount for one in statement.aging)
    if whole == decimal_of(statement.closing_balance):
        return []
    if statement.past_due and whole == decimal_of(statement.past_due):
        return []
    words = f"do not add up to the closing balance {statement.closing_balance}; they make {whole:f}"
    return [("statement.aging", words)]


# -- payments


def _check_receipt(document: Document) -> list[Complaint]:
    if document.type != "receipt" or document.receipt is None:
        return []
    paid = [one.amount for one in document.related if one.relation in ("", "pays")]
    whole = total_of(paid)
    if not paid or not all(paid) or whole == decimal_of(document.receipt.amount):
        return []
    words = f'"{document.receipt.amount}" is not the sum of what it pays; related[].amount make {whole:f}'
    return [("receipt.amount", f"{words} (leave them out where a part is not assigned)")]


def _check_refund(document: Document) -> list[Complaint]:
    refund = document.refund
    if refund is None or not refund.original_amount:
        return []
    if decimal_of(refund.amount) <= decimal_of(refund.original_amount):
        return []
    return [("refund.amount", f'"{refund.amount}" is more than the original amount, {refund.original_amount}')]


def _check_plan(document: Document) -> list[Complaint]:
    """The instalments make the total, or what is left of it; those already paid may be part of it or not."""
    plan, totals = document.payment_plan, document.totals
    if plan is None or totals is None or not plan.installments:
        return []
    whole = total_of(one.amount for one in plan.installments)
    ahead = total_of(one.amount for one in plan.installments if not one.paid)
    wanted = {decimal_of(totals.total), decimal_of(totals.balance or totals.total)}
    if whole in wanted or ahead in wanted:
        return []
    said = f"the total {totals.total}" + (f", nor the balance {totals.balance}" if totals.balance else "")
    return [("payment_plan.installments", f"do not add up to {said}; they make {whole:f}")]

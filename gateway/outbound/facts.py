"""What stands in the box at the top of a document: the amount that it is about, and the facts beside it, by its type.

Called by the sheet. Every fact that the document gives is shown once, formatted; what it does not give is left out.
"""

from collections.abc import Iterable
from decimal import Decimal

from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import Document
from gateway.outbound.filling import amount_of, valid_until
from gateway.outbound.texts import Language, balance_of, is_settled, is_zero

Fact = tuple[str, str]

_TO_BE_PAID = ("invoice", "payment_plan", "autopay_failure", "statement")
_CLOSED = ("paid", "voided", "canceled")
_AMOUNTS = {
    "estimate": "estimate_total",
    "credit_note": "credit_total",
    "receipt": "received",
    "refund": "refunded",
    "autopay_failure": "not_collected",
}  # what the amount of each type is called


def given(pairs: Iterable[Fact]) -> tuple[Fact, ...]:
    """The facts that say something."""
    return tuple((name, value) for name, value in pairs if value)


def open_amount(document: Document) -> str:
    """What the customer is asked to pay by this document, as a decimal; "" for a type that asks for nothing."""
    if document.type not in _TO_BE_PAID or document.status in _CLOSED:
        return ""
    if document.statement:
        return document.statement.closing_balance
    return amount_of(document) if document.type == "autopay_failure" else balance_of(document)


def is_payable(document: Document) -> bool:
    """Whether there is anything to pay by this document."""
    return decimal_of(open_amount(document)) > 0


def sum_of(document: Document, words: Language) -> Fact:
    """The bottom line: what is to be paid, or what the document amounts to."""
    label, currency = words.labels, document.currency
    if document.statement and document.type == "statement":
        name = label["closing_on"].replace("{date}", words.short_date(document.statement.end))
        return name, words.money(document.statement.closing_balance, currency)
    if document.type == "subscription":
        amount = words.money(amount_of(document), currency)
        plan = document.subscription.plan if document.subscription else document.number
        return (label["subscription_fee"], amount) if amount and not _is_over(document) else (label["plan"], plan)
    if name := _AMOUNTS.get(document.type, ""):
        return label[name], words.money(amount_of(document), currency)
    return label["amount_due"], words.money(balance_of(document), currency)


def headline_of(document: Document, words: Language) -> Fact:
    """What a reader sees first: the bottom line, and of a paid invoice what was paid."""
    if document.type in ("invoice", "payment_plan") and document.totals and is_settled(document):
        return words.labels["paid_in_full"], words.money(document.totals.total, document.currency)
    return sum_of(document, words)


def facts_of(document: Document, words: Language) -> tuple[Fact, ...]:
    """The facts beside the amount, by type; then the references that any document may have."""
    label, period = words.labels, document.period
    number = document.seller_number if document.seller_number != document.number else ""
    return given(
        [
            *_OWN.get(document.type, _of_other)(document, words),
            (label["document"], _one_related(document, words) if is_one_fact(document) else ""),
            (label["delivery"], words.day(document.delivery_date)),
            (label["period"], words.period(period.start, period.end) if period else ""),
            (label["contract"], document.contract),
            (label["order"], document.purchase_order),
            (label["buyer_reference"], document.buyer_reference),
            (label["seller_number"], number),
        ]
    )


def _of_invoice(document: Document, words: Language) -> list[Fact]:
    label = words.labels
    return [(label["issued"], words.day(document.issue_date)), (label["due"], words.day(document.due_date))]


def _of_estimate(document: Document, words: Language) -> list[Fact]:
    label = words.labels
    return [(label["date"], words.day(document.issue_date)), (label["valid_until"], words.day(valid_until(document)))]


def _of_credit_note(document: Document, words: Language) -> list[Fact]:
    label, totals = words.labels, document.totals
    unused = totals.balance if totals and totals.balance and totals.balance != totals.total else ""
    return [
        (label["date"], words.day(document.issue_date)),
        (label["unused_credit"], words.money(unused, document.currency)),
    ]


def _of_plan(document: Document, words: Language) -> list[Fact]:
    label, plan = words.labels, document.payment_plan
    return [
        (label["date"], words.day(document.issue_date)),
        (label["due"], words.day(document.due_date)),
        (label["approve_by"], words.day(plan.approve_by) if plan else ""),
    ]


def _of_receipt(document: Document, words: Language) -> list[Fact]:
    label, receipt = words.labels, document.receipt
    if receipt is None:
        return []
    return [
        (label["paid_on"], words.day(receipt.paid_at)),
        (label["date"], words.day(document.issue_date) if document.issue_date != receipt.paid_at else ""),
        (label["method"], words.method(receipt.method)),
        (label["source"], receipt.source),
        (label["operation"], receipt.reference),
    ]


def _of_refund(document: Document, words: Language) -> list[Fact]:
    label, refund = words.labels, document.refund
    if refund is None:
        return []
    return [
        (label["refunded_on"], words.day(refund.refunded_at)),
        (label["date"], words.day(document.issue_date) if document.issue_date != refund.refunded_at else ""),
        (label["original_amount"], words.money(refund.original_amount, document.currency)),
        (label["method"], words.method(refund.method)),
        (label["refunded_to"], refund.source),
    ]


def _of_failure(document: Document, words: Language) -> list[Fact]:
    label, autopay = words.labels, document.autopay
    if autopay is None:
        return _of_other(document, words)
    return [
        (
            label["document"],
            "" if document.related else f"{words.entry_type(document.kind or 'invoice')} {document.number}",
        ),
        (label["due"], words.day(document.due_date)),
        (label["date"], words.day(document.issue_date)),
        (label["reason"], autopay.reason),
        (label["source"], autopay.source),
        (label["attempt"], words.number(str(autopay.attempt))),
        (label["next_attempt"], words.day(autopay.next_attempt_at)),
    ]


def _of_statement(document: Document, words: Language) -> list[Fact]:
    label, statement = words.labels, document.statement
    if statement is None:
        return []
    opening = statement.opening_balance
    past_due = "" if is_zero(statement.past_due) else words.money(statement.past_due, document.currency)
    return [
        (label["period"], words.period(statement.start, statement.end)),
        (label["date"], words.day(document.issue_date)),
        (label["opening"], words.money(opening, document.currency)),
        (label["past_due"], past_due),
    ]


def _of_subscription(document: Document, words: Language) -> list[Fact]:
    label, subscription = words.labels, document.subscription
    if subscription is None:
        return []
    over, amount = _is_over(document), amount_of(document)
    return [
        (label["plan"], subscription.plan if amount and not over else ""),
        (label["subscription_fee"], words.money(amount, document.currency) if over else ""),
        (label["number"], document.number),
        (label["interval"], words.interval(subscription.interval)),
        (label["starts_on"], words.day(subscription.starts_on)),
        (label["next_billing"], "" if over else words.day(subscription.next_billing_on)),
        (label["canceled_on"], words.day(subscription.canceled_on)),
    ]


def _is_over(document: Document) -> bool:
    """Whether it is a subscription that was cancelled."""
    return document.status == "canceled" or bool(document.subscription and document.subscription.canceled_on)


def _of_other(document: Document, words: Language) -> list[Fact]:
    return [(words.labels["number"], document.number), (words.labels["date"], words.day(document.issue_date))]


_OWN = {
    "invoice": _of_invoice,
    "estimate": _of_estimate,
    "credit_note": _of_credit_note,
    "payment_plan": _of_plan,
    "receipt": _of_receipt,
    "refund": _of_refund,
    "autopay_failure": _of_failure,
    "statement": _of_statement,
    "subscription": _of_subscription,
}


def is_one_fact(document: Document) -> bool:
    """Whether the document that it belongs to stands among the facts: one, with nothing of its own to say."""
    return len(document.related) == 1 and document.type not in ("receipt", "refund", "credit_note")


def _one_related(document: Document, words: Language) -> str:
    (one,) = document.related
    whole = document.totals and document.totals.total == one.amount  # which stands above
    parts = (
        f"{words.entry_type(one.type)} {one.number}",
        words.day(one.date),
        "" if whole else words.money(one.amount, document.currency),
    )
    return " · ".join(part.strip() for part in parts if part)


def total_of(amounts: Iterable[str]) -> str:
    """The sum of amounts as a decimal text; "" counts as nothing."""
    return f"{sum((decimal_of(amount) for amount in amounts), Decimal(0)):f}"

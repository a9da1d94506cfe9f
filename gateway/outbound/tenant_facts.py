"""What a tenant's own text may speak of: plain text, numbers, tuples and dictionaries, and nothing else.

Made by filling of a document, for `tenant_language`. Variables are formatted in the mail's language, and "" when
unknown: the same that the product's texts have, and a few more. `document` has values as the billing system wrote them,
for the filters `date` and `money` and for conditions. `lines`, `installments` and `related` are to be looped over.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from gateway.mail.header_text import scrub
from gateway.outbound.documents.fields import date_of
from gateway.outbound.documents.model import Document
from gateway.outbound.texts import Language, balance_of

BUTTON = "button"
BUTTON_MARK = "\x1d"  # stands where a text places its button; no fact can hold it

NOUNS = ("doc", "Doc", "doc_def", "doc_acc", "doc_gen", "doc_dat", "doc_short")
TOKENS = frozenset(
    (
        *NOUNS, "number", "about", "plan_number", "company", "customer", "amount", "balance", "value", "settled",
        "due_date", "pay_by", "valid_until", "days_late", "in_days", "paid_date", "installments_text", "plan_total",
        "approve_by", "reason", "next_attempt",
        "period", "date", "plan", "start_date", "interval", "act", "pdf", "bundle", "alone",
    )
)  # fmt: skip
VARIABLES = (*sorted(TOKENS), "contact", "contract", "issue_date", "order", "overdue_days", "paid", "total")
LISTS: Mapping[str, tuple[str, ...]] = {
    "lines": ("description", "quantity", "unit", "price", "amount"),
    "installments": ("due_date", "amount", "paid"),
    "related": ("name", "number", "date", "amount"),
}
_RAW = ("type", "kind", "status", "number", "currency", "issue_date", "due_date", "delivery_date", "contract")
_SUMS = ("total", "net", "tax", "paid", "credited")
RECORDS: Mapping[str, tuple[str, ...]] = {"document": (*_RAW, "purchase_order", *_SUMS, "balance", "metadata")}


class Metadata(dict[str, str]):
    """What the billing system added; a name that it did not give says ""."""

    def __missing__(self, name: str) -> str:
        return ""


def tenant_facts(
    document: Document, words: Language, tokens: Mapping[str, str], contact: str, today: date
) -> dict[str, Any]:
    """Everything that a tenant's text may speak of. `tokens` are the product's own, for the same document."""
    totals, due = document.totals, date_of(document.due_date)
    sums = {name: getattr(totals, name) if totals else "" for name in _SUMS}
    found: dict[str, Any] = dict(tokens) | {
        "contact": contact,
        "contract": document.contract,
        "issue_date": words.date(document.issue_date),
        "order": document.purchase_order,
        "overdue_days": max((today - due).days, 0) if due else 0,
        "paid": words.money(sums["paid"], document.currency),
        "total": words.money(sums["total"], document.currency),
        "document": {name: getattr(document, name) for name in (*_RAW, "purchase_order")}
        | sums
        | {"balance": balance_of(document), "metadata": Metadata(document.metadata)},
        "lines": tuple(_lines(document, words)),
        "installments": tuple(_installments(document, words)),
        "related": tuple(_related(document, words)),
    }
    return {name: _clean(value) for name, value in found.items()} | {BUTTON: BUTTON_MARK}


def _lines(document: Document, words: Language) -> list[dict[str, str]]:
    return [
        {
            "description": line.description,
            "quantity": words.number(line.quantity),
            "unit": words.unit(line.unit),
            "price": words.money(line.unit_price, document.currency),
            "amount": words.money(line.amount, document.currency),
        }
        for line in document.lines
    ]


def _installments(document: Document, words: Language) -> list[dict[str, Any]]:
    return [
        {
            "due_date": words.date(one.due_date),
            "amount": words.money(one.amount, document.currency),
            "paid": one.paid,
        }
        for one in (document.payment_plan.installments if document.payment_plan else ())
    ]


def _related(document: Document, words: Language) -> list[dict[str, str]]:
    return [
        {
            "name": words.entry_type(one.type),
            "number": one.number,
            "date": words.date(one.date),
            "amount": words.money(one.amount, document.currency),
        }
        for one in document.related
    ]


def _clean(value: Any) -> Any:
    """A fact without line breaks and control characters, whatever it is made of."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Metadata):
        return Metadata({name: scrub(text) for name, text in value.items()})
    if isinstance(value, dict):
        return {name: _clean(one) for name, one in value.items()}
    return tuple(_clean(one) for one in value) if isinstance(value, tuple) else value

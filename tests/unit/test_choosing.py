"""Which template follows from a document's type and state: the ruling, case by case."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.mail.reply import Refused
from gateway.outbound.choosing import choose_template
from gateway.outbound.documents import Document, read_document
from gateway.outbound.texts import templates

SAMPLES = Path(__file__).resolve().parents[1] / "corpus/documents"
BEFORE, DUE, AFTER = date(2026, 12, 1), date(2026, 12, 8), date(2026, 12, 9)
PAID = {"totals": {"total": "1200.00", "paid": "1200.00"}}
PLAN = {"payment_plan": {"installments": [{"due_date": "2026-12-01", "amount": "1200.00"}]}}
APPROVE = {"links": {"approve": "https://x.example/a"}}


def document(name: str, **changes: Any) -> Document:
    values = json.loads((SAMPLES / f"{name}.json").read_text())
    return read_document(json.dumps(values | changes).encode())


@pytest.mark.parametrize(
    ("changes", "sent", "today", "key"),
    [
        ({}, False, BEFORE, "new_invoice"),
        ({}, False, AFTER, "new_invoice"),
        ({}, True, BEFORE, "unpaid_invoice"),
        ({}, True, DUE, "unpaid_invoice"),
        ({}, True, AFTER, "late_payment_reminder"),
        ({"status": "past_due"}, True, BEFORE, "unpaid_invoice"),
        ({"due_date": ""}, True, AFTER, "unpaid_invoice"),
        ({"status": "paid"}, False, BEFORE, "paid_invoice"),
        ({"status": "paid"}, True, AFTER, "paid_invoice"),
        (PAID, True, AFTER, "paid_invoice"),
        ({"totals": {"total": "1200.00", "credited": "1200.00"}}, True, BEFORE, "unpaid_invoice"),
        ({"totals": {"total": "1200.00", "paid": "600.00"}}, True, AFTER, "late_payment_reminder"),
        (PLAN | APPROVE, False, BEFORE, "payment_plan_onboard"),
        (PLAN | APPROVE | {"status": "accepted"}, False, BEFORE, "new_invoice"),
        (PLAN, False, BEFORE, "new_invoice"),
        (PLAN | APPROVE | PAID, False, BEFORE, "paid_invoice"),
    ],
)
def test_an_invoice_follows_the_ruling(changes: dict[str, Any], sent: bool, today: date, key: str) -> None:
    changes = {name: value for name, value in changes.items() if value != ""}
    values = document("invoice_ro", **changes)
    if key == "unpaid_invoice" and today == AFTER:
        values = values.model_copy(update={"due_date": ""})
    assert choose_template(values, sent, today) == key
    assert values.type in templates()[key].fits


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("estimate_ro", "estimate"),
        ("credit_note_ru", "credit_note"),
        ("receipt_en", "payment_receipt"),
        ("refund_ro", "refund"),
        ("autopay_failure_ru", "auto_payment_failed"),
        ("statement_en", "statement"),
        ("payment_plan_ro", "payment_plan_onboard"),
    ],
)
def test_other_types_have_one_template_each(name: str, key: str, sent: bool) -> None:
    assert choose_template(document(name), sent, AFTER) == key


@pytest.mark.parametrize(
    ("changes", "sent", "today", "key"),
    [
        ({}, False, date(2026, 11, 26), "subscription_confirmation"),
        ({}, True, date(2026, 11, 26), "subscription_renews_soon"),
        ({}, True, date(2026, 12, 2), "subscription_confirmation"),
        ({"status": "canceled"}, False, date(2026, 11, 26), "subscription_canceled"),
        ({"subscription": {"plan": "M", "canceled_on": "2026-11-20"}}, True, BEFORE, "subscription_canceled"),
    ],
)
def test_a_subscription_is_confirmed_then_announced_then_cancelled(
    changes: dict[str, Any], sent: bool, today: date, key: str
) -> None:
    assert choose_template(document("subscription_ro", **changes), sent, today) == key


def test_what_has_no_mail_is_refused_in_words() -> None:
    with pytest.raises(Refused, match="invoice CP-2026-0042 is voided"):
        choose_template(document("invoice_ro", status="voided"), False, BEFORE)
    with pytest.raises(Refused, match=r"PP-2026-007 awaits no approval \(its status is accepted\); send the invoice"):
        choose_template(document("payment_plan_ro", status="accepted"), False, BEFORE)

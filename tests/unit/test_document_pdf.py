"""When the door asks whether a document can become Factur-X: when its PDF is to carry it, and never else."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.outbound.desk import Desk
from gateway.outbound.document_pdf import need_einvoice
from gateway.outbound.documents import read_document
from gateway.store.messages import Message
from gateway.store.tenants import Tenant

SAMPLE = Path(__file__).parents[1] / "corpus" / "documents" / "invoice_ro.json"
OPTION = {"einvoice": "factur-x"}


def ask(
    option: dict[str, str], template: str = "new_invoice", event: str = "", detail: Any = None, **changes: Any
) -> None:
    """Ask about an invoice that does not say when it is due."""
    made = json.loads(SAMPLE.read_text()) | {"payment": {"methods": []}} | changes
    del made["due_date"]
    tenant = Tenant("t", "acme", "Acme", "ro", "Europe/Chisinau", "", "shared", {}, options=option)
    desk = Desk(tenant, (), parse_address("noreply@gateway.example"), None)
    message = Message(
        tenant_id="t", id="m", thread_id="", direction="out", kind="document", template=template, detail=detail or {},
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
    )  # fmt: skip
    need_einvoice(desk, read_document(json.dumps(made).encode()), message, event)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"template": "late_payment_reminder"},
        {"event": "invoice.issued"},
        {"template": "", "event": "invoice.updated"},  # a mail may wait for the correction
        {"template": "paid_invoice", "detail": {"attach_pdf": True}},
    ],
)
def test_a_document_whose_pdf_is_to_carry_it_is_checked(asked: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="due_date is missing"):
        ask(OPTION, **asked)


@pytest.mark.parametrize(
    ("option", "asked"),
    [
        ({}, {}),
        (OPTION, {"status": "draft"}),
        (OPTION, {"template": ""}),  # stored only
        (OPTION, {"template": "", "event": "invoice.voided"}),
        (OPTION, {"detail": {"attach_pdf": False}}),
        (OPTION, {"files": [{"filename": "f.xml", "role": "einvoice", "content": "PHgvPg=="}]}),
    ],
)
def test_others_are_not(option: dict[str, str], asked: dict[str, Any]) -> None:
    ask(option, **asked)

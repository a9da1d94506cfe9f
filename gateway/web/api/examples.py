"""A body of each kind as programs send it: shown in the OpenAPI document, and tried by a test, word for word."""

from collections.abc import Mapping
from typing import Any

DOCUMENT_TYPE, DOCUMENT_ID, RUN = "invoice", "inv_8812", "2026-11 invoices"
_NAME = f"{DOCUMENT_TYPE}/{DOCUMENT_ID}"

EXAMPLES: Mapping[str, Any] = {
    "Document": {
        "type": DOCUMENT_TYPE, "id": DOCUMENT_ID, "number": "FV-8812", "status": "open", "language": "ro",
        "currency": "MDL", "issue_date": "2026-11-24", "due_date": "2026-12-08",
        "customer": {
            "id": "cus_17", "name": "Codrul Verde SRL",
            "contacts": [{"name": "Ana Rusu", "email": "ana@codrulverde.example", "send": "to"}],
        },
        "lines": [{"description": "Mentenanță", "quantity": "2", "unit_price": "500.00", "amount": "1000.00"}],
        "totals": {"total": "1000.00", "balance": "1000.00"},
    },
    "AskedMessage": {
        "to": ["Ana Rusu <ana@codrulverde.example>"], "subject": "Bună ziua", "text": "Vă mulțumim.\n",
        "tags": ["spring"], "meta": {"run": "7"},
    },
    "AskedEvent": {"type": "invoice.updated", "document": _NAME},
    "AskedReply": {
        "text": "Vă trimitem contractul.", "attachments": [{"filename": "contract.txt", "content": "Q29udHJhY3Q="}],
        "then": "waiting",
    },
    "AskedSuppression": {"reason": "blocked", "note": "left the company"},
    "AskedSnooze": {"until": "2026-12-08T09:00:00+02:00"},
    "AskedAssignment": {"to": ""},
    "AskedTag": {"tag": "lawyer"},
    "AskedPromise": {"on": "2026-12-08", "amount": "500.00"},
    "AskedNote": {"text": "Ana calls back on Friday."},
    "AskedTexts": {"subject": "Factura {{ number }}"},
    "AskedContact": {"role": "cc", "name": "Ion Munteanu"},
}  # fmt: skip

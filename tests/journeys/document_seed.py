"""Documents of the tenant "alfa" in every state, handed over by the door: for the tests of their pages.

`seed_documents` gives the paths of pages by name: a list in each state, a document, a customer, the form.
"""

import json
from datetime import timedelta
from typing import Any

from journeys.inbox_seed import NOW

from gateway.demo.samples import sample_documents
from gateway.outbound.handed_document import JSON_TYPES
from gateway.outbound.requests import Wanted, store
from gateway.outbound.submission import Door
from gateway.outbound.suppression import Entry, put_suppressed
from gateway.store.database import to_ms

TODAY = NOW.date()
ANA, ION = {"name": "Ana Rusu", "email": "ana@codru.example"}, {"email": "ion@codru.example", "send": "cc"}
CODRU = {"id": "c-77", "name": "Codrul Verde SRL", "contacts": [ANA, ION]}
VATRA = {"id": "c-9", "name": "Vatra Nouă & Fiii SRL", "contacts": []}
STOPPED = {"id": "c-5", "name": "Вест-Трейд ООО", "contacts": [{"email": "buh@trade.example"}]}


def made(id: str, days: int, customer: dict[str, Any] = CODRU, type: str = "invoice", **changes: Any) -> dict[str, Any]:
    """A document that is due in so many days."""
    found: dict[str, Any] = json.loads(json.dumps(dict(sample_documents(TODAY)[0].document)))
    found |= {"id": id, "number": f"FA-{id}", "status": "open", "type": type, "customer": customer, "language": "ro"}
    found |= {"issue_date": (TODAY + timedelta(days=days - 20)).isoformat()}
    found |= {"due_date": (TODAY + timedelta(days=days)).isoformat()}
    return found | changes


DOCUMENTS = (
    made("1001", -12), made("1002", -3, STOPPED), made("1003", 15, VATRA), made("1004", 20),
    made("1005", 8, status="paid"), made("1006", 30, status="draft"), made("1007", 9, STOPPED, status="voided"),
    made("a/1008", 11),
    made("1009", 14, type="estimate", number="OF-1009"), made("1010", 2, VATRA, number="FA-2026/00001010-serie-lungă"),
)  # fmt: skip


async def hand_over(door: Door, tenant_id: str, document: dict[str, Any]) -> None:
    """Store a document; nothing is sent."""
    wanted = Wanted(tenant_id, "1C", "", "", (("X-AR-Template", "none"),))
    data = json.dumps(document).encode()
    await store(door, wanted, (document["type"], document["id"]), JSON_TYPES[0], data, NOW)


async def seed_documents(door: Door, tenant_id: str) -> dict[str, str]:
    """Hand them all over, and stop an address."""
    for document in DOCUMENTS:
        await hand_over(door, tenant_id, document)
    entry = Entry("buh@trade.example", "mailbox_unknown", "550 5.1.1 no such user", "bounce")
    await door.database.write(put_suppressed, to_ms(NOW), tenant_id, entry)
    return {
        "documents": "/documents",
        "overdue": "/documents?state=overdue",
        "document": "/documents/invoice/1001",
        "draft": "/documents/invoice/1006",
        "sheet": "/documents/send?document=invoice/1001&back=/documents",
        "unaddressed": "/documents/send?document=invoice/1003&back=/documents",
        "stopped": "/documents/send?document=invoice/1002&back=/documents",
        "dialog": "/documents?q=FA-1004",
        "customers": "/customers",
        "customer": "/customers/id:c-77",
        "failing": "/customers/id:c-5",
    }

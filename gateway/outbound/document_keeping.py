"""Keeps a document that was handed over, and says in its thread what is new: received, updated, paid, voided.

Called by `outbound.accepting`, in the door's transaction. That a document was paid or voided is said once, however
often it comes.
"""

from gateway.store.database import Transaction
from gateway.store.documents import StoredDocument, get_document, put_document
from gateway.store.events import add_event

ENDS = {"paid": "document.paid", "voided": "document.voided"}


def keep_document(tx: Transaction, now_ms: int, tenant_id: str, made: StoredDocument, message_id: str) -> str:
    """Keep it with its events: "received", "updated", or "unchanged"."""
    ended = _just_ended(tx, tenant_id, made)
    kept = put_document(tx, now_ms, tenant_id, made)
    if kept != "unchanged":
        data, thread_id = {"type": made.type, "id": made.id, "revision": made.revision}, made.thread_id
        add_event(tx, now_ms, tenant_id, f"document.{kept}", thread_id=thread_id, message_id=message_id, data=data)
        if ended:
            add_event(tx, now_ms, tenant_id, ended, thread_id=thread_id, message_id=message_id)
    return kept


def _just_ended(tx: Transaction, tenant_id: str, made: StoredDocument) -> str:
    """The type of that event; "" when there is none to tell."""
    if made.status not in ENDS:
        return ""
    before = get_document(tx, tenant_id, made.type, made.id)
    return "" if before is not None and before.status == made.status else ENDS[made.status]

"""Reading one thread of the A/R inbox: its mail, deliveries, notes, events and document.

Called by the pages, the CLI and the HTTP API; lists are `inbox.listing`. The number of queries is constant, whatever a
page shows, and every query names the tenant: what is another tenant's does not exist. Writes nothing but "seen".
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import and_, false, or_, select

from gateway.inbox.deliveries import read_deliveries
from gateway.inbox.views import Attachment, DeliveryView, DocumentFacts, MessageView, ThreadView
from gateway.store.database import Transaction
from gateway.store.documents import get_document
from gateway.store.events import list_events
from gateway.store.messages import Message, get_message, list_messages
from gateway.store.notes import list_notes
from gateway.store.schema import document, pdf
from gateway.store.tags import tags_of
from gateway.store.tenants import list_credentials
from gateway.store.threads import get_thread, mark_read
from gateway.store.users import people_of


def read_thread(tx: Transaction, tenant_id: str, thread_id: str) -> ThreadView | None:
    """A thread with its mail, deliveries, attempts and events; None when the tenant has no such thread."""
    found = get_thread(tx, tenant_id, thread_id)
    if found is None:
        return None
    events = list_events(tx, tenant_id, thread_id=thread_id)
    deliveries = read_deliveries(tx, tenant_id, events, thread_id=thread_id)
    messages = list_messages(tx, tenant_id, thread_id)
    reports: dict[str, set[tuple[str, int]]] = {}
    for event in events:
        if event.data.get("report"):
            reports.setdefault(str(event.data["report"]), set()).add((event.message_id, event.number))
    names = {made.id: made.username for made in list_credentials(tx, tenant_id)}
    wanted = {made.credential_id for made in messages}
    return ThreadView(
        found,
        _document_facts(tx, tenant_id, found.document_type, found.document_id),
        tuple(_view(made, deliveries, reports.get(made.id, set())) for made in messages),
        tuple(events),
        {key: name for key, name in names.items() if key in wanted},
        tuple(list_notes(tx, tenant_id, thread_id)),
        tags_of(tx, tenant_id, [thread_id]).get(thread_id, ()),
        people_of(tx, tenant_id),
    )


def read_message(tx: Transaction, tenant_id: str, message_id: str) -> MessageView | None:
    """One mail with its deliveries and attempts; None when the tenant has no such mail."""
    made = get_message(tx, tenant_id, message_id)
    found = read_thread(tx, tenant_id, made.thread_id) if made else None
    return next((one for one in found.messages if one.message.id == message_id), None) if found else None


def _view(made: Message, deliveries: Sequence[DeliveryView], reported: set[tuple[str, int]]) -> MessageView:
    return MessageView(
        message=made,
        deliveries=tuple(d for d in deliveries if d.message_id == made.id),
        about=tuple(d for d in deliveries if (d.message_id, d.number) in reported),
        attachments=read_attachments(made),
        quoted=str(made.detail.get("quoted", "")),
    )


def read_attachments(made: Message) -> tuple[Attachment, ...]:
    """The files of a mail, as its door noted them."""
    listed = made.detail.get("attachments", [])
    return tuple(
        Attachment(
            number,
            str(item.get("filename", "")),
            str(item.get("content_type", "")),
            int(item.get("size", 0)),
        )
        for number, item in enumerate(listed if isinstance(listed, list) else [], 1)
        if isinstance(item, dict)
    )


def read_documents(
    tx: Transaction, tenant_id: str, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], DocumentFacts]:
    """The facts of several documents by (type, id); one query."""
    names = "type document_id number status currency customer_name total balance issue_date due_date".split()
    # a list for each type: SQLite finds pairs in no index
    ids: dict[str, list[str]] = {}
    for type, document_id in keys:
        ids.setdefault(type, []).append(document_id)
    named = (and_(document.c.type == type, document.c.document_id.in_(found)) for type, found in ids.items())
    where = (document.c.tenant_id == tenant_id) & or_(false(), *named)
    rows = tx.all(select(*(document.c[name] for name in names)).where(where))
    return {(row[0], row[1]): DocumentFacts(*row) for row in rows}


def _document_facts(tx: Transaction, tenant_id: str, type: str, document_id: str) -> DocumentFacts | None:
    facts = read_documents(tx, tenant_id, [(type, document_id)]).get((type, document_id)) if document_id else None
    if facts is None:
        return None
    drawn = (pdf.c.tenant_id == tenant_id) & (pdf.c.type == type) & (pdf.c.document_id == document_id)
    has_pdf = tx.first(select(pdf.c.sha256).where(drawn).limit(1)) is not None
    stored = get_document(tx, tenant_id, type, document_id)
    return replace(facts, has_pdf=has_pdf, customer_known=bool(stored and stored.customer_key))


def look_at(tx: Transaction, tenant_id: str, thread_id: str) -> None:
    """A person has seen what was new in the thread."""
    mark_read(tx, tenant_id, thread_id)

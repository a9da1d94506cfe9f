"""Reading the A/R inbox: the list of threads and one thread, and a person's "done with it" or "back on the list".

Called by the pages, the CLI and (later) the HTTP API. The number of queries is constant, whatever a page shows, and
every query names the tenant: what is another tenant's does not exist. Writes nothing but a thread's state.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import func, select, tuple_

from gateway.inbox.deliveries import read_deliveries
from gateway.inbox.views import Attachment, DeliveryView, DocumentFacts, ListLine, ListPage, MessageView, ThreadView
from gateway.mail.reasons import VOCABULARY
from gateway.store.database import Transaction, to_ms
from gateway.store.documents import get_document
from gateway.store.events import list_events
from gateway.store.messages import Message, list_messages
from gateway.store.schema import delivery, document, message, pdf, thread
from gateway.store.tenants import list_credentials
from gateway.store.threads import Thread, close_thread, get_thread, list_threads, mark_read, reopen_thread

VIEWS = ("todo", "bounced", "replies", "sent", "all")
REPLY_CHIPS = ("reply", "challenge", "complaint")
BOUNCE_CHIPS = (*sorted(VOCABULARY), "unclear")
_CHIPS: dict[str, tuple[str, ...]] = {"bounced": BOUNCE_CHIPS, "replies": REPLY_CHIPS}
_CURSOR = re.compile(r"([0-9]{1,15})\.([0-9a-z]{20})\Z")
_REPORTS = ("bounce", "delay", "success")
_SNIPPET = 200  # characters of the last mail that a list shows


def list_page(tx: Transaction, tenant_id: str, *, view: str = "todo", cursor: str = "", limit: int = 50) -> ListPage:
    """One page of a view, the latest first. An unknown view is "todo"; a cursor that is none begins at the top."""
    view = view if view in VIEWS else "todo"
    found = _CURSOR.match(cursor)
    before = (int(found[1]), found[2]) if found else None
    threads = _list_view(tx, tenant_id, view, before, limit + 1)
    shown, more = threads[:limit], len(threads) > limit
    last = shown[-1] if more else None
    return ListPage(
        view,
        _lines(tx, tenant_id, shown),
        f"{to_ms(last.last_at)}.{last.id}" if last else "",
        count_views(tx, tenant_id),
    )


def _list_view(
    tx: Transaction, tenant_id: str, view: str, before: tuple[int, str] | None, limit: int
) -> Sequence[Thread]:
    if view == "all":  # two walks along the index of states, instead of sorting every thread of the tenant
        both = [
            found
            for state in ("open", "closed")
            for found in list_threads(tx, tenant_id, state=state, before=before, limit=limit)
        ]
        return sorted(both, key=lambda t: (t.last_at, t.id), reverse=True)[:limit]
    state = "closed" if view == "sent" else "open"
    return list_threads(tx, tenant_id, state=state, chips=_CHIPS.get(view, ()), before=before, limit=limit)


def count_views(tx: Transaction, tenant_id: str) -> dict[str, int]:
    """How many threads wait in each view that asks for a person."""
    where = (thread.c.tenant_id == tenant_id) & (thread.c.state == "open")
    rows = tx.all(select(thread.c.chip, func.count()).where(where).group_by(thread.c.chip))
    by_chip: dict[str, int] = {row[0]: row[1] for row in rows}
    counts = {view: sum(by_chip.get(chip, 0) for chip in chips) for view, chips in _CHIPS.items()}
    return counts | {"todo": sum(by_chip.values())}


def _lines(tx: Transaction, tenant_id: str, threads: Sequence[Thread]) -> tuple[ListLine, ...]:
    ids = [found.id for found in threads]
    documents = _documents(tx, tenant_id, [(t.document_type, t.document_id) for t in threads if t.document_id])
    last = _last_messages(tx, tenant_id, ids)
    progress = _progress(tx, tenant_id, ids)
    nothing = ("", "", "", "", "")
    return tuple(
        ListLine(
            found,
            documents.get((found.document_type, found.document_id)),
            *last.get(found.id, nothing),
            progress.get(found.id, {}),
        )
        for found in threads
    )


def _documents(
    tx: Transaction, tenant_id: str, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], DocumentFacts]:
    names = "type document_id number status currency customer_name total balance issue_date due_date".split()
    where = (document.c.tenant_id == tenant_id) & tuple_(document.c.type, document.c.document_id).in_(keys)
    rows = tx.all(select(*(document.c[name] for name in names)).where(where))
    return {(row[0], row[1]): DocumentFacts(*row) for row in rows}


def _last_messages(tx: Transaction, tenant_id: str, ids: Sequence[str]) -> dict[str, tuple[str, str, str, str, str]]:
    """thread id -> (kind, author, recipients, subject, first words) of its latest mail that is no report."""
    latest = (  # ids sort by time
        select(func.max(message.c.message_id))
        .where(message.c.tenant_id == tenant_id, message.c.thread_id.in_(ids), message.c.kind.not_in(_REPORTS))
        .group_by(message.c.thread_id)
    )
    body = func.substr(message.c.body_text, 1, _SNIPPET)
    columns = (message.c.kind, message.c.author, message.c.recipients, message.c.subject, body)
    where = (message.c.tenant_id == tenant_id) & message.c.message_id.in_(latest)
    rows = tx.all(select(message.c.thread_id, *columns).where(where))
    return {row[0]: (row[1], row[2], row[3], row[4], " ".join(row[5].split())) for row in rows}


def _progress(tx: Transaction, tenant_id: str, ids: Sequence[str]) -> dict[str, dict[str, int]]:
    joined = (delivery.c.tenant_id == message.c.tenant_id) & (delivery.c.message_id == message.c.message_id)
    rows = tx.all(
        select(message.c.thread_id, delivery.c.state, func.count())
        .join_from(message, delivery, joined)
        .where(message.c.tenant_id == tenant_id, message.c.thread_id.in_(ids))
        .group_by(message.c.thread_id, delivery.c.state)
    )
    counts: dict[str, dict[str, int]] = {}
    for thread_id, state, count in rows:
        counts.setdefault(thread_id, {})[state] = count
    return counts


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
    )


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


def _document_facts(tx: Transaction, tenant_id: str, type: str, document_id: str) -> DocumentFacts | None:
    facts = _documents(tx, tenant_id, [(type, document_id)]).get((type, document_id)) if document_id else None
    if facts is None:
        return None
    drawn = (pdf.c.tenant_id == tenant_id) & (pdf.c.type == type) & (pdf.c.document_id == document_id)
    has_pdf = tx.first(select(pdf.c.sha256).where(drawn).limit(1)) is not None
    stored = get_document(tx, tenant_id, type, document_id)
    return replace(facts, has_pdf=has_pdf, customer_known=bool(stored and stored.customer_key))


def close(tx: Transaction, now: datetime, tenant_id: str, thread_id: str, by: str) -> bool:
    """A person is done with the thread; False when it is closed already, or not the tenant's."""
    return close_thread(tx, to_ms(now), tenant_id, thread_id, by)


def reopen(tx: Transaction, now: datetime, tenant_id: str, thread_id: str, by: str) -> bool:
    """A person wants the thread back on the list; False when it is open already, or not the tenant's."""
    return reopen_thread(tx, to_ms(now), tenant_id, thread_id, by)


def look_at(tx: Transaction, tenant_id: str, thread_id: str) -> None:
    """A person has seen what was new in the thread."""
    mark_read(tx, tenant_id, thread_id)

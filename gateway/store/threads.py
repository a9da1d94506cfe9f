"""Threads of a tenant's A/R inbox: one per document, one per conversation without a document.

A thread is closed while nothing needs a person. A reply, a permanent bounce or a problem of ours opens it, with the
reason as its chip; a closed thread keeps its last chip, so that opening it again restores it. Written here for the
doors and the queue; read by `inbox`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, insert, or_, select, text, union_all, update

from gateway.store.database import Prepared, Transaction, need_time, new_id, storable
from gateway.store.events import add_event
from gateway.store.schema import tenant, thread

STATES = ("closed", "open")


@dataclass(frozen=True, slots=True)
class Thread:
    """One conversation with a customer."""

    id: str
    key: str
    subject: str
    document_type: str
    document_id: str
    document_number: str
    customer: str
    state: str
    chip: str
    unread: int
    last_at: datetime
    created_at: datetime


_COLUMNS = (
    thread.c.thread_id,
    thread.c.key,
    thread.c.subject,
    thread.c.document_type,
    thread.c.document_id,
    thread.c.document_number,
    thread.c.customer,
    thread.c.state,
    thread.c.chip,
    thread.c.unread,
    thread.c.last_at,
    thread.c.created_at,
)
_INSERTED = [column.name for column in thread.columns]
_INSERT = Prepared(insert(thread), _INSERTED)


def _thread(row: Any) -> Thread:
    values = dict(zip(Thread.__dataclass_fields__, row, strict=True))
    values["last_at"], values["created_at"] = need_time(row[10]), need_time(row[11])
    return Thread(**values)


def add_thread(
    tx: Transaction,
    now_ms: int,
    tenant_id: str,
    thread_id: str = "",
    *,
    key: str = "",
    subject: str = "",
    document: tuple[str, str, str] = ("", "", ""),
    customer: str = "",
) -> str:
    """Make a thread, closed; its id. `document` is (type, id, number)."""
    thread_id = thread_id or new_id()
    tx.run(
        _INSERT,
        {
            "tenant_id": tenant_id,
            "thread_id": thread_id,
            "key": key or thread_id,
            "subject": storable(subject),
            "document_type": document[0],
            "document_id": document[1],
            "document_number": document[2],
            "customer": storable(customer),
            "state": "closed",
            "chip": "",
            "unread": 0,
            "opened_at": None,
            "last_at": now_ms,
            "created_at": now_ms,
        },
    )
    return thread_id


def thread_of_document(
    tx: Transaction, now_ms: int, tenant_id: str, document: tuple[str, str, str], subject: str, customer: str
) -> str:
    """The id of the document's thread, made when it is the first time."""
    key = f"{document[0]}/{document[1]}"
    where = (thread.c.tenant_id == tenant_id) & (thread.c.key == key)
    row = tx.first(select(thread.c.thread_id).where(where))
    if row is None:
        return add_thread(tx, now_ms, tenant_id, key=key, subject=subject, document=document, customer=customer)
    tx.change(update(thread).where(where).values(document_number=document[2], customer=customer, last_at=now_ms))
    return str(row[0])


def name_thread(tx: Transaction, tenant_id: str, thread_id: str, subject: str) -> None:
    """Give a thread the subject of its latest mail, as the customer sees it."""
    where = (thread.c.tenant_id == tenant_id) & (thread.c.thread_id == thread_id)
    tx.change(update(thread).where(where).values(subject=storable(subject[:998])))


def rename_thread(tx: Transaction, tenant_id: str, thread_id: str, key: str, document_id: str) -> None:
    """Its document was known by its number only and has an id now."""
    where = (thread.c.tenant_id == tenant_id) & (thread.c.thread_id == thread_id)
    tx.change(update(thread).where(where).values(key=key, document_id=document_id))


def open_thread(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, chip: str, **data: Any) -> None:
    """Ask for a person's attention, saying why; once more in the unread count when it is open already."""
    where = (thread.c.tenant_id == tenant_id) & (thread.c.thread_id == thread_id)
    tx.change(
        update(thread)
        .where(where)
        .values(state="open", chip=chip, unread=thread.c.unread + 1, opened_at=now_ms, last_at=now_ms)
    )
    add_event(tx, now_ms, tenant_id, "thread.opened", thread_id=thread_id, data={"chip": chip, **data})


def close_thread(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, by: str) -> bool:
    """A person is done with it; False when it is closed already, or not the tenant's."""
    where = (thread.c.tenant_id == tenant_id) & (thread.c.thread_id == thread_id) & (thread.c.state == "open")
    if not tx.change(update(thread).where(where).values(state="closed", unread=0)):
        return False
    add_event(tx, now_ms, tenant_id, "thread.closed", thread_id=thread_id, data={"by": by})
    return True


def reopen_thread(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, by: str) -> bool:
    """A person wants it back on the list; False when it is open already, or not the tenant's."""
    found = get_thread(tx, tenant_id, thread_id)
    if found is None or found.state == "open":
        return False
    open_thread(tx, now_ms, tenant_id, thread_id, found.chip or "reopened", by=by)
    return True


def mark_read(tx: Transaction, tenant_id: str, thread_id: str) -> None:
    """Somebody looked at it."""
    where = (thread.c.tenant_id == tenant_id) & (thread.c.thread_id == thread_id) & (thread.c.unread > 0)
    tx.change(update(thread).where(where).values(unread=0))


_TOUCH = Prepared(
    update(thread)
    .where(thread.c.tenant_id == bindparam("k_tenant"), thread.c.thread_id == bindparam("k_thread"))
    .values(last_at=bindparam("now_ms"))
)


def touch_thread(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str) -> None:
    """Something was added to it that needs nobody."""
    tx.run(_TOUCH, {"k_tenant": tenant_id, "k_thread": thread_id, "now_ms": now_ms})


_TOUCH_IF = Prepared(
    update(thread)
    .where(
        thread.c.tenant_id == bindparam("k_tenant"),
        thread.c.thread_id == bindparam("k_thread"),
        thread.c.key == bindparam("k_key"),
    )
    .values(last_at=bindparam("now_ms"))
)


def touch_if_still(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, key: str) -> bool:
    """The same, if the thread is still that of its document; False when it is not, and then nothing was done."""
    values = {"k_tenant": tenant_id, "k_thread": thread_id, "k_key": storable(key), "now_ms": now_ms}
    return bool(tx.run(_TOUCH_IF, values).rowcount)


_GET = Prepared(
    select(*_COLUMNS).where(thread.c.tenant_id == bindparam("k_tenant"), thread.c.thread_id == bindparam("k_thread"))
)


def get_thread(tx: Transaction, tenant_id: str, thread_id: str) -> Thread | None:
    """A thread of the tenant."""
    row = tx.run(_GET, {"k_tenant": tenant_id, "k_thread": storable(thread_id)}).fetchone()
    return _thread(row) if row else None


def tenant_of_thread(tx: Transaction, thread_id: str) -> str:
    """Whose thread has this id, which only who had its mail knows: so this query has no tenant. "" for none."""
    where = thread.c.tenant_id.in_(select(tenant.c.tenant_id)) & (thread.c.thread_id == storable(thread_id))
    row = tx.first(select(thread.c.tenant_id).where(where))
    return str(row[0]) if row else ""


def find_thread(tx: Transaction, tenant_id: str, key: str) -> Thread | None:
    """A thread by its key (a document's type/id)."""
    row = tx.first(select(*_COLUMNS).where(thread.c.tenant_id == tenant_id, thread.c.key == key))
    return _thread(row) if row else None


_NAMED = (thread.c.thread_id, thread.c.key, thread.c.document_type, thread.c.document_id, thread.c.last_at)
_OURS = thread.c.tenant_id == bindparam("tenant")
_FIND_NUMBERED = Prepared(
    union_all(  # the second condition of the first lets the partial index be used
        select(*_NAMED).where(_OURS, thread.c.document_number == bindparam("number"), text("document_number <> ''")),
        select(*_NAMED).where(_OURS, thread.c.key == bindparam("key")),
    )
)


def find_numbered(tx: Transaction, tenant_id: str, number: str, key: str) -> list[tuple[str, str, str, str, int]]:
    """(id, key, document's type and id, last time in ms) of the threads of a number or with a key, the latest first."""
    rows = tx.run(_FIND_NUMBERED, {"tenant": tenant_id, "number": storable(number), "key": storable(key)}).fetchall()
    return sorted((tuple(row) for row in rows), key=lambda row: -row[4])


def list_threads(
    tx: Transaction,
    tenant_id: str,
    *,
    state: str = "",
    chips: Sequence[str] = (),
    before: tuple[int, str] | None = None,
    limit: int = 50,
) -> list[Thread]:
    """A tenant's threads, the latest first; `before` is (last_at in ms, id) of the last one on the page before."""
    where = [thread.c.tenant_id == tenant_id]
    if state:
        where.append(thread.c.state == state)
    if chips:
        where.append(thread.c.chip.in_(chips))
    if before:
        at, thread_id = before
        where.append(thread.c.last_at <= at)  # lets the index begin there; the next line is exact
        where.append(or_(thread.c.last_at < at, and_(thread.c.last_at == at, thread.c.thread_id < thread_id)))
    order = (thread.c.last_at.desc(), thread.c.thread_id.desc())
    return [_thread(row) for row in tx.all(select(*_COLUMNS).where(*where).order_by(*order).limit(limit))]

"""Documents that billing systems handed over, as canonical JSON, and the PDF of each state of them.

A document is known by (tenant, type, the billing system's id). Its PDF is kept by the hash of what it was drawn from,
so the same bytes serve the mail, every reminder and the download (S5). Written by the door and by rendering.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, false, insert, or_, select, update

from gateway.store.database import Prepared, Question, Transaction, from_ms, need_time, to_ms
from gateway.store.schema import document, pdf, revision


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document's facts beside its body; amounts are decimal strings."""

    type: str
    id: str
    number: str
    revision: int
    status: str
    language: str
    currency: str
    customer_id: str
    customer_name: str
    total: str
    balance: str
    issue_date: str
    due_date: str
    body: bytes
    sha256: str
    thread_id: str
    sent_at: datetime | None = None
    automatic_id: str = ""  # the one automatic message
    customer_key: str = ""  # whose it is: store.customers


DOCUMENT_TYPES = (
    "invoice", "estimate", "credit_note", "payment_plan", "receipt", "refund", "autopay_failure", "statement",
    "subscription",
)  # fmt: skip

_NAMES = tuple(StoredDocument.__dataclass_fields__)
_COLUMNS = [document.c["document_id" if name == "id" else name] for name in _NAMES]


_THIS = (
    (document.c.tenant_id == bindparam("k_tenant"))
    & (document.c.type == bindparam("k_type"))
    & (document.c.document_id == bindparam("k_document"))
)


def _key(tenant_id: str, type: str, document_id: str) -> dict[str, Any]:
    return {"k_tenant": tenant_id, "k_type": type, "k_document": document_id}


def put_document(tx: Transaction, now_ms: int, tenant_id: str, made: StoredDocument) -> str:
    """Keep a document or its new state: "received", "updated", or "unchanged"."""
    where = (document.c.tenant_id == tenant_id) & (document.c.type == made.type) & (document.c.document_id == made.id)
    row = tx.first(select(document.c.sha256, document.c.customer_key).where(where))
    history = {"tenant_id": tenant_id, "type": made.type, "document_id": made.id, "sha256": made.sha256,
               "revision": made.revision, "body": made.body, "created_at": now_ms}  # fmt: skip
    if row is None or row[0] != made.sha256:
        tx.change(tx.upsert(revision).values(history).on_conflict_do_nothing())
    values: dict[str, Any] = {
        name: getattr(made, name) for name in _NAMES if name not in ("id", "sent_at", "automatic_id")
    }
    values["updated_at"] = now_ms
    if row is not None and not made.customer_key:  # a mail about it that names no customer: it stays whose it was
        del values["customer_key"]
    if row is None:
        tx.change(insert(document).values(tenant_id=tenant_id, document_id=made.id, created_at=now_ms, **values))
        return "received"
    if row[0] == made.sha256:
        if made.customer_key and row[1] != made.customer_key:  # as an earlier version kept it, without one
            tx.change(update(document).where(where).values(customer_key=made.customer_key))
        return "unchanged"
    tx.change(update(document).where(where).values(**values))
    return "updated"


_NEW = [name for name in ("tenant_id", "document_id", "created_at", "updated_at", *_NAMES) if name != "id"]
_ADD = Prepared(lambda make: make(document).on_conflict_do_nothing(), _NEW)


def add_named(tx: Transaction, now_ms: int, tenant_id: str, made: StoredDocument) -> None:
    """Keep a document that is known by the number in a mail that is being sent; no state of it is remembered."""
    values = {name: getattr(made, name) for name in _NAMES if name != "id"}
    values |= {"tenant_id": tenant_id, "document_id": made.id, "created_at": now_ms, "updated_at": now_ms}
    tx.run(_ADD, values | {"sent_at": now_ms})


def rename_document(tx: Transaction, tenant_id: str, type: str, before: str, now: str) -> None:
    """A document that was known by its number only has an id now; nothing when that one is known already."""
    if get_document(tx, tenant_id, type, now) is not None:
        return
    for table in (document, revision):
        where = (table.c.tenant_id == tenant_id) & (table.c.type == type) & (table.c.document_id == before)
        tx.change(update(table).where(where).values(document_id=now))


_MARK_SENT = Prepared(update(document).where(_THIS, document.c.sent_at.is_(None)).values(sent_at=bindparam("now_ms")))


def mark_sent(tx: Transaction, now_ms: int, tenant_id: str, type: str, document_id: str) -> None:
    """A mail with the document was accepted for sending (S86)."""
    tx.run(_MARK_SENT, _key(tenant_id, type, document_id) | {"now_ms": now_ms})


def unmark_sent(tx: Transaction, tenant_id: str, type: str, document_id: str, at: datetime) -> None:
    """The mail of that moment, which made the document a sent one, was taken back."""
    where = (document.c.tenant_id == tenant_id) & (document.c.type == type) & (document.c.document_id == document_id)
    tx.change(update(document).where(where, document.c.sent_at == to_ms(at)).values(sent_at=None))


def set_automatic(tx: Transaction, tenant_id: str, type: str, document_id: str, message_id: str) -> None:
    """Note the automatic message of a document."""
    where = (document.c.tenant_id == tenant_id) & (document.c.type == type) & (document.c.document_id == document_id)
    tx.change(update(document).where(where).values(automatic_id=message_id))


def set_customer(tx: Transaction, tenant_id: str, type: str, document_id: str, customer_key: str) -> None:
    """Note whose a document is."""
    where = (document.c.tenant_id == tenant_id) & (document.c.type == type) & (document.c.document_id == document_id)
    tx.change(update(document).where(where).values(customer_key=customer_key))


def _document(row: Any) -> StoredDocument:
    values = dict(zip(_NAMES, row, strict=True))
    values["body"] = bytes(values["body"])
    values["sent_at"] = from_ms(values["sent_at"])
    return StoredDocument(**values)


_GET = Prepared(select(*_COLUMNS).where(_THIS))


def get_document(tx: Transaction, tenant_id: str, type: str, document_id: str) -> StoredDocument | None:
    """A document by its key; prepared, since composed mail that shows its number asks for it too."""
    found = tx.rows(document_by_key(tenant_id, type, document_id))
    return _document(found[0]) if found else None


def document_by_key(tenant_id: str, type: str, document_id: str) -> Question:
    """What `get_document` asks."""
    return _GET, _key(tenant_id, type, document_id)


def get_state(tx: Transaction, tenant_id: str, made: StoredDocument, sha256: str) -> bytes | None:
    """The body of a document as it was when it had this hash."""
    where = (revision.c.tenant_id == tenant_id) & (revision.c.type == made.type)
    where &= (revision.c.document_id == made.id) & (revision.c.sha256 == sha256)
    row = tx.first(select(revision.c.body).where(where))
    return bytes(row[0]) if row else None


def find_documents(tx: Transaction, tenant_id: str, number: str) -> list[StoredDocument]:
    """The documents that people call by this number, or that the billing system knows by this id."""
    where = (document.c.number == number) | (document.c.document_id == number)
    return [_document(row) for row in tx.all(select(*_COLUMNS).where(document.c.tenant_id == tenant_id, where))]


def list_documents(tx: Transaction, tenant_id: str, limit: int = 50) -> list[StoredDocument]:
    """A tenant's documents, the latest changed first."""
    order = (document.c.updated_at.desc(), document.c.document_id)
    rows = tx.all(select(*_COLUMNS).where(document.c.tenant_id == tenant_id).order_by(*order).limit(limit))
    return [_document(row) for row in rows]


def put_pdf(
    tx: Transaction, now_ms: int, tenant_id: str, key: tuple[str, str, str], filename: str, content: bytes
) -> None:
    """Keep a drawn PDF; `key` is (type, document id, hash of what it was drawn from). The first one counts."""
    values = {
        "tenant_id": tenant_id,
        "type": key[0],
        "document_id": key[1],
        "sha256": key[2],
        "filename": filename,
        "content": content,
        "created_at": now_ms,
    }
    tx.change(tx.upsert(pdf).values(values).on_conflict_do_nothing())


def get_pdf(tx: Transaction, tenant_id: str, key: tuple[str, str, str]) -> tuple[str, bytes] | None:
    """(file name, bytes) of a PDF, drawn from just this state of the document."""
    where = (pdf.c.tenant_id == tenant_id) & (pdf.c.type == key[0]) & (pdf.c.document_id == key[1])
    row = tx.first(select(pdf.c.filename, pdf.c.content).where(where, pdf.c.sha256 == key[2]))
    return (row[0], bytes(row[1])) if row else None


def latest_pdf(tx: Transaction, tenant_id: str, type: str, document_id: str) -> tuple[str, bytes] | None:
    """(file name, bytes) of the PDF that was drawn last."""
    where = (pdf.c.tenant_id == tenant_id) & (pdf.c.type == type) & (pdf.c.document_id == document_id)
    row = tx.first(select(pdf.c.filename, pdf.c.content).where(where).order_by(pdf.c.created_at.desc()).limit(1))
    return (row[0], bytes(row[1])) if row else None


@dataclass(frozen=True, slots=True)
class KeptPdf:
    """A PDF of a document without its bytes; `key` is the hash of what it was drawn from."""

    key: str
    filename: str
    created_at: datetime


def list_pdfs(tx: Transaction, tenant_id: str, type: str, document_id: str) -> list[KeptPdf]:
    """The PDFs that were drawn of a document, oldest first; a hundred at most."""
    where = (pdf.c.tenant_id == tenant_id) & (pdf.c.type == type) & (pdf.c.document_id == document_id)
    columns = (pdf.c.sha256, pdf.c.filename, pdf.c.created_at)
    rows = tx.all(select(*columns).where(where).order_by(pdf.c.created_at, pdf.c.sha256).limit(100))
    return [KeptPdf(row[0], row[1], need_time(row[2])) for row in rows]


def these_documents(tenant_id: str, keys: Iterable[tuple[str, str]]) -> ColumnElement[bool]:
    """Documents of a tenant by (type, id), found by their key: SQLite reads the whole tenant for pairs in a list."""
    by_type: dict[str, list[str]] = {}
    for type, id in keys:
        by_type.setdefault(type, []).append(id)
    parts = [(document.c.type == type) & document.c.document_id.in_(ids) for type, ids in by_type.items()]
    return (document.c.tenant_id == tenant_id) & or_(false(), *parts)

"""Notes that clerks write into a thread for each other. They never leave: no mail is made of them. Writes `note`."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from gateway.store.database import Transaction, need_time, new_id, storable
from gateway.store.schema import note

NOTE_LENGTH = 10_000  # characters


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody noted."""

    id: str
    thread_id: str
    author: str  # their e-mail
    text: str
    created_at: datetime


_COLUMNS = (note.c.note_id, note.c.thread_id, note.c.author, note.c.text, note.c.created_at)


def put_note(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, author: str, text: str) -> str:
    """Keep a note; its id."""
    note_id = new_id()
    values = {"note_id": note_id, "thread_id": thread_id, "author": author, "text": storable(text)}
    tx.change(insert(note).values(tenant_id=tenant_id, created_at=now_ms, **values))
    return note_id


def drop_note(tx: Transaction, tenant_id: str, note_id: str) -> None:
    """Forget a note."""
    tx.change(delete(note).where(note.c.tenant_id == tenant_id, note.c.note_id == note_id))


def get_note(tx: Transaction, tenant_id: str, note_id: str) -> Note | None:
    """A note of the tenant."""
    row = tx.first(select(*_COLUMNS).where(note.c.tenant_id == tenant_id, note.c.note_id == storable(note_id)))
    return Note(*(*row[:4], need_time(row[4]))) if row else None


def list_notes(tx: Transaction, tenant_id: str, thread_id: str) -> list[Note]:
    """The notes of a thread, oldest first."""
    where = (note.c.tenant_id == tenant_id) & (note.c.thread_id == thread_id)
    rows = tx.all(select(*_COLUMNS).where(where).order_by(note.c.note_id).limit(1000))
    return [Note(*(*row[:4], need_time(row[4]))) for row in rows]

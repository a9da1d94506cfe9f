"""Notes of clerks in a thread. They never leave: nothing makes mail of them. Adding and removing is an event."""

from datetime import datetime

from gateway.inbox.acting import need_thread_of
from gateway.mail.reply import Refused
from gateway.store.database import Transaction, to_ms
from gateway.store.events import add_event
from gateway.store.notes import NOTE_LENGTH, drop_note, get_note, put_note


def add_note(tx: Transaction, now: datetime, tenant_id: str, thread_id: str, text: str, by: str) -> str:
    """Note something in a thread; the note's id. Raises Refused 404 for a foreign thread, 501 for an empty note."""
    text = text.replace("\r\n", "\n").strip()
    if not text or len(text) > NOTE_LENGTH:
        raise Refused(501, "5.5.4", f"a note has 1 to {NOTE_LENGTH} characters, and this one {len(text)}")
    need_thread_of(tx, tenant_id, thread_id)
    note_id = put_note(tx, to_ms(now), tenant_id, thread_id, by, text)
    add_event(tx, to_ms(now), tenant_id, "note.added", thread_id=thread_id, data={"by": by, "note": note_id})
    return note_id


def remove_note(tx: Transaction, now: datetime, tenant_id: str, note_id: str, by: str) -> str:
    """Take a note of one's own away; its thread. Raises Refused 404 when there is none, 550 when it is another's."""
    found = get_note(tx, tenant_id, note_id)
    if found is None:
        raise Refused(404, "5.1.1", f"there is no note {note_id[:40]}")
    if found.author != by:
        raise Refused(550, "5.7.1", f"{found.author} wrote that note; only they may remove it")
    drop_note(tx, tenant_id, note_id)
    data = {"by": by, "note": note_id}
    add_event(tx, to_ms(now), tenant_id, "note.removed", thread_id=found.thread_id, data=data)
    return found.thread_id

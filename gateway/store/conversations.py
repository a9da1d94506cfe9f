"""Which thread a mail belongs to: by the Message-IDs that it answers, or by the number of a document.

Asked by `inbound.replies` for what comes and by `outbound.placing` for what a billing system hands over, so that a
conversation without a document is one thread whoever writes next. Reads only. What a mail names is not to be trusted
beyond its tenant: nothing of another one is ever found.
"""

from collections.abc import Sequence

from sqlalchemy import bindparam, select, text, union_all

from gateway.store.database import Prepared, Transaction, storable
from gateway.store.messages import find_by_message_id
from gateway.store.schema import thread
from gateway.store.threads import Thread, get_thread, threads_by_id

SYNTHETIC_ROOT = "thread."  # of the Message-ID that every thread's first mail refers to (outbound.letterhead)
MOST = 50  # ids of one mail that are looked up


def roots_of(named: Sequence[str]) -> list[str]:
    """The threads whose synthetic root is among these Message-IDs."""
    return [one[len(SYNTHETIC_ROOT) :].partition("@")[0] for one in named if one.startswith(SYNTHETIC_ROOT)]


def find_conversation(tx: Transaction, tenant_id: str, named: Sequence[str]) -> Thread | None:
    """The tenant's thread that these Message-IDs lead to, the best one first; None when none is known here."""
    named = named[:MOST]
    for root in roots_of(named):
        if found := get_thread(tx, tenant_id, root):
            return found
    by_id: dict[str, str] = {}
    for one in find_by_message_id(tx, tenant_id, named):
        by_id |= {one.rfc_message_id: one.thread_id, one.submitted_message_id: one.thread_id}
    ids = [by_id[one] for one in named if one in by_id]
    threads = threads_by_id(tx, tenant_id, ids[:1]) if ids else {}
    return threads.get(ids[0]) if ids else None


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

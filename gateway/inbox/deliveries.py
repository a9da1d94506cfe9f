"""How far each recipient's copy has come, from the rows of the queue and the events that explain them.

Called by `inbox.reading` and `inbox.trace`. One rule stands above the rest (S17): *delivered* is said only when a
success report said so; what a server accepted is *accepted*. Reads; never writes.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from gateway.inbox import views
from gateway.inbox.views import AttemptView, DeliveryView, words
from gateway.outbound.queue import CANCELLED, DELIVERED, FAILED, QUEUED, RELAYED, UNCLEAR
from gateway.store.database import Transaction, from_ms, need_time
from gateway.store.events import Event
from gateway.store.schema import attempt, delivery, message

ATTEMPTS_LIMIT = 5_000  # rows: a thousand recipients, five tries each

_COLUMNS = (
    "message_id number recipient state hold next_attempt_at booked_by attempts code status text host reason settled_at"
).split()
_ATTEMPT_COLUMNS = (
    "message_id number attempt ended_at milliseconds action code status text host tls stage unclear policy".split()
)


def read_deliveries(
    tx: Transaction, tenant_id: str, events: Sequence[Event], *, thread_id: str
) -> tuple[DeliveryView, ...]:
    """Every delivery of a thread's mail with its attempts, in order. Two queries; `events` are those of the thread."""
    attempts: dict[tuple[str, int], list[AttemptView]] = {}
    for row in tx.all(_of_thread(attempt, _ATTEMPT_COLUMNS, tenant_id, thread_id).limit(ATTEMPTS_LIMIT)):
        attempts.setdefault((row[0], row[1]), []).append(_attempt(row))
    notes = _explain(events)
    found = []
    for row in tx.all(_of_thread(delivery, _COLUMNS, tenant_id, thread_id)):
        values = dict(zip(_COLUMNS, row, strict=True))
        key = (values["message_id"], values["number"])
        found.append(_view(values, attempts.get(key, []), notes.get(key, {})))
    return tuple(found)


def _attempt(row: Any) -> AttemptView:
    return AttemptView(
        number=row[2],
        at=need_time(row[3]),
        milliseconds=row[4],
        action=row[5],
        code=row[6],
        status=row[7],
        text=row[8],
        host=row[9],
        tls=row[10],
        stage=row[11],
        unclear=bool(row[12]),
        policy=row[13],
    )


def _of_thread(table: Any, names: Sequence[str], tenant_id: str, thread_id: str) -> Any:
    """Rows of a queue's table for the mail of one thread: a list of messages, which is indexed by thread.

    Joined instead, SQLite would walk all rows of the tenant in the order that is asked for.
    """
    mine = select(message.c.message_id).where(message.c.tenant_id == tenant_id, message.c.thread_id == thread_id)
    where = (table.c.tenant_id == tenant_id) & table.c.message_id.in_(mine)
    return select(*(table.c[name] for name in names)).where(where).order_by(*table.primary_key.columns)


def _explain(events: Sequence[Event]) -> dict[tuple[str, int], dict[str, str]]:
    """(message id, number) -> what only the events know: the report that ended it, since when it is suppressed."""
    notes: dict[tuple[str, int], dict[str, str]] = {}
    for event in events:  # in order: the last end of a delivery is the one that counts
        key = (event.message_id, event.number)
        if event.type in ("recipient.bounced", "recipient.delivered", "recipient.accepted"):
            notes[key] = {"report": str(event.data.get("report", ""))}
        elif event.type == "recipient.suppressed":
            notes[key] = {"ended": views.SUPPRESSED, "since": str(event.data.get("since", ""))}
        elif event.type == "recipient.expired":
            notes[key] = {"ended": views.EXPIRED}
    return notes


def _view(row: dict[str, Any], attempts: Sequence[AttemptView], note: dict[str, str]) -> DeliveryView:
    queued = row["state"] == QUEUED
    accepted = next((made for made in reversed(attempts) if made.action == "relayed"), None)
    settled = from_ms(row["settled_at"])
    if row["state"] == RELAYED and accepted is None:
        accepted_at, accepted_by, said = settled, row["host"], words(row["code"], row["status"], row["text"])
    else:
        accepted_at, accepted_by = (accepted.at, accepted.host) if accepted else (None, "")
        said = accepted.words if accepted else ""
    return DeliveryView(
        message_id=row["message_id"],
        number=row["number"],
        recipient=row["recipient"],
        progress=_progress(row, attempts, note),
        reason=row["reason"],
        words=words(row["code"], row["status"], row["text"]),
        host=row["host"],
        hold=row["hold"],
        next_at=from_ms(row["next_attempt_at"]) if queued and not row["hold"] else None,
        at=settled,
        accepted_at=accepted_at,
        accepted_by=accepted_by,
        accepted_words=said,
        suppressed_since=note.get("since", ""),
        report_id=note.get("report", ""),
        attempts=tuple(attempts),
    )


def _progress(row: dict[str, Any], attempts: Sequence[AttemptView], note: dict[str, str]) -> str:
    state = row["state"]
    if state == QUEUED:
        if row["hold"]:
            return views.HELD
        if row["booked_by"]:
            return views.SENDING
        return views.WAITING if attempts or row["text"] else views.SCHEDULED
    if state == FAILED:
        return note.get("ended", views.BOUNCED)
    return _ENDED.get(state, views.BOUNCED)


_ENDED = {
    RELAYED: views.ACCEPTED,
    DELIVERED: views.DELIVERED,
    CANCELLED: views.CANCELLED,
    UNCLEAR: views.UNCLEAR,
}

"""The timeline: what happened to a document, a message, a delivery or a thread, in order, for ever.

Every room that changes something writes its event in the same transaction. Types are those of docs/smtp.md, "Events";
a type that is not listed there is a bug that a test finds. Data is small JSON for people and webhooks, never a body.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select

from gateway.store.database import Prepared, Transaction, need_time, new_id, storable
from gateway.store.schema import event

TYPES = frozenset(
    """
    document.received document.updated document.paid document.voided document.sent
    message.accepted message.refused message.stored message.held message.canceled message.rendered message.queued
    message.released
    message.linked pdf.downloaded
    attempt
    recipient.accepted recipient.delivered recipient.deferred recipient.bounced recipient.suppressed
    recipient.expired recipient.late recipient.unclear recipient.complained
    reply.received autoreply.received report.received report.ignored
    reminder.scheduled reminder.skipped reminder.paused reminder.resumed
    promise.made promise.kept promise.broken
    thread.opened thread.closed thread.quarantined message.moved contact.added
    thread.waiting thread.snoozed thread.assigned thread.unassigned thread.spam thread.restored
    thread.tagged thread.untagged note.added note.removed
    contact.corrected contact.removed bounce.dismissed customer.renamed
    smtp_account.failed smtp_account.recovered message.rerouted
    mailbox.failed mailbox.recovered mailbox.skipped
    webhook.disabled webhook.enabled
    domain.check_changed domain.key_changed domain.unaligned domain.aligned
    user.password_changed user.second_step_on user.second_step_off user.recovery_codes_made user.recovery_code_used
    user.sessions_ended user.linked user.unlinked
    """.split()
)

_INSERT = Prepared(insert(event), [column.name for column in event.columns])


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a timeline."""

    id: str
    at: datetime
    type: str
    thread_id: str
    message_id: str
    number: int
    data: Mapping[str, Any]


def add_event(
    tx: Transaction,
    now_ms: int,
    tenant_id: str,
    type: str,
    *,
    thread_id: str = "",
    message_id: str = "",
    number: int = 0,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write one event. `now_ms` is milliseconds since 1970."""
    assert type in TYPES, type
    tx.send(
        _INSERT,
        {
            "tenant_id": tenant_id,
            "event_id": new_id(),
            "at": now_ms,
            "type": type,
            "thread_id": thread_id,
            "message_id": message_id,
            "number": number,
            "data": event_data(data),
        },
    )


def event_data(data: Mapping[str, Any] | None) -> str:
    """The facts of an event as they are kept."""
    return storable(json.dumps(data, ensure_ascii=False, separators=(",", ":"))) if data else ""


def latest_event(tx: Transaction, tenant_id: str, thread_id: str, type: str) -> Event | None:
    """The last event of a type in a thread; only what it was and when, not of which delivery."""
    columns = (event.c.event_id, event.c.at, event.c.data)
    where = (event.c.tenant_id == tenant_id) & (event.c.thread_id == thread_id) & (event.c.type == type)
    row = tx.first(select(*columns).where(where).order_by(event.c.event_id.desc()).limit(1))
    return Event(row[0], need_time(row[1]), type, thread_id, "", 0, json.loads(row[2] or "{}")) if row else None


def count_automatic(tx: Transaction, tenant_id: str, thread_id: str, type: str, since_ms: int) -> int:
    """How often since a moment something automatic caused an event of a type in a thread."""
    where = (event.c.tenant_id == tenant_id) & (event.c.thread_id == thread_id) & (event.c.type == type)
    caused = where & (event.c.at >= since_ms) & event.c.data.contains('"automatic":true')
    return int(tx.all(select(func.count()).select_from(event).where(caused))[0][0])


def latest_house_events(tx: Transaction, tenant_id: str, prefix: str, limit: int = 100) -> list[Event]:
    """The last events without a thread whose type begins so, newest first: changes of logins, of domains, ..."""
    columns = (event.c.event_id, event.c.at, event.c.type, event.c.data)
    where = (event.c.tenant_id == tenant_id) & (event.c.thread_id == "") & event.c.type.startswith(prefix)
    rows = tx.all(select(*columns).where(where).order_by(event.c.event_id.desc()).limit(limit))
    return [Event(row[0], need_time(row[1]), row[2], "", "", 0, json.loads(row[3] or "{}")) for row in rows]


def list_events(tx: Transaction, tenant_id: str, *, thread_id: str, limit: int = 1000) -> list[Event]:
    """The timeline of a thread, oldest first."""
    rows = tx.all(
        select(
            event.c.event_id,
            event.c.at,
            event.c.type,
            event.c.thread_id,
            event.c.message_id,
            event.c.number,
            event.c.data,
        )
        .where(event.c.tenant_id == tenant_id, event.c.thread_id == thread_id)
        .order_by(event.c.event_id)
        .limit(limit)
    )
    return [
        Event(
            id=row[0],
            at=need_time(row[1]),
            type=row[2],
            thread_id=row[3],
            message_id=row[4],
            number=row[5],
            data=json.loads(row[6] or "{}"),
        )
        for row in rows
    ]

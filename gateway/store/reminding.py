"""What a decision about a reminder depends on, read from the tables of others: the document, its customer, its mail.

Read by `outbound.reminders` for the daily run, the dry run and the door's transaction alike, so that all three see the
same. Writes nothing. Pages go along the index of due dates, without a document's body, which may be large.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select

from gateway.store.database import Transaction, from_ms, need_time
from gateway.store.reminders import SETTLED, STATE_COLUMNS, Key, ReminderState, state_of
from gateway.store.schema import customer, delivery, document, event, message, reminder, thread

BY_REMINDERS = "the daily reminders"  # what a reminder's message came by, where others name a credential
COMPOSED = b'{"composed"'  # how the body of a document begins of which only X-AR-* fields are known
_MOST_MAILS = 200  # of a thread that are looked at, the latest


@dataclass(frozen=True, slots=True)
class Remindable:
    """A document as the reminders see it. `composed`: the gateway has no data of it, so that it cannot render it."""

    type: str
    id: str
    number: str
    status: str
    customer_name: str
    balance: str
    currency: str
    issue_date: str
    due_date: str
    thread_id: str
    created_at: datetime
    opted_out: bool
    composed: bool
    state: ReminderState = field(default_factory=ReminderState)

    @property
    def key(self) -> Key:
        """Its key within the tenant."""
        return self.type, self.id


@dataclass(frozen=True, slots=True)
class Correspondence:
    """The mail about a document. `failed`: the (lower-case) addresses whose latest delivery failed.

    `sent_at`: when the latest mail went that did not fail; `reminded`: it was a reminder of ours; `waiting`: one has
    not gone yet; `reply_at`: when a person wrote whom nobody has answered.
    """

    sent_at: datetime | None = None
    reminded: bool = False
    waiting: bool = False
    reply_at: datetime | None = None
    failed: frozenset[str] = frozenset()


_COLUMNS = (
    document.c.type,
    document.c.document_id,
    document.c.number,
    document.c.status,
    document.c.customer_name,
    document.c.balance,
    document.c.currency,
    document.c.issue_date,
    document.c.due_date,
    document.c.thread_id,
    document.c.created_at,
    customer.c.opted_out_at,
    func.substr(document.c.body, 1, len(COMPOSED)),
)
_JOINED = document.outerjoin(
    reminder,
    and_(
        reminder.c.tenant_id == document.c.tenant_id,
        reminder.c.type == document.c.type,
        reminder.c.document_id == document.c.document_id,
    ),
).outerjoin(
    customer,
    and_(
        customer.c.tenant_id == document.c.tenant_id,
        customer.c.customer_key == document.c.customer_key,
        document.c.customer_key != "",
    ),
)
_SELECT = select(*_COLUMNS, *STATE_COLUMNS).select_from(_JOINED)


def _remindable(row: Sequence[Any]) -> Remindable:
    values = dict(zip(Remindable.__dataclass_fields__, row, strict=False))
    values |= {
        "created_at": need_time(row[10]),
        "opted_out": row[11] is not None,
        "composed": bytes(row[12] or b"") == COMPOSED,
        "state": state_of(row[13:]),
    }
    return Remindable(**values)


def find_remindable(tx: Transaction, tenant_id: str, key: Key) -> Remindable | None:
    """A document by its key, whatever its state."""
    where = (document.c.tenant_id == tenant_id) & (document.c.type == key[0]) & (document.c.document_id == key[1])
    row = tx.first(_SELECT.where(where))
    return _remindable(row) if row else None


def page_remindable(
    tx: Transaction,
    tenant_id: str,
    type: str,
    *,
    after: tuple[str, str],
    before: str = "",
    limit: int = 500,
    settled_since: int | None = None,
) -> list[Remindable]:
    """A tenant's unsettled documents of a type by due date, those after (due date, id).

    `before` is the due date at which it ends ("": it does not). `settled_since` (ms) takes settled ones that changed
    since then too, for whoever asks why they are not reminded of.
    """
    where = [document.c.tenant_id == tenant_id, document.c.type == type, document.c.due_date >= after[0]]
    where.append(or_(document.c.due_date > after[0], document.c.document_id > after[1]))
    if before:
        where.append(document.c.due_date < before)
    open_ = document.c.status.not_in(SETTLED)
    where.append(open_ if settled_since is None else or_(open_, document.c.updated_at >= settled_since))
    order = (document.c.due_date, document.c.document_id)
    return [_remindable(row) for row in tx.all(_SELECT.where(*where).order_by(*order).limit(limit))]


# -- the mail about it


def read_correspondence(tx: Transaction, tenant_id: str, thread_id: str) -> Correspondence:
    """What went and what came in the thread of a document. Mail that was cancelled, or only a test, is none."""
    columns = (message.c.message_id, message.c.direction, message.c.kind, message.c.credential_id, message.c.created_at)
    where = (message.c.tenant_id == tenant_id) & (message.c.thread_id == thread_id)
    mails = tx.all(select(*columns).where(where).order_by(message.c.message_id.desc()).limit(_MOST_MAILS))
    by_message: dict[str, list[Any]] = {}
    for row in _deliveries(tx, tenant_id, [mail[0] for mail in mails if mail[1] == "out"]):
        by_message.setdefault(row[0], []).append(row)
    sent_at, reminded, waiting = None, False, False
    last: dict[str, str] = {}  # the state of each address's latest delivery
    for mail in mails:
        for _, recipient, state, settled_at in by_message.get(mail[0], ()):
            last.setdefault(recipient.lower(), state)
            waiting = waiting or state == "queued"
            if state in ("relayed", "delivered") and (sent_at is None or settled_at > sent_at):
                sent_at, reminded = settled_at, mail[3] == BY_REMINDERS
    failed = frozenset(address for address, state in last.items() if state == "failed")
    return Correspondence(from_ms(sent_at), reminded, waiting, _reply_at(tx, tenant_id, thread_id, mails), failed)


def waiting_reminders(tx: Transaction, tenant_id: str, thread_id: str) -> list[str]:
    """The reminders in a document's thread that have not arrived anywhere yet."""
    ours = (message.c.tenant_id == tenant_id) & (message.c.thread_id == thread_id)
    ids = select(message.c.message_id).where(ours, message.c.credential_id == BY_REMINDERS)
    where = (delivery.c.tenant_id == tenant_id) & delivery.c.message_id.in_(ids) & (delivery.c.state == "queued")
    return [row[0] for row in tx.all(select(delivery.c.message_id).where(where).distinct())]


def _deliveries(tx: Transaction, tenant_id: str, message_ids: Sequence[str]) -> Sequence[Any]:
    if not message_ids:
        return ()
    columns = (delivery.c.message_id, delivery.c.recipient, delivery.c.state, delivery.c.settled_at)
    where = (delivery.c.tenant_id == tenant_id) & delivery.c.message_id.in_(message_ids)
    return tx.all(select(*columns).where(where, delivery.c.state != "cancelled"))


def _reply_at(tx: Transaction, tenant_id: str, thread_id: str, mails: Sequence[Any]) -> datetime | None:
    """When a person wrote last, unless somebody wrote back since, or closed the thread as done."""
    for message_id, direction, kind, _, created_at in mails:  # the latest first
        if direction == "out" and kind not in ("relay", "document"):
            return None
        if direction == "in" and kind == "person":
            state = select(thread.c.state).where(thread.c.tenant_id == tenant_id, thread.c.thread_id == thread_id)
            row = tx.first(state)
            if row is None or row[0] == "closed" or _closed_since(tx, tenant_id, thread_id, message_id):
                return None
            return from_ms(created_at)
    return None


def _closed_since(tx: Transaction, tenant_id: str, thread_id: str, message_id: str) -> bool:
    """Ids sort by time, those of events and messages alike."""
    where = (event.c.tenant_id == tenant_id) & (event.c.thread_id == thread_id) & (event.c.event_id > message_id)
    told = event.c.type.in_(("thread.closed", "thread.restored"))  # one that was undone does not count
    row = tx.first(select(event.c.type).where(where, told).order_by(event.c.event_id.desc()).limit(1))
    return row is not None and row[0] == "thread.closed"

"""Threads of a tenant's A/R inbox: one per document, one per conversation without a document.

A thread is closed while nothing needs a person. A reply, a permanent bounce or a problem of ours opens it, with the
reason as its chip; a closed thread keeps its last chip, so that opening it again restores it. A person may let it wait
(for the customer, or snoozed until a time), or call it spam, which mail that comes does not open again. `lane` says
where it stands in the lists; it follows from the rest. Written here for all rooms; listed by `store.thread_lists`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, literal_column, null, select, update

from gateway.mail.reasons import VOCABULARY
from gateway.store.database import Prepared, Question, Transaction, from_ms, need_time, new_id, storable
from gateway.store.events import add_event
from gateway.store.schema import tenant, thread

OPEN, WAITING, CLOSED, SPAM = STATES = ("open", "waiting", "closed", "spam")
BOUNCE_CHIPS = (*sorted(VOCABULARY), "unclear")
REPLY_CHIPS = ("reply", "challenge", "complaint")
# where a thread stands in the lists; those of open threads first. "done": a person closed it, or it needed nobody ever
OPEN_LANES = ("bounced", "replies", "problems")
LANES = (*OPEN_LANES, "waiting", "snoozed", "sent", "done", "spam")
AWAKE = "snooze_over"  # the chip of a thread whose snooze has ended
# chips by which mail that came asks for attention: a thread that is spam keeps its peace
_ASKED_BY_MAIL = frozenset((*REPLY_CHIPS, "unclear", "unreadable", "quarantined"))


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
    lane: str = "sent"
    assignee: str = ""  # a user's id
    snoozed_until: datetime | None = None
    promised_on: str = ""  # the day by which the customer promised to pay
    promised_amount: str = ""  # a decimal when only a part was promised


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person changes of a thread, as it can be brought back. `snoozed_until` in ms."""

    state: str
    chip: str
    lane: str
    assignee: str
    unread: int
    snoozed_until: int | None


COLUMNS = tuple(thread.c["thread_id" if name == "id" else name] for name in Thread.__dataclass_fields__)
_INSERTED = [column.name for column in thread.columns]
_INSERT = Prepared(insert(thread), _INSERTED)
_ONE = (thread.c.tenant_id == bindparam("k_tenant")) & (thread.c.thread_id == bindparam("k_thread"))


def thread_of(row: Any) -> Thread:
    """A thread from `COLUMNS`."""
    values = dict(zip(Thread.__dataclass_fields__, row, strict=True))
    values["last_at"], values["created_at"] = need_time(row[10]), need_time(row[11])
    values["snoozed_until"] = from_ms(row[14])
    return Thread(**values)


def _is(tenant_id: str, thread_id: str) -> Any:
    return (thread.c.tenant_id == tenant_id) & (thread.c.thread_id == thread_id)


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
    lane: str = "sent",
) -> str:
    """Make a thread, closed; its id. `document` is (type, id, number); `lane` is "done" for what only came."""
    thread_id = thread_id or new_id()
    tx.send(
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
            "lane": lane,
            "assignee": "",
            "snoozed_until": None,
            "promised_on": "",
            "promised_amount": "",
        },
    )
    return thread_id


def thread_of_document(
    tx: Transaction,
    now_ms: int,
    tenant_id: str,
    document: tuple[str, str, str],
    subject: str,
    customer: str,
    key: str = "",
) -> str:
    """The id of the document's thread, made when it is the first time. `key`: where it is not the document's own."""
    key = key or f"{document[0]}/{document[1]}"
    where = (thread.c.tenant_id == tenant_id) & (thread.c.key == key)
    row = tx.first(select(thread.c.thread_id).where(where))
    if row is None:
        return add_thread(tx, now_ms, tenant_id, key=key, subject=subject, document=document, customer=customer)
    facts = {"document_id": document[1], "document_number": document[2], "customer": customer}
    tx.change(update(thread).where(where).values(last_at=now_ms, **facts))
    return str(row[0])


def name_thread(tx: Transaction, tenant_id: str, thread_id: str, subject: str) -> None:
    """Give a thread the subject of its latest mail, as the customer sees it."""
    tx.change(update(thread).where(_is(tenant_id, thread_id)).values(subject=storable(subject[:998])))


def rename_thread(tx: Transaction, tenant_id: str, thread_id: str, key: str, document_id: str) -> None:
    """Its document was known by its number only and has an id now."""
    tx.change(update(thread).where(_is(tenant_id, thread_id)).values(key=key, document_id=document_id))


_OPENED = {"state": literal_column(f"'{OPEN}'"), "chip": bindparam("k_chip"), "lane": bindparam("k_lane"),
           "unread": thread.c.unread + literal_column("1"), "opened_at": bindparam("opened_ms"),
           "last_at": bindparam("now_ms"), "snoozed_until": null()}  # fmt: skip
_OPEN_THREAD = Prepared(update(thread).where(_ONE).values(_OPENED))
_OPEN_BY_MAIL = Prepared(update(thread).where(_ONE, thread.c.state != literal_column(f"'{SPAM}'")).values(_OPENED))


def open_thread(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, chip: str, **data: Any) -> None:
    """Ask for a person's attention, saying why; once more in the unread count when it is open already.

    One that waits or sleeps waits no more. One that is spam is not opened by mail that comes, only by failures of ours.
    """
    prepared = _OPEN_BY_MAIL if chip in _ASKED_BY_MAIL else _OPEN_THREAD
    values = {"k_tenant": tenant_id, "k_thread": thread_id, "k_chip": chip, "k_lane": lane_of(OPEN, chip),
              "now_ms": now_ms, "opened_ms": now_ms}  # fmt: skip
    if tx.run(prepared, values).rowcount:
        add_event(tx, now_ms, tenant_id, "thread.opened", thread_id=thread_id, data={"chip": chip, **data})
    else:
        touch_thread(tx, now_ms, tenant_id, thread_id)


def close_thread(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, by: str) -> bool:
    """Nothing more is to be done; False when it is closed already, is spam, or not the tenant's."""
    where = _is(tenant_id, thread_id) & thread.c.state.in_((OPEN, WAITING))
    values = {"state": CLOSED, "lane": "done", "unread": 0, "snoozed_until": None}
    if not tx.change(update(thread).where(where).values(**values)):
        return False
    add_event(tx, now_ms, tenant_id, "thread.closed", thread_id=thread_id, data={"by": by})
    return True


# -- what a person decides, and brings back (`inbox.acting`, which writes the events)


def lane_of(state: str, chip: str, *, snoozed: bool = False) -> str:
    """Where a thread stands that a person put into a state."""
    if state == WAITING:
        return "snoozed" if snoozed else "waiting"
    if state in (CLOSED, SPAM):
        return "done" if state == CLOSED else "spam"
    return "bounced" if chip in BOUNCE_CHIPS else "replies" if chip in REPLY_CHIPS else "problems"


_STANDING = (thread.c.thread_id, *(thread.c[name] for name in Standing.__dataclass_fields__))


def read_standings(tx: Transaction, tenant_id: str, thread_ids: Sequence[str]) -> dict[str, Standing]:
    """How threads stand, for whoever changes them in this transaction; those that are not the tenant's are left out."""
    where = (thread.c.tenant_id == tenant_id) & thread.c.thread_id.in_([storable(one) for one in thread_ids])
    wanted = select(*_STANDING).where(where).order_by(thread.c.thread_id)  # the order of locks: the same for everybody
    return {row[0]: Standing(*row[1:]) for row in tx.all(wanted.with_for_update() if tx.skips_locked else wanted)}


def put_standing(tx: Transaction, tenant_id: str, thread_id: str, standing: Standing, opened_ms: int = 0) -> None:
    """Let a thread stand so; `opened_ms` when it is opened by that."""
    values = asdict(standing) | ({"opened_at": opened_ms, "last_at": opened_ms} if opened_ms else {})
    tx.change(update(thread).where(_is(tenant_id, thread_id)).values(**values))


def note_promise(tx: Transaction, tenant_id: str, thread_id: str, on: str, amount: str = "") -> None:
    """The customer promised to pay by a day; "": no promise is open any more. Called by `store.reminders`."""
    tx.change(update(thread).where(_is(tenant_id, thread_id)).values(promised_on=on, promised_amount=amount))


def wake_threads(tx: Transaction, now_ms: int, tenant_id: str, limit: int = 500) -> int:
    """Open those whose snooze has ended, the earliest first; how many. Several nodes may ask at once."""
    due = select(thread.c.thread_id).where(thread.c.tenant_id == tenant_id, thread.c.snoozed_until <= now_ms)
    due = due.order_by(thread.c.snoozed_until).limit(limit)
    rows = tx.all(due.with_for_update(skip_locked=True) if tx.skips_locked else due)
    for (thread_id,) in rows:
        open_thread(tx, now_ms, tenant_id, thread_id, AWAKE)
    return len(rows)


def mark_read(tx: Transaction, tenant_id: str, thread_id: str) -> None:
    """Somebody looked at it."""
    where = _is(tenant_id, thread_id) & (thread.c.unread > 0)
    tx.change(update(thread).where(where).values(unread=0))


_TOUCH = Prepared(update(thread).where(_ONE).values(last_at=bindparam("now_ms")))


def touch_thread(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str) -> None:
    """Something was added to it that needs nobody."""
    tx.run(_TOUCH, {"k_tenant": tenant_id, "k_thread": thread_id, "now_ms": now_ms})


_TOUCH_IF = Prepared(update(thread).where(_ONE, thread.c.key == bindparam("k_key")).values(last_at=bindparam("now_ms")))


def touch_if_still(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, key: str) -> bool:
    """The same, if the thread is still that of its document; False when it is not, and then nothing was done."""
    key = storable(key)
    values = {"k_tenant": tenant_id, "k_thread": thread_id, "k_key": key, "now_ms": now_ms}
    return tx.change_if(_TOUCH_IF, values, key_of_thread(tenant_id, thread_id), (key,), (key,))


_KEY_OF = Prepared(select(thread.c.key).where(_ONE).with_for_update(key_share=True))


def key_of_thread(tenant_id: str, thread_id: str) -> Question:
    """What `touch_if_still` asks."""
    return _KEY_OF, {"k_tenant": tenant_id, "k_thread": thread_id}


_GET = Prepared(select(*COLUMNS).where(_ONE))


def get_thread(tx: Transaction, tenant_id: str, thread_id: str) -> Thread | None:
    """A thread of the tenant."""
    row = tx.run(_GET, {"k_tenant": tenant_id, "k_thread": storable(thread_id)}).fetchone()
    return thread_of(row) if row else None


def threads_by_id(tx: Transaction, tenant_id: str, ids: Sequence[str]) -> dict[str, Thread]:
    """Those of these threads that are the tenant's, by their ids."""
    rows = tx.all(select(*COLUMNS).where(thread.c.tenant_id == tenant_id, thread.c.thread_id.in_(ids))) if ids else []
    return {row[0]: thread_of(row) for row in rows}


def tenant_of_thread(tx: Transaction, thread_id: str) -> str:
    """Whose thread has this id, which only who had its mail knows: so this query has no tenant. "" for none."""
    where = thread.c.tenant_id.in_(select(tenant.c.tenant_id)) & (thread.c.thread_id == storable(thread_id))
    row = tx.first(select(thread.c.tenant_id).where(where))
    return str(row[0]) if row else ""


def find_thread(tx: Transaction, tenant_id: str, key: str) -> Thread | None:
    """A thread by its key (a document's type/id)."""
    row = tx.first(select(*COLUMNS).where(thread.c.tenant_id == tenant_id, thread.c.key == key))
    return thread_of(row) if row else None

"""What was reminded: per document how often and when, a promise to pay, a clerk's pause; per tenant the day.

The one writer of `reminder` and `reminder_run`. Called within the door's transaction, by the run of reminders, and by
the commands and pages with which a clerk pauses reminders or notes a promise. Reading for the decision is
`store.reminding`. Refuses, in words, a pause or a promise that makes no sense; each change is an event in the thread.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import exists, or_, select, update

from gateway.mail.reply import Refused
from gateway.store.database import Transaction, from_ms, storable, to_ms
from gateway.store.documents import StoredDocument, get_document
from gateway.store.events import add_event, list_events
from gateway.store.schema import reminder, reminder_run, template_setting, tenant
from gateway.store.threads import note_promise, open_thread

# No mail asks for anything by itself about a document in one of these states (S33).
SETTLED = ("paid", "voided", "bad_debt", "draft", "declined", "expired", "canceled")
PROMISE_BROKEN = "promise_broken"  # the chip of a thread whose promised day has passed
LONGEST_PROMISE = timedelta(days=366)
Key = tuple[str, str]  # type and id of a document


@dataclass(frozen=True, slots=True)
class Reminded:
    """What was reminded with one template: how often, and the tenant's day of the last.

    `about` is the day that it reminds of: a subscription is counted anew for each renewal. `noted` is the slot and the
    reason of the last `reminder.skipped`, so that it is said once and not every day.
    """

    count: int = 0
    on: str = ""
    about: str = ""
    noted: str = ""


@dataclass(frozen=True, slots=True)
class ReminderState:
    """What is known of a document's reminders beside the document."""

    sent: Mapping[str, Reminded] = field(default_factory=dict, hash=False)
    promised_on: str = ""
    paused_at: datetime | None = None
    paused_why: str = ""


STATE_COLUMNS = (reminder.c.sent, reminder.c.promised_on, reminder.c.paused_at, reminder.c.paused_why)


def state_of(row: Sequence[Any]) -> ReminderState:
    """The state from `STATE_COLUMNS`; each is None when the document has no row yet."""
    sent = {template: Reminded(**values) for template, values in json.loads(row[0] or "{}").items()}
    return ReminderState(sent, row[1] or "", from_ms(row[2]), row[3] or "")


def _is(tenant_id: str, key: Key) -> Any:
    return (reminder.c.tenant_id == tenant_id) & (reminder.c.type == key[0]) & (reminder.c.document_id == key[1])


def read_state(tx: Transaction, tenant_id: str, key: Key) -> ReminderState:
    """The state of a document's reminders."""
    row = tx.first(select(*STATE_COLUMNS).where(_is(tenant_id, key)))
    return state_of(row) if row else ReminderState()


def lock_state(tx: Transaction, now_ms: int, tenant_id: str, key: Key) -> ReminderState:
    """The same, and nobody else may change it until the commit: whoever decides that a reminder goes holds this."""
    begun = {"tenant_id": tenant_id, "type": key[0], "document_id": key[1], "sent": "", "promised_on": "",
             "paused_why": "", "updated_at": now_ms}  # fmt: skip
    tx.change(tx.upsert(reminder).values(begun).on_conflict_do_nothing())
    wanted = select(*STATE_COLUMNS).where(_is(tenant_id, key))
    return state_of(tx.first(wanted.with_for_update() if tx.skips_locked else wanted))


def _change(tx: Transaction, now_ms: int, tenant_id: str, key: Key, **values: Any) -> None:
    lock_state(tx, now_ms, tenant_id, key)
    tx.change(update(reminder).where(_is(tenant_id, key)).values(updated_at=now_ms, **values))


def note_reminder(tx: Transaction, now_ms: int, tenant_id: str, key: Key, template: str, reminded: Reminded) -> None:
    """Keep what was reminded with a template."""
    sent = dict(lock_state(tx, now_ms, tenant_id, key).sent) | {template: reminded}
    kept = {name: {k: v for k, v in asdict(one).items() if v} for name, one in sent.items()}
    _change(tx, now_ms, tenant_id, key, sent=json.dumps(kept, separators=(",", ":")))


def note_skipped(
    tx: Transaction, now_ms: int, tenant_id: str, found: StoredDocument, template: str, slot: str, reason: str, why: str
) -> bool:
    """Say in the thread, once for each slot and reason, that a reminder does not go; whether it was said now."""
    key = (found.type, found.id)
    known = lock_state(tx, now_ms, tenant_id, key).sent.get(template, Reminded())
    if known.noted == f"{slot} {reason}":
        return False
    note_reminder(tx, now_ms, tenant_id, key, template, replace(known, noted=f"{slot} {reason}"))
    data = {"template": template, "slot": slot, "reason": reason, "why": why}
    add_event(tx, now_ms, tenant_id, "reminder.skipped", thread_id=found.thread_id, data=data)
    return True


# -- what a clerk does


def need_document(tx: Transaction, tenant_id: str, key: Key) -> StoredDocument:
    """A document by its key. Raises Refused when the tenant has no such one."""
    found = get_document(tx, tenant_id, *key)
    if found is None:
        raise Refused(550, "5.1.1", f"there is no document {'/'.join(key)[:200]!r}; see `gateway document list`")
    return found


def pause_reminders(tx: Transaction, now: datetime, tenant_id: str, key: Key, why: str, by: str) -> None:
    """No reminders about a document until a person lets them go again. Raises Refused."""
    found, now_ms = need_document(tx, tenant_id, key), to_ms(now)
    why = storable(" ".join(why.split())[:200])
    if not why:
        raise Refused(501, "5.5.4", "say why reminders are paused; whoever reads the thread will ask")
    _change(tx, now_ms, tenant_id, key, paused_at=now_ms, paused_why=why)
    data = {"why": why, "by": by}
    add_event(tx, now_ms, tenant_id, "reminder.paused", thread_id=found.thread_id, data=data)


def resume_reminders(tx: Transaction, now: datetime, tenant_id: str, key: Key, by: str) -> bool:
    """Let reminders go again: ends a pause and forgets a promise; False when there was neither. Raises Refused."""
    found, now_ms = need_document(tx, tenant_id, key), to_ms(now)
    state = read_state(tx, tenant_id, key)
    if state.paused_at is None and not state.promised_on:
        return False
    _change(tx, now_ms, tenant_id, key, paused_at=None, paused_why="", promised_on="")
    note_promise(tx, tenant_id, found.thread_id, "")
    add_event(tx, now_ms, tenant_id, "reminder.resumed", thread_id=found.thread_id, data={"by": by})
    return True


def make_promise(
    tx: Transaction, now: datetime, tenant_id: str, key: Key, on: date, today: date, *, amount: str = "", by: str
) -> None:
    """The customer promised to pay by a day: reminders sleep until it has passed. A later promise replaces it.

    `amount` is a decimal when only a part was promised; `today` is the tenant's. Raises Refused.
    """
    found = need_document(tx, tenant_id, key)
    if found.status in SETTLED:
        raise Refused(554, "5.6.0", f"{found.type} {found.number} is {found.status}; there is nothing to promise")
    if not today <= on <= today + LONGEST_PROMISE:
        raise Refused(501, "5.5.4", f"{on} is past or more than a year ahead; name the day by which they will pay")
    if amount and (_decimal(amount) or 0) <= 0:
        raise Refused(501, "5.5.4", f"{amount[:40]!r} is not an amount; write 1200.00")
    now_ms = to_ms(now)
    _change(tx, now_ms, tenant_id, key, promised_on=on.isoformat())
    note_promise(tx, tenant_id, found.thread_id, on.isoformat(), amount)
    data = {"on": on.isoformat(), "amount": amount, "balance": found.balance, "currency": found.currency, "by": by}
    add_event(tx, now_ms, tenant_id, "promise.made", thread_id=found.thread_id, data=data)


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


# -- what becomes of a promise


def keep_promise(tx: Transaction, now_ms: int, tenant_id: str, key: Key) -> None:
    """A document was handed over anew: a promise about it is kept when it is paid, or the promised part is."""
    row = tx.first(select(reminder.c.promised_on).where(_is(tenant_id, key)))
    found = get_document(tx, tenant_id, *key) if row and row[0] else None
    if found is None:
        return
    kept = found.status == "paid" or _part_is_paid(tx, tenant_id, found)
    if not kept and found.status not in SETTLED:
        return
    _change(tx, now_ms, tenant_id, key, promised_on="")
    note_promise(tx, tenant_id, found.thread_id, "")
    if kept:  # a document that was voided needs no payment: the promise is simply over
        add_event(tx, now_ms, tenant_id, "promise.kept", thread_id=found.thread_id, data={"on": row[0]})


def _part_is_paid(tx: Transaction, tenant_id: str, found: StoredDocument) -> bool:
    made = [e for e in list_events(tx, tenant_id, thread_id=found.thread_id) if e.type == "promise.made"]
    if not made or not (promised := _decimal(str(made[-1].data.get("amount", "")))):
        return False
    before, now = _decimal(str(made[-1].data.get("balance", ""))), _decimal(found.balance)
    return before is not None and now is not None and before - now >= promised


def break_promises(tx: Transaction, now_ms: int, tenant_id: str, today: date) -> int:
    """Promises whose day has passed: an event, and the thread opens for a person; how many."""
    where = (reminder.c.tenant_id == tenant_id) & reminder.c.promised_on.between("0", today.isoformat())
    late = reminder.c.promised_on < today.isoformat()
    count = 0
    for type, document_id, on in tx.all(
        select(reminder.c.type, reminder.c.document_id, reminder.c.promised_on).where(where, late)
    ):
        key = (type, document_id)
        if lock_state(tx, now_ms, tenant_id, key).promised_on != on:  # another node was faster
            continue
        _change(tx, now_ms, tenant_id, key, promised_on="")
        found = get_document(tx, tenant_id, *key)
        if found is not None:
            note_promise(tx, tenant_id, found.thread_id, "")
        if found is not None and found.status not in SETTLED:
            add_event(tx, now_ms, tenant_id, "promise.broken", thread_id=found.thread_id, data={"on": on})
            open_thread(tx, now_ms, tenant_id, found.thread_id, PROMISE_BROKEN, on=on)
            count += 1
    return count


# -- whose turn it is


@dataclass(frozen=True, slots=True)
class TenantRun:
    """A tenant, and the day whose reminders it had last. `busy_until`: a node is at it, unless it died."""

    tenant_id: str
    slug: str
    timezone: str
    options: Mapping[str, Any] = field(hash=False)
    day: str = ""
    busy_until: datetime | None = None
    has_any: bool = False  # whether it may have reminders at all: it chose something, or a promise is noted


def list_runs(tx: Transaction) -> list[TenantRun]:
    """Every tenant that may send, with its last run."""
    joined = tenant.outerjoin(reminder_run, reminder_run.c.tenant_id == tenant.c.tenant_id)
    chose = exists().where(template_setting.c.tenant_id == tenant.c.tenant_id, template_setting.c.language == "")
    promised = exists().where(reminder.c.tenant_id == tenant.c.tenant_id, reminder.c.promised_on != "")
    columns = (tenant.c.tenant_id, tenant.c.slug, tenant.c.timezone, tenant.c.options, reminder_run.c.day,
               reminder_run.c.ended_at, or_(chose, promised))  # fmt: skip
    rows = tx.all(select(*columns).select_from(joined).where(tenant.c.suspended_at.is_(None)).order_by(tenant.c.slug))
    return [TenantRun(r[0], r[1], r[2], json.loads(r[3] or "{}"), r[4] or "", from_ms(r[5]), bool(r[6])) for r in rows]


def claim_run(tx: Transaction, now_ms: int, tenant_id: str, day: str, until_ms: int, *, again: bool = False) -> bool:
    """Take a tenant's run of a day until then; False when another node is at it, or it is done and not wanted again.

    While a run is under way its row says until when it is claimed; a node that dies costs that time and no more.
    """
    begun = {"tenant_id": tenant_id, "day": "", "ended_at": None}
    tx.change(tx.upsert(reminder_run).values(begun).on_conflict_do_nothing())
    free = or_(reminder_run.c.ended_at.is_(None), reminder_run.c.ended_at <= now_ms)
    where = (reminder_run.c.tenant_id == tenant_id) & free
    if not again:
        where &= reminder_run.c.day < day
    return bool(tx.change(update(reminder_run).where(where).values(ended_at=until_ms)))


def extend_run(tx: Transaction, tenant_id: str, until_ms: int) -> None:
    """The run goes on."""
    tx.change(update(reminder_run).where(reminder_run.c.tenant_id == tenant_id).values(ended_at=until_ms))


def end_run(tx: Transaction, now_ms: int, tenant_id: str, day: str) -> None:
    """The run of a day is done; with day "" it was given up and is another's to take."""
    values: dict[str, Any] = {"ended_at": now_ms} | ({"day": day} if day else {})
    tx.change(update(reminder_run).where(reminder_run.c.tenant_id == tenant_id).values(**values))

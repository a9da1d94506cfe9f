"""Deliveries and attempts: one delivery per message and recipient, with a return path of its own.

Written here only. Enqueued by the door, claimed by `outbound.delivery`, settled by an SMTP reply now or by a report
days later, both as a `DeliveryStatus`. An attempt is booked before anybody dials: the row's next attempt is set to the
end of a lease, committed, and only then is the remote spoken to; so a crash costs one lease and needs no sweeper, and
"in flight" is no state. Scheduled is no state either: it is a later next attempt.

    queued -> relayed | failed | cancelled | unclear     relayed, unclear -> delivered | failed (by a report only)
    queued -> delivered | failed by a report to its own return path: the next hop has it, though it did not tell us so
    unclear: the final dot went unanswered as often as it may be tried; it may have arrived, a person decides
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, bindparam, case, exists, func, insert, literal_column, or_, select, text, update

from gateway.mail.reasons import is_recipient_fault, reason_of
from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.retry import Retry
from gateway.outbound.retry_options import read_retry
from gateway.outbound.suppression import suppress
from gateway.store.database import Prepared, Question, Transaction, foresees, from_ms, need_time
from gateway.store.events import add_event
from gateway.store.messages import DATED, add_flags
from gateway.store.schema import attempt, delivery, message, tenant_queue
from gateway.store.tenants import get_tenant
from gateway.store.threads import open_thread

QUEUED, RELAYED, FAILED, CANCELLED, DELIVERED = "queued", "relayed", "failed", "cancelled", "delivered"
UNCLEAR = "unclear"
OUTCOMES = "outcomes"  # written beside what is accepted: they wait for other rows
UNANSWERED = "unanswered"  # the chip of a thread with a delivery whose final dot nobody answered
PARKED = "parked"  # the chip of a thread with a delivery that crashed us three times
OUR_FAULT = "gateway"  # the stage of an attempt that failed on our side
CRASHES = 3  # failures on our side after which a delivery waits for a person
MOST_APART = 600  # seconds over which what a node may have died of is spread
DAY_MS = 86_400_000
STATES = (QUEUED, RELAYED, FAILED, CANCELLED, DELIVERED, UNCLEAR)

# What a report may still change. Anything else that a report says is noted and has no effect.
REPORTED: dict[tuple[str, Action], str] = {
    (RELAYED, Action.FAILED): FAILED,
    (RELAYED, Action.DELIVERED): DELIVERED,
    (UNCLEAR, Action.FAILED): FAILED,
    (UNCLEAR, Action.DELIVERED): DELIVERED,
}
# Of a delivery that was tried: the dot went unanswered, or the report was faster than our note of the 250.
REPORTED_EARLY: dict[Action, str] = {Action.FAILED: FAILED, Action.DELIVERED: DELIVERED}


@dataclass(frozen=True, slots=True)
class Booked:
    """A delivery whose attempt is booked by this node. `raw` is None when the bytes are only in the database."""

    tenant_id: str
    message_id: str
    number: int
    thread_id: str
    recipient: str
    token: str
    attempts: int  # this one included
    expires_at: int  # ms
    notify: str = ""
    raw: bytes | None = None
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended, as `outbound.delivery` saw it."""

    status: DeliveryStatus
    stage: str = ""
    tls: str = ""
    milliseconds: int = 0
    unclear: bool = False
    wait: int = 0  # seconds until the next try, as the remote asked; 0: as usual
    route: str = ""  # direct, relay or smtp: docs/smtp.md
    policy: str = ""  # what TLS had to prove


@dataclass(frozen=True, slots=True)
class Postponed:
    """A delivery that was booked and not tried: until when (seconds since 1970), and what its destination rests for."""

    until: float
    why: DeliveryStatus | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient of a message to be queued, with the token of its return path and RFC 3461's NOTIFY."""

    address: str
    token: str
    notify: str = ""


_ENQUEUE = Prepared(insert(delivery), [column.name for column in delivery.columns])
_ATTEMPT = Prepared(insert(attempt), [column.name for column in attempt.columns])
_KEY = (
    (delivery.c.tenant_id == bindparam("k_tenant"))
    & (delivery.c.message_id == bindparam("k_message"))
    & (delivery.c.number == bindparam("k_number"))
)
_SETTLE = Prepared(
    update(delivery)
    .where(_KEY, delivery.c.state == bindparam("k_state"))
    .values(
        {
            name: bindparam(name)
            for name in (
                "state",
                "next_attempt_at",
                "booked_by",
                "code",
                "status",
                "text",
                "host",
                "reason",
                "settled_at",
            )
        }
    )
)
# whose row is about to change; the order of the keys is that of `_state_of`
_STATE = Prepared(select(delivery.c.state).where(_KEY).with_for_update(key_share=True))
_WAKE = Prepared(
    update(tenant_queue)
    .where(
        tenant_queue.c.tenant_id == bindparam("k_tenant"),
        or_(tenant_queue.c.due_at.is_(None), tenant_queue.c.due_at > bindparam("k_due")),
    )
    .values(due_at=bindparam("due_at"))
)


_BEGIN_SUMMARY = Prepared(
    lambda insert: (
        insert(tenant_queue)
        .values(tenant_id=bindparam("tenant_id"), due_at=bindparam("due_at"), served_at=bindparam("served_at"))
        .on_conflict_do_nothing()
    )
)


_WAKE_ALONE = Prepared(lambda insert: _wake_alone(insert(tenant_queue)))


def _wake_alone(insert: Any) -> Any:
    """Both in one, for SQLite, where nobody else can be locked out."""
    made = insert.values(tenant_id=bindparam("tenant_id"), due_at=bindparam("due_at"), served_at=bindparam("served_at"))
    later = or_(tenant_queue.c.due_at.is_(None), tenant_queue.c.due_at > made.excluded.due_at)
    keys = [tenant_queue.c.tenant_id]
    return made.on_conflict_do_update(index_elements=keys, set_={"due_at": made.excluded.due_at}, where=later)


def wake(tx: Transaction, tenant_id: str, due_at: int, *, ring: bool = False) -> None:
    """Let the tenant's summary say that something is due at `due_at` (ms) or before; `ring`: now, for any process."""
    if ring:
        tx.ring()
    if tx.memo.get((wake, tenant_id), due_at + 1) <= due_at:
        return
    tx.memo[wake, tenant_id] = due_at
    if not tx.skips_locked:
        tx.run(_WAKE_ALONE, {"tenant_id": tenant_id, "due_at": due_at, "served_at": 0})
    elif not tx.run(_WAKE, {"k_tenant": tenant_id, "k_due": due_at, "due_at": due_at}).rowcount:
        # nothing to change, or the tenant's first mail ever; an upsert would lock the row against other nodes
        tx.run(_BEGIN_SUMMARY, {"tenant_id": tenant_id, "due_at": due_at, "served_at": 0})


def enqueue(
    tx: Transaction,
    now_ms: int,
    tenant_id: str,
    message_id: str,
    thread_id: str,
    recipients: Sequence[Recipient],
    *,
    node: str = "",
    due_at: int,
    expires_at: int,
    hold: str = "",
) -> list[Booked]:
    """Queue a message for its recipients.

    With `node` the first attempt is booked for it at once (then `due_at` is the end of the lease), so that the node
    that accepted the message can send it without a second transaction.
    """
    booked = []
    for number, recipient in enumerate(recipients, 1):
        tx.send(
            _ENQUEUE,
            {
                "tenant_id": tenant_id,
                "message_id": message_id,
                "number": number,
                "thread_id": thread_id,
                "recipient": recipient.address,
                "token": recipient.token,
                "state": QUEUED,
                "hold": hold,
                "next_attempt_at": due_at,
                "booked_by": node,
                "attempts": 1 if node else 0,
                "expires_at": expires_at,
                "code": 0,
                "status": "",
                "text": "",
                "host": "",
                "reason": "",
                "notify": recipient.notify,
                "settled_at": None,
                "created_at": now_ms,
                "unclear": 0,
                "late_at": None,
            },
        )
        booked.append(
            Booked(tenant_id, message_id, number, thread_id, recipient.address, recipient.token, 1, expires_at,
                   recipient.notify)
        )  # fmt: skip
    wake(tx, tenant_id, due_at, ring=not node and due_at <= now_ms)
    return booked


# -- claiming

_CLAIM_COLUMNS = (
    delivery.c.message_id,
    delivery.c.number,
    delivery.c.thread_id,
    delivery.c.recipient,
    delivery.c.token,
    delivery.c.attempts,
    delivery.c.expires_at,
    delivery.c.notify,
    delivery.c.booked_by,
)
# how many bookings ago an attempt was ended: each that ends leaves a row with its number
_UNENDED = delivery.c.attempts - func.coalesce(
    select(func.max(attempt.c.attempt))
    .where(
        attempt.c.tenant_id == delivery.c.tenant_id,
        attempt.c.message_id == delivery.c.message_id,
        attempt.c.number == delivery.c.number,
    )
    .correlate(delivery)
    .scalar_subquery(),
    0,
)
# literals, since an index over some rows serves only a query that says which ones
_WAITS = (delivery.c.state == literal_column("'queued'")) & (delivery.c.hold == literal_column("''"))
_BOOKED = delivery.c.booked_by != literal_column("''")
_TURN = Prepared(
    select(tenant_queue.c.tenant_id)
    .where(tenant_queue.c.due_at <= bindparam("k_now"))
    .order_by(tenant_queue.c.served_at)
    .with_for_update(skip_locked=True)  # SQLite has one writer at a time
    .suffix_with(text("LIMIT :k_limit"))
)
_DUE = Prepared(
    select(*_CLAIM_COLUMNS)
    .where(delivery.c.tenant_id == bindparam("k_tenant"), _WAITS, delivery.c.next_attempt_at <= bindparam("k_now"))
    .order_by(delivery.c.next_attempt_at)
    .with_for_update(skip_locked=True)  # what is being cancelled or released right now is not booked
    .suffix_with(text("LIMIT :k_limit"))
)
_RECKON = Prepared(
    update(tenant_queue)
    .where(tenant_queue.c.tenant_id == bindparam("k_tenant"))
    .values(
        due_at=select(func.min(delivery.c.next_attempt_at))
        .where(delivery.c.tenant_id == bindparam("k_tenant"), _WAITS)
        .scalar_subquery(),
        served_at=bindparam("served_at"),
    )
)
_BOOK = Prepared(
    update(delivery)
    .where(_KEY)
    .values(next_attempt_at=bindparam("until"), booked_by=bindparam("node"), attempts=bindparam("count"))
)


def claim(tx: Transaction, now_ms: int, node: str, *, limit: int, lease_ms: int) -> list[Booked]:
    """Book what is due, at most `limit`: a fair share for each tenant, the one served longest ago first.

    The rows of these tenants are locked until the commit, so that nodes which claim at once serve different tenants.
    """
    turn = tx.run(_TURN, {"k_now": now_ms, "k_limit": min(limit, 64)})
    tenants = [row[0] for row in turn.fetchall()]
    booked: list[Booked] = []
    for left, tenant_id in zip(range(len(tenants), 0, -1), tenants, strict=True):
        share = max((limit - len(booked)) // left, 1)
        booked += _claim_tenant(tx, now_ms, node, tenant_id, share, lease_ms)
        if len(booked) >= limit:
            break
    return booked


def _claim_tenant(tx: Transaction, now_ms: int, node: str, tenant_id: str, share: int, lease_ms: int) -> list[Booked]:
    rows = tx.run(_DUE, {"k_tenant": tenant_id, "k_now": now_ms, "k_limit": share}).fetchall()
    booked, changes = [], []
    for row in rows:
        made = Booked(tenant_id, row[0], row[1], row[2], row[3], row[4], row[5] + 1, row[6], row[7])
        if row[8] and _crashed(tx, now_ms, made):  # somebody had booked it, and is gone
            continue
        key = {"k_tenant": tenant_id, "k_message": made.message_id, "k_number": made.number}
        changes.append(key | {"until": now_ms + lease_ms, "node": node, "count": made.attempts})
        booked.append(made)
    if changes:
        tx.run_many(_BOOK, changes)
    tx.memo.pop((wake, tenant_id), None)  # it may say later from now on
    tx.run(_RECKON, {"k_tenant": tenant_id, "served_at": now_ms})
    return booked


def recover(tx: Transaction, now_ms: int, node: str) -> int:
    """Make due at once what a former life of this node had booked; how many. The node's name must be its own.

    What it may have died of is tried a second apart, so that the next death shows which it is; the third parks it.
    """
    count = 0
    any_of = exists().where(delivery.c.tenant_id == tenant_queue.c.tenant_id, _BOOKED, delivery.c.booked_by == node)
    for (tenant_id,) in tx.all(select(tenant_queue.c.tenant_id).where(any_of)):
        ours = (delivery.c.tenant_id == tenant_id) & _BOOKED & (delivery.c.booked_by == node) & _WAITS
        suspects = tx.all(select(*_FOUND_COLUMNS).where(ours, _UNENDED >= CRASHES - 1).order_by(delivery.c.token))
        found = tx.change(update(delivery).where(ours).values(next_attempt_at=now_ms, booked_by=""))
        left = [made for made in (Booked(*row) for row in suspects) if not _crashed(tx, now_ms, made, 0)]
        for place, made in enumerate(left):
            at_ms = now_ms + 1000 * min(place, MOST_APART)
            tx.change(update(delivery).where(_is(made)).values(next_attempt_at=at_ms))
        if found:
            wake(tx, tenant_id, now_ms)
            count += found
    return count


def _crashed(tx: Transaction, now_ms: int, made: Booked, booked: int = 1) -> bool:
    """Whether its last attempts, `booked` just now aside, were never ended, three in a row: then it is parked.

    A process that is killed tells nobody why; what it had in hand each time is what a person should look at.
    """
    if made.attempts - booked < CRASHES:
        return False
    row = tx.first(select(_UNENDED).where(_is(made)))
    if row is None or row[0] < CRASHES:
        return False
    tx.change(update(delivery).where(_is(made)).values(booked_by=""))
    _park(tx, now_ms, made, f"the gateway ended {CRASHES} times in a row while sending it; its log may say why")
    return True


def mend_summaries(tx: Transaction) -> int:
    """Lower each tenant's `due_at` to the truth where it is too late; how many were.

    Two nodes can pass each other: a claim writes the summary from what it saw while another's enqueue was not committed
    yet. Run now and then, this is the guarantee; the summaries are only speed.
    """
    waiting = (delivery.c.tenant_id == tenant_queue.c.tenant_id) & (delivery.c.state == QUEUED)
    earliest = (
        select(func.min(delivery.c.next_attempt_at))
        .where(waiting, delivery.c.hold == "")
        .correlate(tenant_queue)
        .scalar_subquery()
    )
    late = or_(tenant_queue.c.due_at.is_(None) & earliest.is_not(None), tenant_queue.c.due_at > earliest)
    tx.memo.clear()
    return tx.change(update(tenant_queue).where(late).values(due_at=earliest))


def unbook(tx: Transaction, now_ms: int, booked: Iterable[Booked]) -> None:
    """Give back attempts that were booked and never made (a node that stops in good order)."""
    for made in booked:
        where = (
            (delivery.c.tenant_id == made.tenant_id)
            & (delivery.c.message_id == made.message_id)
            & (delivery.c.number == made.number)
            & (delivery.c.state == QUEUED)
            & (delivery.c.booked_by != "")
            & (delivery.c.attempts == made.attempts)
        )
        tx.change(
            update(delivery).where(where).values(next_attempt_at=now_ms, booked_by="", attempts=made.attempts - 1)
        )
        wake(tx, made.tenant_id, now_ms, ring=True)


# -- settling


def _asked_to_settle(now_ms: int, made: Booked, how: Attempt, retry: Retry) -> Iterable[Question]:
    return (_state_of(made),)


def _state_of(made: Booked) -> Question:
    return _STATE, {"k_tenant": made.tenant_id, "k_message": made.message_id, "k_number": made.number}


@foresees(_asked_to_settle, lane=OUTCOMES)
def settle(tx: Transaction, now_ms: int, made: Booked, how: Attempt, retry: Retry) -> str:
    """Write the outcome of an attempt; the delivery's state after it.

    A passing outcome waits for the next try, or expires. A failed one opens the thread with its reason, and suppresses
    the address when the fault is the recipient's own. `retry` is the house's; the tenant's own is read when it counts.
    """
    status = how.status if how.status.reason else how.status.because(_reason(how.status))
    _note_attempt(tx, now_ms, made, how, status)
    if status.action is Action.RELAYED:
        if _change(tx, now_ms, made, QUEUED, RELAYED, status):  # else it was cancelled, or a report was faster
            _event(tx, now_ms, made, "recipient.accepted", status)
        return RELAYED
    if status.permanent:
        if _change(tx, now_ms, made, QUEUED, FAILED, status):
            _fail(tx, now_ms, made, status, "recipient.bounced", may_suppress=True)
        return FAILED
    if how.unclear and _count_unclear(tx, made) > retry.unclear:
        if _change(tx, now_ms, made, QUEUED, UNCLEAR, status):
            _event(tx, now_ms, made, "recipient.unclear", status)
            open_thread(tx, now_ms, made.tenant_id, made.thread_id, UNANSWERED, recipient=made.recipient)
        return UNCLEAR
    if now_ms >= made.expires_at:
        if _change(tx, now_ms, made, QUEUED, FAILED, status.because("expired")):
            _fail(tx, now_ms, made, status.because("expired"), "recipient.expired", may_suppress=False)
        return FAILED
    retry = read_retry(tx, made.tenant_id, how.route, retry)
    wait = retry.wait(made.attempts, random.random())  # noqa: S311 jitter, no secret
    next_at = now_ms + int(1000 * (how.wait * (1 + retry.jitter * random.random()) if how.wait else wait))  # noqa: S311
    next_at = min(next_at, max(made.expires_at, now_ms + 1000))
    if _change(tx, now_ms, made, QUEUED, QUEUED, status, next_at):
        wake(tx, made.tenant_id, next_at)
        _event(tx, now_ms, made, "recipient.deferred", status)
        _note_late(tx, now_ms, made, status, retry)
    return QUEUED


def _count_unclear(tx: Transaction, made: Booked) -> int:
    """Note one more attempt whose final dot went unanswered; how many there are."""
    tx.change(update(delivery).where(_is(made)).values(unclear=delivery.c.unclear + 1))
    row = tx.first(select(delivery.c.unclear).where(_is(made)))
    return int(row[0]) if row else 0


def _note_late(tx: Transaction, now_ms: int, made: Booked, status: DeliveryStatus, retry: Retry) -> None:
    """Tell the thread, once, that a mail is late: whoever asks after an invoice should not have to count attempts."""
    late = delivery.c.late_at.is_(None) & (delivery.c.created_at <= now_ms - int(retry.late * 1000))
    if tx.change(update(delivery).where(_is(made), late).values(late_at=now_ms)):
        _event(tx, now_ms, made, "recipient.late", status)


def postpone(tx: Transaction, now_ms: int, postponed: Sequence[tuple[Booked, Postponed]]) -> None:
    """Give back attempts that were booked and not made, since their destination rests: they wait until it may be spoken
    to again, spread over half a minute, and say what for."""
    for made, until in postponed:
        spread = random.random() * 30_000 if until.why else 0  # noqa: S311 no secret
        next_at = min(max(int(until.until * 1000 + spread), now_ms), max(made.expires_at, now_ms))
        booked = _is(made) & (delivery.c.state == QUEUED) & (delivery.c.booked_by != "")
        booked &= delivery.c.attempts == made.attempts
        values: dict[str, object] = {"next_attempt_at": next_at, "booked_by": "", "attempts": made.attempts - 1}
        if until.why is not None:
            why = until.why
            values |= {"code": why.code, "status": why.status, "text": why.text, "host": why.host,
                       "reason": why.reason or _reason(why)}  # fmt: skip
            if tx.change(update(delivery).where(booked, delivery.c.text == "").values(**values)):
                _event(tx, now_ms, made, "recipient.deferred", why, untried="yes")
                wake(tx, made.tenant_id, next_at)
                continue
        tx.change(update(delivery).where(booked).values(**values))
        wake(tx, made.tenant_id, next_at)


def _reason(status: DeliveryStatus) -> str:
    return "" if status.action in (Action.RELAYED, Action.DELIVERED, Action.EXPANDED) else reason_of(status)


def _note_attempt(tx: Transaction, now_ms: int, made: Booked, how: Attempt, status: DeliveryStatus) -> None:
    tx.send(
        _ATTEMPT,
        {
            "tenant_id": made.tenant_id,
            "message_id": made.message_id,
            "number": made.number,
            "attempt": made.attempts,
            "ended_at": now_ms,
            "milliseconds": how.milliseconds,
            "action": str(status.action),
            "code": status.code,
            "status": status.status,
            "text": status.text,
            "host": status.host,
            "tls": how.tls,
            "stage": how.stage,
            "unclear": int(how.unclear),
            "route": how.route,
            "policy": how.policy,
        },
    )


def _change(
    tx: Transaction, now_ms: int, made: Booked, before: str, after: str, status: DeliveryStatus, next_at: int = 0
) -> bool:
    """Move a delivery; False when it is no longer in the state `before` (somebody was faster)."""
    return tx.change_if(
        _SETTLE,
        {
            "k_tenant": made.tenant_id,
            "k_message": made.message_id,
            "k_number": made.number,
            "k_state": before,
            "state": after,
            "next_attempt_at": next_at,
            "booked_by": "",
            "code": status.code,
            "status": status.status,
            "text": status.text,
            "host": status.host,
            "reason": status.reason,
            "settled_at": None if after == QUEUED else now_ms,
        },
        _state_of(made),
        (before,),
        (after,),
    )


def _event(tx: Transaction, now_ms: int, made: Booked, type: str, status: DeliveryStatus, **more: str) -> None:
    data: dict[str, object] = {"recipient": made.recipient, "words": status.words, "host": status.host}
    if status.reason:
        data["reason"] = status.reason
    add_event(
        tx,
        now_ms,
        made.tenant_id,
        type,
        thread_id=made.thread_id,
        message_id=made.message_id,
        number=made.number,
        data=data | more,
    )


def _fail(tx: Transaction, now_ms: int, made: Booked, status: DeliveryStatus, type: str, *, may_suppress: bool) -> None:
    _event(tx, now_ms, made, type, status)
    open_thread(tx, now_ms, made.tenant_id, made.thread_id, status.reason, recipient=made.recipient)
    if may_suppress and is_recipient_fault(status):
        suppress(tx, now_ms, made.tenant_id, made.recipient, status.reason, status.words, made.message_id)


def expire(tx: Transaction, now_ms: int, made: Booked) -> None:
    """End a delivery whose mail means nothing any more: the booked attempt is not made, and the thread opens."""
    last = tx.first(select(delivery.c.code, delivery.c.status, delivery.c.text, delivery.c.host).where(_is(made)))
    status = DeliveryStatus(Action.FAILED, last.status, last.code, last.text, last.host, "expired")
    if _change(tx, now_ms, made, QUEUED, FAILED, status):
        tx.change(update(delivery).where(_is(made)).values(attempts=made.attempts - 1))
        tenant = get_tenant(tx, made.tenant_id)
        until = need_time(made.expires_at).astimezone(ZoneInfo(tenant.timezone if tenant else "UTC"))
        _event(tx, now_ms, made, "recipient.expired", status, until=f"{until:%Y-%m-%d %H:%M}")
        open_thread(tx, now_ms, made.tenant_id, made.thread_id, status.reason, recipient=made.recipient)


def settle_suppressed(tx: Transaction, now_ms: int, made: Booked, since: str, reason: str, evidence: str) -> None:
    """End a delivery to a suppressed address at once, visibly: nobody is asked, the thread opens."""
    status = DeliveryStatus(Action.FAILED, "", 0, evidence, "", reason)
    if _change(tx, now_ms, made, QUEUED, FAILED, status):
        _event(tx, now_ms, made, "recipient.suppressed", status, since=since)
        open_thread(tx, now_ms, made.tenant_id, made.thread_id, reason, recipient=made.recipient)


def report(
    tx: Transaction, now_ms: int, made: Booked, status: DeliveryStatus, *, report_message_id: str, trusted: bool
) -> str:
    """Spend what a report says about one delivery: "failed", "delivered", "delayed", or "ignored" with no effect.

    `trusted` reports came to the delivery's own return path; only they may suppress the address.
    """
    status = status if status.reason else status.because(_reason(status))
    row = tx.first(select(delivery.c.state, delivery.c.attempts).where(_is(made)))
    state, tries = (row[0], row[1]) if row else ("", 0)
    early = trusted and state == QUEUED and tries > 0
    after = REPORTED_EARLY.get(status.action) if early else REPORTED.get((state, status.action))
    if after and _change(tx, now_ms, made, state, after, status):
        if after == FAILED:
            _event(tx, now_ms, made, "recipient.bounced", status, report=report_message_id)
            open_thread(tx, now_ms, made.tenant_id, made.thread_id, status.reason, recipient=made.recipient)
            if trusted and is_recipient_fault(status):
                suppress(tx, now_ms, made.tenant_id, made.recipient, status.reason, status.words, made.message_id)
        else:
            _event(tx, now_ms, made, "recipient.delivered", status, report=report_message_id)
        return after
    if status.action is Action.DELAYED and state in (RELAYED, QUEUED):
        _event(tx, now_ms, made, "recipient.deferred", status, report=report_message_id)
        return "delayed"
    _event(tx, now_ms, made, "report.ignored", status, report=report_message_id, state=state)
    if trusted and state == FAILED and status.action is Action.FAILED and is_recipient_fault(status):
        # the outcome was known already, perhaps by a report that nobody vouches for; this one is vouched for
        suppress(tx, now_ms, made.tenant_id, made.recipient, status.reason, status.words, made.message_id)
    return "ignored"


def _is(made: Booked) -> ColumnElement[bool]:
    return (
        (delivery.c.tenant_id == made.tenant_id)
        & (delivery.c.message_id == made.message_id)
        & (delivery.c.number == made.number)
    )


def with_content(made: Booked, raw: bytes, flags: int) -> Booked:
    """The same delivery with its message's bytes at hand."""
    return Booked(
        made.tenant_id, made.message_id, made.number, made.thread_id, made.recipient, made.token, made.attempts,
        made.expires_at, made.notify, raw, flags,
    )  # fmt: skip


def any_due(tx: Transaction, now_ms: int) -> bool:
    """Whether some tenant has something due: asked before the claim's write transaction."""
    return tx.first(select(tenant_queue.c.tenant_id).where(tenant_queue.c.due_at <= now_ms).limit(1)) is not None


# -- finding

_FOUND_COLUMNS = (
    delivery.c.tenant_id,
    delivery.c.message_id,
    delivery.c.number,
    delivery.c.thread_id,
    delivery.c.recipient,
    delivery.c.token,
    delivery.c.attempts,
    delivery.c.expires_at,
    delivery.c.notify,
)
_BY_TOKEN = Prepared(select(*_FOUND_COLUMNS).where(delivery.c.token == bindparam("k_token")))


def find_token(tx: Transaction, token: str) -> Booked | None:
    """The delivery with this return path. The token is what names the tenant, so this one query has none."""
    row = tx.run(_BY_TOKEN, {"k_token": token}).fetchone()
    return Booked(*row) if row else None


def find_deliveries(tx: Transaction, tenant_id: str, message_id: str) -> list[Booked]:
    """All deliveries of a message."""
    where = (delivery.c.tenant_id == tenant_id) & (delivery.c.message_id == message_id)
    return [Booked(*row) for row in tx.all(select(*_FOUND_COLUMNS).where(where).order_by(delivery.c.number))]


def note_fault(tx: Transaction, now_ms: int, made: Booked) -> None:
    """A delivery failed on our side: the third time it is held and shown, since trying on would not help."""
    faults = select(func.count()).where(_tries(made), attempt.c.stage == OUR_FAULT)
    if tx.first(faults)[0] >= CRASHES:
        _park(tx, now_ms, made, f"the gateway failed {CRASHES} times while sending it; its log says why")


def note_broken_off(tx: Transaction, now_ms: int, booked: Iterable[Booked]) -> None:
    """Note attempts that a node broke off when it stopped in good order: they stay booked, and nobody died of them."""
    for made in booked:
        still = _is(made) & (delivery.c.state == QUEUED) & _BOOKED & (delivery.c.attempts == made.attempts)
        if tx.first(select(delivery.c.number).where(still)) is not None:  # else its outcome is written already
            words = "the gateway was stopped before an answer came; it may have arrived"
            status = DeliveryStatus(Action.DELAYED, "4.3.2", 0, words)
            _note_attempt(tx, now_ms, made, Attempt(status, "stop"), status)


def _park(tx: Transaction, now_ms: int, made: Booked, why: str) -> None:
    if hold(tx, now_ms, made.tenant_id, (made.message_id, made.number), why):
        open_thread(tx, now_ms, made.tenant_id, made.thread_id, PARKED, recipient=made.recipient)


def _tries(made: Booked) -> ColumnElement[bool]:
    return (
        (attempt.c.tenant_id == made.tenant_id)
        & (attempt.c.message_id == made.message_id)
        & (attempt.c.number == made.number)
    )


def _dated(tenant_id: str, message_id: str) -> ColumnElement[bool]:
    """Whether a message means nothing any more when its deliveries expire."""
    where = (message.c.tenant_id == tenant_id) & (message.c.message_id == message_id)
    return exists().where(where, message.c.flags.op("&")(DATED) != 0)


def is_waiting(tx: Transaction, tenant_id: str, message_id: str) -> bool:
    """Whether a message is queued and nobody has tried it yet: what was held or scheduled."""
    where = (delivery.c.tenant_id == tenant_id) & (delivery.c.message_id == message_id)
    untried = where & (delivery.c.state == QUEUED) & (delivery.c.attempts == 0)
    return tx.first(select(delivery.c.number).where(untried).limit(1)) is not None


def reschedule(tx: Transaction, tenant_id: str, message_id: str, at_ms: int | None) -> datetime | None:
    """Move the first attempt of a message that waits (None: leave it), and when it is given up; when it is."""
    where = (delivery.c.tenant_id == tenant_id) & (delivery.c.message_id == message_id)
    untried = where & (delivery.c.state == QUEUED) & (delivery.c.attempts == 0)
    lasts = case((_dated(tenant_id, message_id), 0), else_=at_ms - delivery.c.next_attempt_at) if at_ms else 0
    values = {"next_attempt_at": at_ms, "expires_at": delivery.c.expires_at + lasts}
    if at_ms is not None and tx.change(update(delivery).where(untried).values(**values)):
        wake(tx, tenant_id, at_ms, ring=True)
    row = tx.first(select(func.min(delivery.c.next_attempt_at)).where(untried))
    return from_ms(row[0])


def set_expiry(tx: Transaction, tenant_id: str, message_id: str, expires_at: int, flags: int) -> None:
    """Let a message that waits be given up at another time (ms); `flags` is DATED when it means nothing then."""
    untried = _of(tenant_id, (message_id, 0)) & (delivery.c.state == QUEUED) & (delivery.c.attempts == 0)
    if tx.change(update(delivery).where(untried).values(expires_at=expires_at)):
        add_flags(tx, tenant_id, message_id, flags)


def hasten(tx: Transaction, now_ms: int, tenant_id: str, message_id: str) -> int:
    """Let what waits of a message be tried now; how many. None while one of them is under way or may have arrived."""
    queued = _of(tenant_id, (message_id, 0)) & (delivery.c.state == QUEUED)
    doubtful = queued & or_(delivery.c.booked_by != "", delivery.c.unclear > 0)
    if tx.first(select(delivery.c.number).where(doubtful).limit(1)) is not None:
        return 0
    changed = tx.change(update(delivery).where(queued, delivery.c.hold == "").values(next_attempt_at=now_ms))
    if changed:
        wake(tx, tenant_id, now_ms, ring=True)
    return changed


# -- what people do with it


def hold(tx: Transaction, now_ms: int, tenant_id: str, key: tuple[str, int], why: str) -> int:
    """Keep queued deliveries back until released; how many. `key` is (message id, number or 0 for all of them)."""
    changed = tx.change(update(delivery).where(_of(tenant_id, key), delivery.c.state == QUEUED).values(hold=why[:500]))
    if changed:
        _note(tx, now_ms, tenant_id, key, "message.held", why)
    return changed


def release(tx: Transaction, now_ms: int, tenant_id: str, key: tuple[str, int], by: str) -> int:
    """Let held or waiting deliveries go now; how many. One that is being tried right now is not tried twice.

    What was held until its time was nearly over is tried for a day more, unless its mail means nothing then.
    """
    queued = _of(tenant_id, key) & (delivery.c.state == QUEUED)
    short = queued & (delivery.c.hold != "") & (delivery.c.expires_at < now_ms + DAY_MS) & ~_dated(tenant_id, key[0])
    tx.change(update(delivery).where(short).values(expires_at=now_ms + DAY_MS))
    waiting, under_way = queued & (delivery.c.booked_by == ""), queued & (delivery.c.booked_by != "")
    changed = tx.change(update(delivery).where(waiting).values(hold="", next_attempt_at=now_ms))
    changed += tx.change(update(delivery).where(under_way, delivery.c.hold != "").values(hold=""))
    if changed:
        wake(tx, tenant_id, now_ms, ring=True)
        _note(tx, now_ms, tenant_id, key, "message.released", by)
    return changed


def cancel(tx: Transaction, now_ms: int, tenant_id: str, key: tuple[str, int], by: str) -> int:
    """End deliveries that are still queued, for good; how many. One that is being tried right now may yet arrive."""
    values = {"state": CANCELLED, "hold": "", "booked_by": "", "settled_at": now_ms}
    changed = tx.change(update(delivery).where(_of(tenant_id, key), delivery.c.state == QUEUED).values(**values))
    if changed:
        _note(tx, now_ms, tenant_id, key, "message.canceled", by)
    return changed


def uncancel(tx: Transaction, now_ms: int, tenant_id: str, message_id: str, at_ms: int, by: str) -> int:
    """Queue again what was cancelled at that very moment and nobody had tried, for when it was to go; how many."""
    ended = _of(tenant_id, (message_id, 0)) & (delivery.c.state == CANCELLED) & (delivery.c.attempts == 0)
    values = {"state": QUEUED, "settled_at": None}
    changed = tx.change(update(delivery).where(ended, delivery.c.settled_at == at_ms).values(**values))
    if changed:
        wake(tx, tenant_id, now_ms, ring=True)
        _note(tx, now_ms, tenant_id, (message_id, 0), "message.queued", by)
    return changed


def retry_failed(tx: Transaction, now_ms: int, tenant_id: str, key: tuple[str, int], by: str, expires_at: int) -> int:
    """Queue again what failed, was cancelled, is unclear, or waits; how many. What was relayed is never sent twice."""
    released = release(tx, now_ms, tenant_id, key, by)
    again = delivery.c.state.in_((FAILED, CANCELLED, UNCLEAR))
    values = {"state": QUEUED, "hold": "", "next_attempt_at": now_ms, "booked_by": "", "settled_at": None,
              "unclear": 0, "expires_at": expires_at}  # fmt: skip
    changed = tx.change(update(delivery).where(_of(tenant_id, key), again).values(**values))
    if changed:
        wake(tx, tenant_id, now_ms, ring=True)
        _note(tx, now_ms, tenant_id, key, "message.queued", by)
    return changed + released


def _of(tenant_id: str, key: tuple[str, int]) -> ColumnElement[bool]:
    message_id, number = key
    where = (delivery.c.tenant_id == tenant_id) & (delivery.c.message_id == message_id)
    return where & (delivery.c.number == number) if number else where


def _note(tx: Transaction, now_ms: int, tenant_id: str, key: tuple[str, int], type: str, why: str) -> None:
    message_id, number = key
    thread_id = tx.first(select(delivery.c.thread_id).where(_of(tenant_id, key)).limit(1))[0]
    add_event(tx, now_ms, tenant_id, type, thread_id=thread_id, message_id=message_id, number=number, data={"why": why})

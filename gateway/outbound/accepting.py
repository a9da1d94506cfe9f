"""The door's transaction: a message and its deliveries are kept, scheduled, or stored only, all in one commit.

Called by `submission.accept` on the writer thread. Everything that an X-AR-* field decides about whether and when mail
leaves is decided here, with the document's state at hand: the triggers, their hold, exactly one automatic mail for a
document, idempotency keys, suppressed recipients. The answer says in words what was decided.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.mail.reply import Refused
from gateway.mail.verp import return_token
from gateway.outbound import automation
from gateway.outbound.control import Control
from gateway.outbound.customers import keep_customer, keep_mailed
from gateway.outbound.desk import Desk, Stale
from gateway.outbound.document_keeping import keep_document
from gateway.outbound.document_mail import stored
from gateway.outbound.handed import Asked, Handed, Ready, Receipt
from gateway.outbound.limits import spend
from gateway.outbound.placing import about_document, adopt, find_place
from gateway.outbound.queue import Booked, Recipient, cancel, enqueue, set_expiry, settle_suppressed, with_content
from gateway.outbound.reminding import follow_document
from gateway.outbound.retry import Retry
from gateway.outbound.suppression import get_suppressed
from gateway.store.database import Transaction, random_bytes, to_ms
from gateway.store.documents import StoredDocument, get_document, mark_sent
from gateway.store.events import add_event
from gateway.store.idempotency import Remembered, find_key, remember_key
from gateway.store.messages import DATED, Message, add_message
from gateway.store.threads import add_thread, open_thread, thread_of_document, touch_if_still, touch_thread
from gateway.store.undoing import UNDO_MS

NO_ADDRESS = "no_address"  # the chip of a thread whose document nobody can be sent


@dataclass(frozen=True, slots=True)
class Terms:
    """How this node queues. `node` is "" when it cannot send at once."""

    node: str
    lease_ms: int
    retry: Retry


def keep(tx: Transaction, terms: Terms, desk: Desk, handed: Handed, ready: Ready, now: datetime) -> Receipt:
    """Keep what is ready. Raises Stale when the desk is outdated, Refused in words."""
    desk.check(tx)
    now_ms, control = to_ms(now), ready.control
    seen = _seen(tx, now_ms, desk, ready)
    if seen is not None:
        return seen
    _check_state(tx, desk, handed, ready)
    ready, changed, known = _place(tx, now_ms, desk, ready)
    plan = automation.plan(tx, desk, ready, changed, now, known)
    if plan.existing:  # the automatic mail of the document, still held: with the corrections, and its time anew
        if control.expires is not None:
            expires_at, dated = _expiry(terms, desk, control, plan.at or now)
            set_expiry(tx, desk.tenant.id, plan.existing, expires_at, DATED * dated)
        text = _held(plan.existing, plan.at or now, now, desk)
        return Receipt(plan.existing, ready.message.thread_id, text, outcome="held")
    if plan.at is None:
        return _store_only(tx, now_ms, desk, ready, plan.why)
    _check_template(desk, ready, explicit=not control.event)
    receipt = _queue(tx, terms, desk, handed, ready, plan.at, now)
    if control.event and plan.automatic:
        automation.mark(tx, desk, ready)
    elif ready.message.document_type and not (control.test or ready.noted or (known is not None and known.sent_at)):
        mark_sent(tx, now_ms, desk.tenant.id, ready.message.document_type, ready.message.document_id)
    _remember(tx, now_ms, desk, ready)
    return receipt


def keep_stored(
    tx: Transaction, terms: Terms, desk: Desk, asked: Asked, ready: Ready, stored: StoredDocument, now: datetime
) -> Receipt:
    """Keep the message that sends a stored document. Raises Stale when desk or document are outdated, Refused."""
    desk.check(tx)
    tenant_id, message = desk.tenant.id, ready.message
    current = get_document(tx, tenant_id, stored.type, stored.id)
    if current is None or current.sha256 != stored.sha256:
        raise Stale
    _check_template(desk, ready, explicit=True)
    why = asked.gate(tx, current, message.id) if asked.gate is not None else ""
    if why:
        return Receipt("", stored.thread_id, f"Not sent: {why}", outcome="stored")
    automation.sent_by_hand(tx, desk, current, now)
    handed = Handed(tenant_id, asked.by, ready.recipients, b"")
    receipt = _queue(tx, terms, desk, handed, ready, ready.control.first_attempt(now), now)
    mark_sent(tx, to_ms(now), tenant_id, stored.type, stored.id)
    touch_thread(tx, to_ms(now), tenant_id, stored.thread_id)
    return receipt


def _seen(tx: Transaction, now_ms: int, desk: Desk, ready: Ready) -> Receipt | None:
    key = ready.control.idempotency_key
    if not key or "duplicate" in ready.control.force:
        return None
    known = find_key(tx, now_ms, desk.tenant.id, key)
    if known is None:
        return None
    if known.digest != ready.digest:
        first = known.message_id or "stored"
        words = f"the idempotency key {key[:60]!r} was used for other content ({first}); use a new key for new content"
        raise Refused(554, "5.6.0", words)
    name = known.message_id or "what was stored"
    text = f"Duplicate of {name} by idempotency key, nothing sent"
    return Receipt(known.message_id, known.thread_id, text, outcome="duplicate")


def _check_state(tx: Transaction, desk: Desk, handed: Handed, ready: Ready) -> None:
    """A document that was read back from the store must not take the place of a later state of it."""
    document = ready.document if handed.state else None
    current = get_document(tx, desk.tenant.id, document.type, document.id) if document else None
    if document and (current is None or current.sha256 != handed.state):
        raise Refused(451, "4.3.2", "the document is being changed; try again in a moment")


def _remember(tx: Transaction, now_ms: int, desk: Desk, ready: Ready) -> None:
    key = ready.control.idempotency_key
    if key and find_key(tx, now_ms, desk.tenant.id, key) is None:
        made = Remembered(ready.digest, ready.message.id, ready.message.thread_id)
        remember_key(tx, now_ms, desk.tenant.id, key, made)


# -- where it belongs


def _place(tx: Transaction, now_ms: int, desk: Desk, ready: Ready) -> tuple[Ready, bool, StoredDocument | None]:
    """(it in its thread, whether its document is new or changed, the stored document where it was read anyway)."""
    tenant_id, message = desk.tenant.id, ready.message
    document = ready.document
    if document is None:
        ready, known = _place_relay(tx, now_ms, tenant_id, ready)
        return ready, True, known
    about = about_document(document, [rcpt.address for rcpt in ready.recipients])
    adopt(tx, tenant_id, about, find_place(tx, now_ms, tenant_id, about, ""))
    key = (document.type, document.id, document.number)
    thread_id = thread_of_document(tx, now_ms, tenant_id, key, document.number, ready.customer, about.key)
    customer = keep_customer(tx, now_ms, tenant_id, document, ready.named)
    row = stored(document, thread_id, document.canonical(), customer)
    kept = keep_document(tx, now_ms, tenant_id, row, message.id)
    if kept == "updated":
        follow_document(tx, now_ms, tenant_id, (document.type, document.id), thread_id, document.status)
    # what is sent by hand is what was handed over; an automatic mail holds the document as it is when it goes (S28)
    detail = message.detail if ready.control.event else {**message.detail, "state": row.sha256}
    return replace(ready, message=replace(message, thread_id=thread_id, detail=detail)), kept != "unchanged", None


def _place_relay(tx: Transaction, now_ms: int, tenant_id: str, ready: Ready) -> tuple[Ready, StoredDocument | None]:
    """Keep a composed mail's thread and what is known of its document; with that, where it was read anyway."""
    if not (ready.about.standing and _still_stands(tx, now_ms, tenant_id, ready)):
        ready = _find_again(tx, now_ms, tenant_id, ready)
    customer_key = keep_mailed(tx, now_ms, tenant_id, ready.control, ready.named)
    return ready, automation.keep_facts(tx, now_ms, tenant_id, ready, customer_key)


def _still_stands(tx: Transaction, now_ms: int, tenant_id: str, ready: Ready) -> bool:
    return touch_if_still(tx, now_ms, tenant_id, ready.message.thread_id, ready.about.standing)


def _find_again(tx: Transaction, now_ms: int, tenant_id: str, ready: Ready) -> Ready:
    """Ask once more where a mail belongs, now that nobody else can change it, and keep its thread."""
    control, thread_id = ready.control, ready.message.thread_id
    place = find_place(tx, now_ms, tenant_id, ready.about, thread_id)
    if place.thread_id != thread_id or (control.named and place.document_id != control.document_id):
        raise Stale  # the first mail about its document was accepted while this one was being signed
    if place.known:
        adopt(tx, tenant_id, ready.about, place)
        touch_thread(tx, now_ms, tenant_id, thread_id)
    else:
        key = (control.document_type, control.document_id, control.number)
        add_thread(
            tx, now_ms, tenant_id, thread_id,
            key=place.key, subject=ready.message.subject, document=key, customer=ready.customer,
        )  # fmt: skip
    decided = control.event or control.test or control.template == "none"  # whether it is sent is seen later
    return replace(ready, noted=True) if control.named and not place.known and not decided else ready


def _check_template(desk: Desk, ready: Ready, *, explicit: bool) -> None:
    template = ready.message.template
    if template and explicit and not desk.uses(template):
        raise Refused(550, "5.7.1", f"the template {template} is off for this tenant; turn it on, or use another")


# -- what becomes of it


def _store_only(tx: Transaction, now_ms: int, desk: Desk, ready: Ready, why: str) -> Receipt:
    """Keep the document or the mail, and send nothing: said in the answer and in the thread."""
    message, tenant_id = ready.message, desk.tenant.id
    message_id = ""
    if ready.raw:  # a composed mail has no other home; a document is rendered anew when it is sent
        add_message(tx, message, ready.raw)
        message_id = message.id
    data = {"why": why, "event": ready.control.event}
    add_event(tx, now_ms, tenant_id, "message.stored", thread_id=message.thread_id, message_id=message_id, data=data)
    if ready.document is not None and ready.control.event and not ready.recipients:
        open_thread(tx, now_ms, tenant_id, message.thread_id, NO_ADDRESS)
    _remember(tx, now_ms, desk, replace(ready, message=replace(message, id=message_id)))
    return Receipt(message_id, message.thread_id, f"Stored only: {why}", outcome="stored")


def _queue(
    tx: Transaction, terms: Terms, desk: Desk, handed: Handed, ready: Ready, at: datetime, now: datetime
) -> Receipt:
    now_ms, control, message = to_ms(now), ready.control, ready.message
    if not control.test:
        spend(tx, desk, handed.credential, len(ready.recipients), now, forced="limit" in control.force)
    expires_at, dated = _expiry(terms, desk, control, max(at, now))
    message = replace(message, flags=message.flags | DATED) if dated else message
    add_message(tx, message, ready.raw)
    later = at > now
    node = "" if later or control.test else terms.node
    due_at = to_ms(at) if later else now_ms + terms.lease_ms if node else now_ms
    booked = enqueue(
        tx,
        now_ms,
        message.tenant_id,
        message.id,
        message.thread_id,
        [Recipient(str(r.address), return_token(random_bytes(10)), r.notify) for r in ready.recipients],
        node=node,
        due_at=due_at,
        expires_at=expires_at,
    )
    text = _answer(tx, now_ms, desk, ready, at, now) + _to_known(ready)
    _note_accepted(tx, now_ms, handed, message, len(booked), text)
    left, notes = (booked, []) if "suppressed" in control.force else _drop_suppressed(tx, now_ms, booked)
    if node:
        left = [with_content(made, ready.raw, message.flags) if ready.raw else made for made in left]
    outcome = "test" if control.test else "held" if later else "queued"
    return Receipt(message.id, message.thread_id, "; ".join([text, *notes]), tuple(left) if node else (), outcome)


def _expiry(terms: Terms, desk: Desk, control: Control, start: datetime) -> tuple[int, bool]:
    """(when the mail is given up in ms, whether it means nothing then): its own time, or the tenant's if shorter."""
    given_up = to_ms(start) + int(1000 * terms.retry.chosen(desk.tenant.options, desk.route).expire)
    ends = control.ends(start, desk.tenant.timezone)
    return (to_ms(ends), True) if ends and to_ms(ends) <= given_up else (given_up, False)


def _answer(tx: Transaction, now_ms: int, desk: Desk, ready: Ready, at: datetime, now: datetime) -> str:
    """The sentence of the answer; a test ends here, and a held mail is noted."""
    message = ready.message
    if ready.control.test:
        cancel(tx, now_ms, message.tenant_id, (message.id, 0), "X-AR-Test: nothing leaves")
        return f"Test {message.id}, thread {message.thread_id}: everything is right, nothing leaves"
    if at > now:
        if to_ms(at) - now_ms > UNDO_MS:  # a hold that is over before anybody could read of it is no news
            data = {"why": ready.control.event or "scheduled", "until": at.isoformat()}
            add_event(tx, now_ms, message.tenant_id, "message.held", thread_id=message.thread_id,
                      message_id=message.id, data=data)  # fmt: skip
        return _held(message.id, at, now, desk)
    text = f"Queued {message.id}, thread {message.thread_id}"
    return f"{text}, template {message.template}" if ready.document is not None else text


def _to_known(ready: Ready) -> str:
    """What is said when a document names no address, and its customer's known contacts are mailed."""
    if not ready.message.detail.get("known_contacts"):
        return ""
    named = ", ".join(str(one.address) for one in ready.recipients[:10])
    return f"; the document names no address, so it goes to the customer's known contacts ({named})"


def _held(message_id: str, at: datetime, now: datetime, desk: Desk) -> str:
    zone = ZoneInfo(desk.tenant.timezone)
    local = at.astimezone(zone)
    form = "%H:%M:%S" if local.date() == now.astimezone(zone).date() else "%Y-%m-%d %H:%M:%S"
    return f"Held until {local:{form}} {message_id}; cancel with: gateway queue cancel {message_id}"


def _note_accepted(tx: Transaction, now_ms: int, handed: Handed, message: Message, count: int, text: str) -> None:
    data = {
        "recipients": count,
        "credential": handed.credential,
        "peer": handed.peer,
        "size": message.size,
        "reply": f"250 2.0.0 {text}",
    }
    add_event(
        tx, now_ms, message.tenant_id, "message.accepted", thread_id=message.thread_id, message_id=message.id, data=data
    )


def _drop_suppressed(tx: Transaction, now_ms: int, booked: list[Booked]) -> tuple[list[Booked], list[str]]:
    left, notes = [], []
    for made in booked:
        found = get_suppressed(tx, now_ms, made.tenant_id, made.recipient)
        if found is None:
            left.append(made)
            continue
        since = f"{found.created_at:%Y-%m-%d}"
        settle_suppressed(tx, now_ms, made, since, found.reason, found.evidence)
        words = found.evidence or found.reason
        notes.append(f"{made.recipient} is suppressed since {since} ({words}) and was not mailed")
    return left, notes

"""Automatic mail of a document: exactly one, held for corrections, and none once it was sent, paid or voided (S23-S34).

Used inside the door's transaction (`outbound.accepting`), where the document's row and its pending mail are at hand.
`triggers` decides; here the decision meets what is in the database.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.mail.reply import Refused
from gateway.outbound.customers import unwanted_by
from gateway.outbound.desk import Desk
from gateway.outbound.handed import Ready
from gateway.outbound.queue import cancel, hold, is_waiting, reschedule, uncancel
from gateway.outbound.reminders import REMINDING
from gateway.outbound.reminding import hindrance, open_ledger
from gateway.outbound.triggers import SETTLED, TRIGGERS, Facts, Trigger, choice_of, decide, earliest, need_trigger
from gateway.store.database import Transaction, to_ms
from gateway.store.documents import (
    DOCUMENT_TYPES,
    StoredDocument,
    add_named,
    get_document,
    mark_sent,
    put_document,
    set_automatic,
    unmark_sent,
)
from gateway.store.events import list_events
from gateway.store.messages import Message
from gateway.store.reminders import keep_promise
from gateway.store.reminding import COMPOSED as COMPOSED


@dataclass(frozen=True, slots=True)
class Plan:
    """When the mail goes; None: stored only. `existing` is the held automatic mail that stands for this one."""

    at: datetime | None
    why: str = ""
    existing: str = ""
    automatic: bool = False


def plan(
    tx: Transaction, desk: Desk, ready: Ready, changed: bool, now: datetime, known: StoredDocument | None = None
) -> Plan:
    """What is to be done with a message, and with the automatic mail that its document may be waiting for.

    `known` is the stored document when the caller has just read it.
    """
    control, message = ready.control, ready.message
    if control.template == "none" and ready.document is None:
        return Plan(None, "X-AR-Template is none")
    if ready.noted or (not message.document_type and not control.event):  # most mail: nothing to look up
        return Plan(control.first_attempt(now))
    document = known or get_document(tx, desk.tenant.id, message.document_type, message.document_id)
    waiting = document is not None and bool(document.automatic_id) and _waits(tx, desk, document.automatic_id)
    if control.template == "none" and ready.document is not None:
        if document is not None and waiting:
            _correct(tx, desk, document, changed, now)
        return Plan(None, "X-AR-Template is none")
    if not control.event:
        if document is not None and waiting:  # sent by hand before: no automatic mail (S29)
            _cancel(tx, desk, document, now, "it was sent by hand")
        return Plan(control.first_attempt(now))
    return _plan_event(tx, desk, ready, document, waiting, changed, now)


def _plan_event(
    tx: Transaction, desk: Desk, ready: Ready, document: StoredDocument | None, waiting: bool, changed: bool,
    now: datetime,
) -> Plan:  # fmt: skip
    trigger = need_trigger(ready.control.event)
    facts = _facts(ready, document)
    if document is not None and waiting and (facts.status in SETTLED or not trigger.holds):
        _correct(tx, desk, document, changed, now)
        waiting = waiting and facts.status not in SETTLED
    if trigger.holds and document is not None and document.automatic_id:
        if not waiting:
            return Plan(None, f"the automatic mail of this document was made already ({document.automatic_id})")
        if ready.document is not None:
            at = _correct(tx, desk, document, changed, now)
            return Plan(at, existing=document.automatic_id)
        _cancel(tx, desk, document, now, "a corrected mail takes its place")
    choice = choice_of(trigger.template, desk.settings) if trigger.template else None
    decision = decide(ready.control.event, choice, facts, now, desk.tenant.timezone)
    if decision.at is not None and document is not None:
        unwanted = unwanted_by(tx, desk.tenant.id, document.customer_key, trigger.template)
        if unwanted:
            return Plan(None, unwanted)
    if decision.at is not None and ready.document is not None and not ready.recipients:
        return Plan(None, "the document names no address to send to")
    if decision.at is not None and (why := _hindrance(tx, desk, ready, trigger, now)):
        return Plan(None, why)
    return Plan(decision.at, decision.why, automatic=trigger.holds)


def _hindrance(tx: Transaction, desk: Desk, ready: Ready, trigger: Trigger, now: datetime) -> str:
    """Why a reminder that a billing system asks for must not go: the same rules as for those of our own."""
    message = ready.message
    if trigger.holds or trigger.template not in REMINDING or not message.document_type or ready.control.test:
        return ""
    ledger = open_ledger(desk.tenant.id, desk.settings, desk.tenant.timezone)
    addresses = tuple(rcpt.address for rcpt in ready.recipients)
    return hindrance(tx, ledger, (message.document_type, message.document_id), trigger.template, addresses, now)


def _facts(ready: Ready, document: StoredDocument | None) -> Facts:
    if ready.document is not None:
        status, issued = ready.document.status, ready.document.issue_date
    else:
        status, issued = ready.control.status, ready.control.issued
    return Facts(status, issued, bool(document and document.sent_at))


def _waits(tx: Transaction, desk: Desk, message_id: str) -> bool:
    return is_waiting(tx, desk.tenant.id, message_id)


def _correct(tx: Transaction, desk: Desk, document: StoredDocument, changed: bool, now: datetime) -> datetime:
    """Bring the held mail in line with its document: cancelled when settled, its time anew when changed (S28, S33)."""
    if document.status in SETTLED:
        _cancel(tx, desk, document, now, f"the document is {document.status}")
        return now
    trigger = next(t for t in TRIGGERS.values() if t.holds)  # all holds are of one length
    at = earliest(trigger, Facts(document.status, document.issue_date), now, desk.tenant.timezone)
    return reschedule(tx, desk.tenant.id, document.automatic_id, to_ms(at) if changed else None) or at


def sent_by_hand(tx: Transaction, desk: Desk, document: StoredDocument, now: datetime) -> None:
    """The document is sent another way just now: its automatic mail, while it waits, is cancelled (S29)."""
    if document.automatic_id and _waits(tx, desk, document.automatic_id):
        _cancel(tx, desk, document, now, "it was sent by hand")


def taken_back(tx: Transaction, now: datetime, made: Message, by: str) -> None:
    """A mail sent by hand was taken back: its document is unsent, and the automatic mail that it cancelled waits again.

    Not when the document was settled or sent another way meanwhile. What a person held is held again.
    """
    unmark_sent(tx, made.tenant_id, made.document_type, made.document_id, made.created_at)
    found = get_document(tx, made.tenant_id, made.document_type, made.document_id)
    if found is None or not found.automatic_id or found.status in SETTLED or found.sent_at is not None:
        return
    automatic, now_ms = found.automatic_id, to_ms(now)
    if not uncancel(tx, now_ms, made.tenant_id, automatic, to_ms(made.created_at), by):
        return
    held = [event for event in list_events(tx, made.tenant_id, thread_id=made.thread_id)
            if event.message_id == automatic and event.type in ("message.held", "message.released")]  # fmt: skip
    if held and held[-1].type == "message.held" and "until" not in held[-1].data:  # else the door's: it ends by itself
        hold(tx, now_ms, made.tenant_id, (automatic, 0), str(held[-1].data.get("why", "")))


def _cancel(tx: Transaction, desk: Desk, document: StoredDocument, now: datetime, why: str) -> None:
    cancel(tx, to_ms(now), desk.tenant.id, (document.automatic_id, 0), why)


def mark(tx: Transaction, desk: Desk, ready: Ready) -> None:
    """This message is the one automatic mail of its document."""
    message = ready.message
    if message.document_type:
        set_automatic(tx, desk.tenant.id, message.document_type, message.document_id, message.id)


def keep_facts(
    tx: Transaction, now_ms: int, tenant_id: str, ready: Ready, customer_key: str = ""
) -> StoredDocument | None:
    """Give a composed mail's document a row, so that "sent" and "one automatic mail" have a place.

    Only what X-AR-* fields say is known of it; a document that was handed over as data is never overwritten by less:
    then it is returned as it is kept, so that nobody needs to read it again.
    """
    control = ready.control
    if not control.document_type:
        return None
    known = None if ready.noted else get_document(tx, tenant_id, control.document_type, control.document_id)
    said = control.amount or control.balance or control.issued or control.due or control.status
    if known is not None and (not known.body.startswith(COMPOSED) or (control.named and not said)):
        return known  # it was handed over as data; or a number in a subject says nothing new
    if control.document_type not in DOCUMENT_TYPES:  # fmt: skip
        raise Refused(554, "5.6.0", f'X-AR-Document "{control.document_type}" is no type of document; write invoice/…')
    made = _composed(ready, customer_key)
    if ready.noted:
        add_named(tx, now_ms, tenant_id, made)
    elif put_document(tx, now_ms, tenant_id, _completed(made, known) if known else made) == "updated":
        keep_promise(tx, now_ms, tenant_id, (made.type, made.id))
    return None


def _composed(ready: Ready, customer_key: str) -> StoredDocument:
    """The row of a document of which only a composed mail's fields are known."""
    control, message = ready.control, ready.message
    facts = {"composed": True, "number": control.number, "amount": control.amount, "issued": control.issued,
             "due": control.due, "status": control.status}  # fmt: skip
    body = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()
    return StoredDocument(
        type=control.document_type,
        id=control.document_id,
        number=control.number or control.document_id,
        revision=1,
        status=control.status,
        language=control.language,
        currency=control.currency,
        customer_id=control.customer,
        customer_name=ready.customer[:300],
        total=control.amount,
        balance=control.balance or control.amount,
        issue_date=control.issued,
        due_date=control.due,
        body=body,
        sha256=hashlib.sha256(body).hexdigest(),
        thread_id=message.thread_id,
        customer_key=customer_key,
    )


def _completed(made: StoredDocument, known: StoredDocument) -> StoredDocument:
    """What a later mail says of a document, with what an earlier one said and it does not."""
    names = ("status", "language", "currency", "customer_id", "total", "balance", "issue_date", "due_date")
    kept: dict[str, str] = {name: getattr(known, name) for name in names if not getattr(made, name)}
    number = known.number if made.number == made.id else made.number
    return replace(made, number=number, **kept)  # type: ignore[arg-type]


def mark_as_sent(tx: Transaction, now: datetime, tenant_id: str, type: str, document_id: str) -> bool:
    """A person says that the document reached its customer another way (S30); whether a held mail was cancelled."""
    now_ms = to_ms(now)
    mark_sent(tx, now_ms, tenant_id, type, document_id)
    found = get_document(tx, tenant_id, type, document_id)
    if found is None or not found.automatic_id or not is_waiting(tx, tenant_id, found.automatic_id):
        return False
    return bool(cancel(tx, now_ms, tenant_id, (found.automatic_id, 0), "the document was marked as sent"))

"""Reminders against the database: what becomes of each document today, and the mark that one went.

Called by the daily run and the dry run (`outbound.reminder_runs`), and within the door's transaction: once more for a
reminder that is about to be kept (`ReminderGate`), and for the events with which billing systems ask for one
(`hindrance`). So what is shown and what is done are decided by the same code. Refuses nothing; it says why not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.mail.address import Address
from gateway.mail.reply import Refused
from gateway.outbound.customers import known_customer
from gateway.outbound.documents import Document, read_document
from gateway.outbound.queue import cancel
from gateway.outbound.reminders import ONBOARD, REMINDING, TYPES, Verdict, because, body_of, counted, schedule, stop
from gateway.outbound.suppression import get_suppressed
from gateway.outbound.triggers import Choice, choice_of
from gateway.store.database import Transaction, to_ms
from gateway.store.documents import StoredDocument, get_document
from gateway.store.events import add_event
from gateway.store.reminders import SETTLED, Key, Reminded, keep_promise, lock_state, note_reminder
from gateway.store.reminding import (
    Correspondence,
    Remindable,
    find_remindable,
    page_remindable,
    read_correspondence,
    waiting_reminders,
)

PAGE = 200
Settings = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Ledger:
    """A tenant as its reminders see it: its templates, and where it is."""

    tenant_id: str
    choices: Mapping[str, Choice]
    zone: ZoneInfo

    @property
    def reminds(self) -> bool:
        """Whether any reminder is on."""
        return any(choice.reminds for choice in self.choices.values())


def open_ledger(tenant_id: str, settings: Settings, timezone: str) -> Ledger:
    """The ledger of a tenant; `settings` are those of its templates."""
    return Ledger(tenant_id, {key: choice_of(key, settings) for key in REMINDING}, ZoneInfo(timezone))


@dataclass(frozen=True, slots=True)
class Examined:
    """A document and what becomes of it. `recipients` are those that a reminder would go to."""

    found: Remindable
    verdict: Verdict
    recipients: tuple[Address, ...] = ()


def examine(tx: Transaction, ledger: Ledger, found: Remindable, now: datetime) -> Examined:
    """What becomes of a document today."""
    today = now.astimezone(ledger.zone).date()
    stored: StoredDocument | None = None
    if not found.composed and (found.type != "invoice" or ledger.choices[ONBOARD].reminds):
        stored = get_document(tx, ledger.tenant_id, *found.key)
    verdict = schedule(found, body_of(stored.body if stored else b""), ledger.choices, today, ledger.zone)
    if not verdict.goes:
        return Examined(found, verdict)
    stored = stored or get_document(tx, ledger.tenant_id, *found.key)
    if stored is None:  # it was there a moment ago, and documents are never deleted
        return Examined(found, verdict)
    mail = read_correspondence(tx, ledger.tenant_id, found.thread_id)
    try:
        addresses = _recipients_of(tx, ledger.tenant_id, stored)
    except Refused as refused:  # taken by an older version, which checked less
        return Examined(found, because("refused", verdict, why=refused.reply.text))
    reachable = _reachable(tx, ledger.tenant_id, addresses, mail, now)
    choice = ledger.choices[verdict.template]
    shown = {str(address): why for address, why in reachable.items()}
    reason, why = stop(found, verdict.template, choice, mail, shown, now, ledger.zone, verdict.about)
    good = tuple(address for address, bad in reachable.items() if not bad)
    return Examined(found, replace(verdict, reason=reason, why=why), good)


def _recipients_of(tx: Transaction, tenant_id: str, stored: StoredDocument) -> tuple[Address, ...]:
    """Whom a document goes to: its own contacts, else those known of its customer, as the door has it."""
    document: Document = read_document(stored.body)
    named = document.recipients() or known_customer(tx, tenant_id, document).recipients
    return tuple(one.address for one in named)


def _reachable(
    tx: Transaction, tenant_id: str, addresses: tuple[Address, ...], mail: Correspondence, now: datetime
) -> dict[Address, str]:
    """Each address with why mail to it is in vain, "" when it is not."""
    found: dict[Address, str] = {}
    for address in addresses:
        text = str(address)
        bad = text.lower() in mail.failed or get_suppressed(tx, to_ms(now), tenant_id, text) is not None
        found[address] = "bounced" if bad else ""
    return found


def examine_page(
    tx: Transaction,
    ledger: Ledger,
    type: str,
    after: tuple[str, str],
    now: datetime,
    *,
    before: str = "",
    settled_since: int | None = None,
) -> tuple[list[Examined], tuple[str, str] | None]:
    """A page of a tenant's documents of a type, examined; where the next begins, None after the last."""
    page = page_remindable(
        tx, ledger.tenant_id, type, after=after, before=before, limit=PAGE, settled_since=settled_since
    )
    following = (page[-1].due_date, page[-1].id) if len(page) == PAGE else None
    return [examine(tx, ledger, found, now) for found in page], following


def types_of(ledger: Ledger) -> list[str]:
    """The types of documents that any reminder of the tenant is about."""
    on = {key for key, choice in ledger.choices.items() if choice.reminds}
    about = {
        "invoice": {"unpaid_invoice", "late_payment_reminder", ONBOARD}, "payment_plan": {ONBOARD},
        "estimate": {"estimate"}, "subscription": {"subscription_renews_soon"},
    }  # fmt: skip
    return [type for type in TYPES if about[type] & on]


# -- within the door's transaction


def follow_document(tx: Transaction, now_ms: int, tenant_id: str, key: Key, thread_id: str, status: str) -> None:
    """A document was handed over changed: what was promised may be kept, and a reminder that still waits needless."""
    keep_promise(tx, now_ms, tenant_id, key)
    if status in SETTLED:
        for message_id in waiting_reminders(tx, tenant_id, thread_id):
            cancel(tx, now_ms, tenant_id, (message_id, 0), f"the document is {status}")


@dataclass(frozen=True, slots=True)
class ReminderGate:
    """The last look at a reminder, in the transaction that keeps its message: it goes exactly once for each slot.

    Whoever comes here holds the document's reminders until the commit; a second node, or a run that begins anew after
    a crash, finds the slot done.
    """

    ledger: Ledger
    examined: Examined
    now: datetime

    def __call__(self, tx: Transaction, stored: StoredDocument, message_id: str) -> str:
        """Why the reminder does not go after all; "" when it does, and then it is noted as gone."""
        now_ms, tenant_id, key = to_ms(self.now), self.ledger.tenant_id, (stored.type, stored.id)
        lock_state(tx, now_ms, tenant_id, key)
        found = find_remindable(tx, tenant_id, key)
        again = examine(tx, self.ledger, found, self.now) if found else self.examined
        before = self.examined
        if not again.verdict.goes:
            return again.verdict.why
        if (again.verdict, again.recipients) != (before.verdict, before.recipients):
            return "the document, or its mail, has changed just now"
        slot, template = again.verdict.slot, again.verdict.template
        count = mark_reminded(tx, self.ledger, again.found, template, self.now, again.verdict)
        data = {"template": template, "slot": slot.isoformat() if slot else "", "count": count}
        add_event(tx, now_ms, tenant_id, "reminder.scheduled", thread_id=stored.thread_id, message_id=message_id,
                  data=data)  # fmt: skip
        return ""


def mark_reminded(
    tx: Transaction, ledger: Ledger, found: Remindable, template: str, now: datetime, verdict: Verdict | None = None
) -> int:
    """Note that a document is reminded today; how often it was with this template."""
    about = verdict.about if verdict else None
    count = counted(found, template, about) + 1
    today = now.astimezone(ledger.zone).date().isoformat()
    kept = Reminded(count, today, about.isoformat() if about else "", "")
    note_reminder(tx, to_ms(now), ledger.tenant_id, found.key, template, kept)
    return count


def hindrance(
    tx: Transaction, ledger: Ledger, key: Key, template: str, recipients: tuple[Address, ...], now: datetime
) -> str:
    """Why the mail that an event of a billing system asks for must not go now: the stop rules of reminders, in words.

    "" when it may; then it is noted as a reminder, so that none of ours follows it on the same slot.
    """
    lock_state(tx, to_ms(now), ledger.tenant_id, key)
    found = find_remindable(tx, ledger.tenant_id, key)
    if found is None:
        return ""
    mail = read_correspondence(tx, ledger.tenant_id, found.thread_id)
    reachable = _reachable(tx, ledger.tenant_id, recipients, mail, now)
    shown = {str(address): why for address, why in reachable.items()}
    today = now.astimezone(ledger.zone).date()
    body: Mapping[str, Any] = {}
    if found.type == "subscription" and (stored := get_document(tx, ledger.tenant_id, *key)):
        body = body_of(stored.body)
    about = schedule(found, body, ledger.choices, today, ledger.zone)
    _, why = stop(found, template, ledger.choices[template], mail, shown, now, ledger.zone, about.about)
    if not why:
        mark_reminded(tx, ledger, found, template, now, about)
    return why

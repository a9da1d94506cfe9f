"""What a customer wants to be sent: reminders, statements and renewal notices may be turned off, and on again.

Called by the page behind List-Unsubscribe (`web.preferences`), by mail that asks for it (`inbound`), and by the
commands. The customer is found by the thread of the mail that they hold. Turning off is written in that thread, and
reminders that wait are cancelled; invoices, receipts and answers still go. `cancel` is the queue's, given by the
caller, since this room stands below the queue's.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select

from gateway.store.customers import Customer, get_customer, opt_in, opt_out, put_customer
from gateway.store.database import Transaction
from gateway.store.documents import get_document
from gateway.store.events import add_event
from gateway.store.schema import delivery, document, message
from gateway.store.threads import get_thread, touch_thread

# Templates that a customer may do without; the others say what happened to its money.
OPTIONAL = frozenset({"unpaid_invoice", "late_payment_reminder", "statement", "subscription_renews_soon"})
# Who turned them off and how, as the thread says it: sentences for `inbox.timeline`, which has their translations.
CUSTOMER = "the customer"
BY_ONE_CLICK = "one click in the mail program"
ON_THE_PAGE = "the page behind the link in the message"
BY_MAIL = "a message that asks for it"
Cancel = Callable[[Transaction, int, str, tuple[str, int], str], int]


def is_optional(template: str, detail: Mapping[str, Any]) -> bool:
    """Whether a mail is one that its customer may turn off: by its template, or because it was sent as a reminder."""
    return template in OPTIONAL or bool(detail.get("reminder"))


def customer_of_thread(tx: Transaction, tenant_id: str, thread_id: str) -> Customer | None:
    """The customer of a thread's document; None when the thread is no document's, or knows no customer."""
    thread = get_thread(tx, tenant_id, thread_id)
    found = get_document(tx, tenant_id, thread.document_type, thread.document_id) if thread else None
    if found is None or not found.customer_key:
        return None
    return get_customer(tx, tenant_id, found.customer_key) or Customer(found.customer_key, found.customer_name)


def stop_reminders(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, why: str, cancel: Cancel) -> bool:
    """Turn them off for the customer of a thread, saying there why; whether that changed anything."""
    found = customer_of_thread(tx, tenant_id, thread_id)
    if found is None:
        return False
    put_customer(tx, now_ms, tenant_id, found.key, name=found.name)
    if not opt_out(tx, now_ms, tenant_id, found.key, why):
        return False
    add_event(tx, now_ms, tenant_id, "reminder.paused", thread_id=thread_id, data={"why": why, "by": CUSTOMER})
    touch_thread(tx, now_ms, tenant_id, thread_id)
    for message_id in waiting_reminders(tx, tenant_id, found.key):
        cancel(tx, now_ms, tenant_id, (message_id, 0), "the customer, who wants no reminders")
    return True


def resume_reminders(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, why: str) -> bool:
    """Turn them on again; whether that changed anything. What was cancelled stays so; the next one goes."""
    found = customer_of_thread(tx, tenant_id, thread_id)
    if found is None or not opt_in(tx, now_ms, tenant_id, found.key):
        return False
    add_event(tx, now_ms, tenant_id, "reminder.resumed", thread_id=thread_id, data={"why": why, "by": CUSTOMER})
    touch_thread(tx, now_ms, tenant_id, thread_id)
    return True


def resume_customer(tx: Transaction, now_ms: int, tenant_id: str, key: str, by: str) -> bool:
    """A person of the tenant turns a customer's reminders on again: said in the thread of its latest document."""
    if not opt_in(tx, now_ms, tenant_id, key):
        return False
    where = (document.c.tenant_id == tenant_id) & (document.c.customer_key == key)
    row = tx.first(select(document.c.thread_id).where(where).order_by(document.c.updated_at.desc()).limit(1))
    if row:
        add_event(tx, now_ms, tenant_id, "reminder.resumed", thread_id=row[0], data={"by": by})
    return True


def waiting_reminders(tx: Transaction, tenant_id: str, key: str) -> list[str]:
    """The ids of a customer's messages that wait to be sent and that it may turn off."""
    rows = tx.all(
        select(message.c.message_id, message.c.template, message.c.detail)
        .join(document, (document.c.tenant_id == message.c.tenant_id) & (document.c.thread_id == message.c.thread_id))
        .join(delivery, (delivery.c.tenant_id == message.c.tenant_id) & (delivery.c.message_id == message.c.message_id))
        .where(
            document.c.tenant_id == tenant_id,
            document.c.customer_key == key,
            message.c.direction == "out",
            delivery.c.state == "queued",
        )
        .distinct()
        .order_by(message.c.message_id)
    )
    return [row[0] for row in rows if is_optional(row[1], json.loads(row[2] or "{}"))]

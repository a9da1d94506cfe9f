"""A customer's promise to pay, noted in a thread: its document's reminders sleep, and the thread waits meanwhile.

The promise itself is `store.reminders`: kept when the document is paid, broken when its day has passed, and then the
thread opens. Called by the pages, the CLI and the HTTP API.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from gateway.inbox.acting import Done, wait
from gateway.mail.reply import Refused
from gateway.store.database import Transaction
from gateway.store.reminders import make_promise, resume_reminders
from gateway.store.tenants import get_tenant
from gateway.store.threads import Thread, get_thread


def promise(
    tx: Transaction, now: datetime, tenant_id: str, thread_id: str, on: date, by: str, *, amount: str = ""
) -> Done:
    """Note that the customer pays by a day, the whole or an amount (a decimal); the thread waits then.

    Raises Refused: 404 for a foreign thread, 409 for one about no document, and what `store.reminders` refuses.
    """
    found, tenant = _need_document(tx, tenant_id, thread_id), get_tenant(tx, tenant_id)
    today = now.astimezone(ZoneInfo(tenant.timezone if tenant else "UTC")).date()
    key = (found.document_type, found.document_id)
    make_promise(tx, now, tenant_id, key, on, today, amount=amount, by=by)
    return wait(tx, now, tenant_id, [thread_id], by)


def forget_promise(tx: Transaction, now: datetime, tenant_id: str, thread_id: str, by: str) -> bool:
    """The promise holds no more, and reminders go again; False when there was none. Raises Refused as `promise`."""
    found = _need_document(tx, tenant_id, thread_id)
    return resume_reminders(tx, now, tenant_id, (found.document_type, found.document_id), by)


def _need_document(tx: Transaction, tenant_id: str, thread_id: str) -> Thread:
    found = get_thread(tx, tenant_id, thread_id)
    if found is None:
        raise Refused(404, "5.1.1", f"there is no thread {thread_id[:40]}")
    if not found.document_id:
        raise Refused(409, "5.5.1", "the thread is about no document that could be paid; snooze it until the day")
    return found

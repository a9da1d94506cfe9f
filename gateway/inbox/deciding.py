"""What a person decides about a mail that came: it belongs to another thread, its author is the customer's.

Called by the page and the command line. Every change names who made it, in the threads that it touches.
"""

from datetime import datetime

from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.store.customers import add_contact
from gateway.store.database import Transaction, to_ms
from gateway.store.documents import get_document
from gateway.store.events import add_event
from gateway.store.messages import Message, change_detail, get_message, list_messages, move_message
from gateway.store.threads import Thread, close_thread, get_thread, open_thread, touch_thread


def move(tx: Transaction, now: datetime, tenant_id: str, message_id: str, thread_id: str, by: str) -> None:
    """Put a mail that came into the thread it belongs to; one that it leaves empty is closed.

    Raises Refused 404 when one of them is not the tenant's, 409 when it is there already or is mail of ours.
    """
    made, to = _received(tx, tenant_id, message_id), get_thread(tx, tenant_id, thread_id)
    if to is None:
        raise Refused(404, "5.1.1", f"there is no thread {thread_id}")
    if made.thread_id == thread_id:
        raise Refused(409, "5.5.1", "it is in that thread already")
    now_ms, source = to_ms(now), made.thread_id
    move_message(tx, tenant_id, message_id, thread_id)
    told = {"placed_by": "person", "confidence": "certain", "perhaps": []}
    change_detail(tx, tenant_id, message_id, dict(made.detail) | told)
    data = {"by": by, "subject": made.subject[:200], "from": source, "to": thread_id}
    for one in (source, thread_id):
        add_event(tx, now_ms, tenant_id, "message.moved", thread_id=one, message_id=message_id, data=data)
    if made.kind == "person":
        open_thread(tx, now_ms, tenant_id, thread_id, "reply", by=by)
    else:
        touch_thread(tx, now_ms, tenant_id, thread_id)
    if not list_messages(tx, tenant_id, source):
        close_thread(tx, now_ms, tenant_id, source, by)


def add_author(tx: Transaction, now: datetime, tenant_id: str, message_id: str, by: str) -> tuple[str, str]:
    """Make the author of a mail a contact of its thread's customer, as an alternate one; (address, customer's key).

    Raises Refused 404 when the mail is not the tenant's, 409 when its thread is of no customer.
    """
    made = _received(tx, tenant_id, message_id)
    thread = get_thread(tx, tenant_id, made.thread_id)
    customer = _customer(tx, tenant_id, thread) if thread else ""
    if not customer:
        raise Refused(409, "5.5.1", "the thread is about no customer that is known; move the mail to one that is")
    name, address = _author(made)
    add_contact(tx, now, tenant_id, customer, address, role="alternate", name=name, language="")
    change_detail(tx, tenant_id, message_id, dict(made.detail) | {"from_unknown": False})
    data = {"by": by, "contact": address}
    add_event(tx, to_ms(now), tenant_id, "contact.added", thread_id=made.thread_id, message_id=message_id, data=data)
    return address, customer


def _received(tx: Transaction, tenant_id: str, message_id: str) -> Message:
    made = get_message(tx, tenant_id, message_id)
    if made is None or made.direction != "in":
        raise Refused(404, "5.1.1", f"no mail {message_id} came")
    return made


def _customer(tx: Transaction, tenant_id: str, thread: Thread) -> str:
    document = get_document(tx, tenant_id, thread.document_type, thread.document_id) if thread.document_id else None
    return document.customer_key if document else ""


def _author(made: Message) -> tuple[str, str]:
    name, _, rest = made.author.rpartition("<")
    return name.strip(), str(parse_address(rest.rstrip(">").strip()))

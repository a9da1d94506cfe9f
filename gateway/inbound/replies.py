"""Whose reply is it, and does it need a person.

A reply that came to a thread's address belongs there. One to the tenant's inbox address is placed by In-Reply-To and
References, else by the number of a document that its author had mail about; an automatic answer also by who had mail of
ours just before. What answers nothing of ours begins a thread of its own, with a hint where it may belong. People's
mail opens the thread; automatic mail is noted and opens nothing, except what a person must act upon (a challenge, a
complaint).
"""

from dataclasses import dataclass

from gateway.inbound.evidence import (
    ANSWERED_WITHIN_MS,
    ANSWERS,
    DAY_MS,
    NUMBER,
    Clue,
    find_mailed,
    find_numbered_thread,
    recent_threads,
)
from gateway.mail.classify import Kind
from gateway.mail.received import ReceivedMail
from gateway.outbound.queue_find import was_mailed
from gateway.store.conversations import find_conversation, roots_of
from gateway.store.customers import is_contact
from gateway.store.database import Transaction
from gateway.store.documents import get_document
from gateway.store.events import add_event, count_automatic
from gateway.store.messages import tenant_of_message_id
from gateway.store.threads import add_thread, get_thread, open_thread, tenant_of_thread, touch_thread

REOPENINGS = 5  # of a thread by automatic mail, in a day: the last one says so

STOP_WORD = "unsubscribe"  # the subject of a mail that turns reminders off (outbound.letterhead)

# kinds that open the thread, and the chip they open it with
OPENS = {Kind.PERSON: "reply", Kind.CHALLENGE: "challenge", Kind.FEEDBACK: "complaint"}
# kinds that come soon after the mail that they answer
SOON = (Kind.AUTO_REPLY, Kind.CHALLENGE, Kind.READ_RECEIPT)


@dataclass(frozen=True, slots=True)
class Placed:
    """The thread of a mail and how we know (one of evidence.CONFIDENCE); "" for one that was begun for it."""

    thread_id: str
    by: str = ""
    perhaps: tuple[tuple[str, str], ...] = ()  # (thread, subject) where a person may see that it belongs


def place(tx: Transaction, now_ms: int, tenant_id: str, mail: ReceivedMail) -> Placed:
    """The thread of a mail that came to no thread's address, begun when it has none."""
    if found := thread_of_reply(tx, tenant_id, mail):
        return Placed(found, ANSWERS)
    if found := find_numbered_thread(tx, now_ms, tenant_id, mail.author, mail.subject):
        return Placed(found, NUMBER)
    if mail.kind in SOON:
        answered = find_mailed(tx, now_ms, tenant_id, mail.author, Clue(within_ms=ANSWERED_WITHIN_MS))
        if answered is not None:
            return Placed(answered[0].made.thread_id, answered[1])
    perhaps = recent_threads(tx, now_ms, tenant_id, mail.author)
    return Placed(begin_thread(tx, now_ms, tenant_id, mail), perhaps=tuple(perhaps))


def whose(tx: Transaction, mail: ReceivedMail) -> str:
    """The tenant whose mail this one answers; "" when it answers nothing of ours."""
    named = (*mail.in_reply_to, *reversed(mail.references))[:50]
    found = (tenant_of_thread(tx, root) for root in roots_of(named)[:5])
    return next(filter(None, found), "") or tenant_of_message_id(tx, named)


def thread_of_reply(tx: Transaction, tenant_id: str, mail: ReceivedMail) -> str:
    """The thread that a mail to the tenant's inbox address answers; "" when it answers nothing of ours."""
    found = find_conversation(tx, tenant_id, (*mail.in_reply_to, *reversed(mail.references)))
    return found.id if found else ""


def begin_thread(tx: Transaction, now_ms: int, tenant_id: str, mail: ReceivedMail) -> str:
    """A thread for mail that answers nothing of ours."""
    customer = mail.author_name or mail.author
    return add_thread(tx, now_ms, tenant_id, subject=mail.subject[:998], customer=customer[:300], lane="done")


def asks_to_stop(mail: ReceivedMail) -> bool:
    """Whether a mail to a thread's address is what List-Unsubscribe offers: the word as its whole subject."""
    return mail.subject.strip().lower() == STOP_WORD


def is_unknown(tx: Transaction, tenant_id: str, thread_id: str, mail: ReceivedMail) -> bool:
    """Whether the author is nobody that the thread's mail went to, and no contact of its customer."""
    if was_mailed(tx, tenant_id, thread_id, mail.author):
        return False
    thread = get_thread(tx, tenant_id, thread_id)
    document = get_document(tx, tenant_id, thread.document_type, thread.document_id) if thread else None
    return document is None or not is_contact(tx, tenant_id, document.customer_key, mail.author)


def open_by_machine(tx: Transaction, now_ms: int, tenant_id: str, thread_id: str, chip: str) -> None:
    """Open a thread for automatic mail; what opens it again and again is quarantined for a day: it hides other work."""
    opened = count_automatic(tx, tenant_id, thread_id, "thread.opened", now_ms - DAY_MS)
    if opened >= REOPENINGS:
        touch_thread(tx, now_ms, tenant_id, thread_id)
        return
    if opened == REOPENINGS - 1:
        open_thread(tx, now_ms, tenant_id, thread_id, "quarantined", automatic=True)
        data = {"times": REOPENINGS}
        add_event(tx, now_ms, tenant_id, "thread.quarantined", thread_id=thread_id, data=data)
        return
    open_thread(tx, now_ms, tenant_id, thread_id, chip, automatic=True)

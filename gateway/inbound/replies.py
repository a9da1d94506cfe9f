"""Whose reply is it, and does it need a person.

A reply that came to a thread's address belongs there. One to the tenant's inbox address is placed by In-Reply-To and
References; what answers nothing of ours begins a thread of its own. People's mail opens the thread; automatic mail is
noted and opens nothing, except what a person must act upon (a challenge, a complaint).
"""

from gateway.mail.classify import Kind
from gateway.mail.received import ReceivedMail
from gateway.outbound.queue import thread_recipients
from gateway.store.database import Transaction
from gateway.store.messages import find_by_message_id
from gateway.store.threads import add_thread, get_thread

SYNTHETIC_ROOT = "thread."  # of the Message-ID that every thread's first mail refers to

STOP_WORD = "unsubscribe"  # the subject of a mail that turns reminders off (outbound.letterhead)

# kinds that open the thread, and the chip they open it with
OPENS = {Kind.PERSON: "reply", Kind.CHALLENGE: "challenge", Kind.FEEDBACK: "complaint"}


def thread_of_reply(tx: Transaction, tenant_id: str, mail: ReceivedMail) -> str:
    """The thread that a mail to the tenant's inbox address answers; "" when it answers nothing of ours."""
    named = (*mail.in_reply_to, *reversed(mail.references))[:50]
    for reference in named:
        if reference.startswith(SYNTHETIC_ROOT):
            thread_id = reference[len(SYNTHETIC_ROOT) :].partition("@")[0]
            if get_thread(tx, tenant_id, thread_id):
                return thread_id
    by_id = {message.rfc_message_id: message.thread_id for message in find_by_message_id(tx, tenant_id, named)}
    return next((by_id[reference] for reference in named if reference in by_id), "")


def begin_thread(tx: Transaction, now_ms: int, tenant_id: str, mail: ReceivedMail) -> str:
    """A thread for mail that answers nothing of ours."""
    customer = mail.author_name or mail.author
    return add_thread(tx, now_ms, tenant_id, subject=mail.subject[:998], customer=customer[:300])


def asks_to_stop(mail: ReceivedMail) -> bool:
    """Whether a mail to a thread's address is what List-Unsubscribe offers: the word as its whole subject."""
    return mail.subject.strip().lower() == STOP_WORD


def is_unknown(tx: Transaction, tenant_id: str, thread_id: str, mail: ReceivedMail) -> bool:
    """Whether the author is nobody that the thread's mail went to."""
    return mail.author.lower() not in thread_recipients(tx, tenant_id, thread_id)

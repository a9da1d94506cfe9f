"""What was refused to a billing system, where its tenant sees it: many billing systems drop a 550 in silence.

Called by the door and by the submission doorstep after they refused something for good. A refusal is a line in its
document's thread, else in the month's thread of refusals, and opens it; the same one within an hour is one line. It
changes nothing else and is never a reason for another refusal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from gateway.mail.message import Head, read_head
from gateway.mail.reply import Refused, Reply
from gateway.outbound.control import Control, read_control
from gateway.outbound.documents import Document
from gateway.outbound.handed import Handed
from gateway.store.database import Database, StoreUnavailable, Transaction, to_ms
from gateway.store.documents import DOCUMENT_TYPES
from gateway.store.events import add_event, latest_event
from gateway.store.tenants import get_tenant
from gateway.store.threads import add_thread, find_thread, open_thread, thread_of_document

log = structlog.get_logger()

REFUSED = "refused"  # the chip of a thread in which something was refused
NO_ADDRESS = "no_address"
AGAIN = timedelta(hours=1)
MOST_NAMED = 3
_TITLES = {
    "ro": "Mesaje refuzate la predare",
    "ru": "Письма, не принятые к отправке",
    "en": "Messages that were not accepted",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was not taken over: why, and what is known of it. `document` is (type, id, number)."""

    reply: Reply
    recipients: tuple[str, ...] = ()
    subject: str = ""
    document: tuple[str, str, str] = ("", "", "")
    customer: str = ""
    credential: str = ""
    peer: str = ""
    nobody: bool = False  # a document that names no address, and neither did the envelope
    opens: bool = False  # it will be tried again, and a person should know


def refusal_of(handed: Handed, recipients: Sequence[str], document: Document | None, reply: Reply) -> Refusal:
    """What is known of a mail that was refused; of a broken one that may be little."""
    head = read_head(handed.raw, strict=False)
    control = _document_key(head)
    key = (
        (document.type, document.id, document.number) if document else (control.document_type, control.document_id, "")
    )
    return Refusal(
        reply,
        tuple(recipients),
        head.text("subject")[:200],
        key if key[0] in DOCUMENT_TYPES else ("", "", ""),
        document.customer.name if document else head.text("x-ar-customer-name")[:300],
        handed.credential,
        handed.peer,
        document is not None and not recipients and not document.recipients(),
    )


def _document_key(head: Head) -> Control:
    """The document that X-AR-Document names; nothing when just that is malformed."""
    try:
        return read_control(Head(tuple(head.all("x-ar-document")), 0))
    except Refused:
        return Control()


async def note_refusal(database: Database, tenant_id: str, refusal: Refusal, now: datetime) -> None:
    """Keep a refusal for the tenant to see; when that cannot be done just now, the log has it."""
    try:
        await database.write(keep_refusal, tenant_id, refusal, now)
    except StoreUnavailable:
        log.warning("refusal.unnoted", tenant=tenant_id, why=str(refusal.reply)[:200])


def keep_refusal(tx: Transaction, tenant_id: str, refusal: Refusal, now: datetime) -> None:
    """The same within a transaction. One that will be tried again (4xx) is noted and, as a rule, opens nothing."""
    now_ms = to_ms(now)
    thread_id = _thread_of(tx, now_ms, tenant_id, refusal, now)
    data = {
        "why": refusal.reply.text.replace("\n", "; ")[:1000],
        "code": f"{refusal.reply.code} {refusal.reply.enhanced}",
        "recipients": _named(refusal.recipients),
        "subject": refusal.subject,
        "credential": refusal.credential,
        "peer": refusal.peer,
    }
    last = latest_event(tx, tenant_id, thread_id, "message.refused")
    if last is not None and dict(last.data) == data and now - last.at < AGAIN:
        return
    add_event(tx, now_ms, tenant_id, "message.refused", thread_id=thread_id, data=data)
    if refusal.reply.code >= 500 or refusal.opens:
        open_thread(tx, now_ms, tenant_id, thread_id, (refusal.nobody and NO_ADDRESS) or REFUSED)


def _thread_of(tx: Transaction, now_ms: int, tenant_id: str, refusal: Refusal, now: datetime) -> str:
    type, id, number = refusal.document
    if type:
        known = find_thread(tx, tenant_id, f"{type}/{id}")
        return known.id if known else thread_of_document(
            tx, now_ms, tenant_id, refusal.document, refusal.subject or number or id, refusal.customer
        )  # fmt: skip
    key = f"~refused/{now:%Y-%m}"  # a month, so that no thread grows for ever
    known = find_thread(tx, tenant_id, key)
    if known is not None:
        return known.id
    tenant = get_tenant(tx, tenant_id)
    title = _TITLES.get(tenant.language if tenant else "", _TITLES["en"])
    return add_thread(tx, now_ms, tenant_id, key=key, subject=title)


def _named(recipients: Sequence[str]) -> str:
    more = len(recipients) - MOST_NAMED
    return ", ".join(recipients[:MOST_NAMED]) + (f" (+{more})" if more > 0 else "")

"""Correct a wrong address of a customer, and send everything that was missed there, in one step.

Called by the pages and `gateway bounce correct`. What was missed is every document whose latest mail to the old address
failed for good or was suppressed, and that did not reach the new one since: each goes once, as it is now, by the door
(`outbound.submission`). The old address stays suppressed and becomes an alternate that no document brings back.
Doing it again sends nothing again: the last question is asked in the transaction that keeps each message.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import func, select

from gateway.mail.address import Address, parse_address
from gateway.mail.reasons import VOCABULARY
from gateway.mail.reply import Refused
from gateway.outbound.handed import Asked, Rcpt
from gateway.outbound.queue import CANCELLED, FAILED
from gateway.outbound.submission import Door, accept_document
from gateway.outbound.suppression import get_suppressed
from gateway.store.customers import MAILED, Contact, get_customer, list_contacts, put_contact
from gateway.store.database import Transaction, from_ms, to_ms
from gateway.store.documents import StoredDocument, these_documents
from gateway.store.events import add_event
from gateway.store.reminding import COMPOSED
from gateway.store.schema import contact, delivery, document, event, message, thread
from gateway.store.threads import close_thread

MOST = 1000  # documents of one step; what is beyond that stays missed, and the next step finds it
_ROWS = 5000  # deliveries to one address that are looked at, the latest
# Events by which a person settles what failed at an address, and where their data names it.
_SETTLING = {"contact.corrected": "from", "bounce.dismissed": "address"}
_COMPOSED = "it came as a composed mail; hand it over again, to the new address"


@dataclass(frozen=True, slots=True)
class Missed:
    """A document, or a composed mail, whose latest mail to an address failed; amounts are decimal text."""

    type: str  # "" for mail that is about no document
    id: str
    number: str
    revision: int
    customer: str
    customer_key: str
    currency: str
    balance: str
    thread_id: str
    message_id: str  # the mail that failed
    subject: str
    reason: str
    failed_at: datetime | None = None
    why: str = ""  # why it cannot be sent again; "" when it can


@dataclass(frozen=True, slots=True)
class Correction:
    """What correcting an address does, or did. `sent` are (document, message id); the ids are "" in a dry run."""

    old: str
    new: str
    customers: tuple[str, ...]  # keys of those that have it, or whose documents were missed
    sent: tuple[tuple[Missed, str], ...]
    left: tuple[Missed, ...]  # what could not be sent, each with its `why`
    dry_run: bool = False


async def correct(
    door: Door, tenant_id: str, old: str, new: str, by: str, now: datetime, *, dry_run: bool = False
) -> Correction:
    """Put `new` in the place of the address `old`, and send to it what `old` missed; or say what would be sent.

    Raises Refused 501 for an address that is none or that is the same, 550 for a new one that is suppressed, and 404
    when no customer has the old one and nothing failed there.
    """
    after = parse_address(new)
    plan = await door.database.read(plan_correction, now, tenant_id, parse_address(old), after)
    if dry_run:
        return plan
    await door.database.write(_correct_contacts, now, tenant_id, plan, after, by)
    sent, left = [], list(plan.left)
    for one, _ in plan.sent:
        try:
            message_id, why = await _send(door, tenant_id, one, plan, after, by, now)
        except Refused as refused:
            left.append(replace(one, why=refused.reply.text))
            continue
        if message_id:
            sent.append((one, message_id))
        else:
            left.append(replace(one, why=why))
    threads = [one.thread_id for one, _ in sent]
    await door.database.write(close_settled, now, tenant_id, threads, by)
    return replace(plan, sent=tuple(sent), left=tuple(left), dry_run=False)


def plan_correction(tx: Transaction, now: datetime, tenant_id: str, old: Address, new: Address) -> Correction:
    """What `correct` would do. Raises Refused as it does."""
    if old.key == new.key:
        raise Refused(501, "5.5.4", f"{new} is the address that failed; name another")
    stopped = get_suppressed(tx, to_ms(now), tenant_id, new.key)
    if stopped is not None:
        raise Refused(
            550, "5.7.1", f"{new} is suppressed since {stopped.created_at:%Y-%m-%d} "
            f"({stopped.evidence or stopped.reason}); name another address, or let mail go there first",
        )  # fmt: skip
    missed = find_missed(tx, tenant_id, old.key, new.key)
    having = _customers_with(tx, tenant_id, old.key)
    if not missed and not having:
        raise Refused(404, "5.1.1", f"no customer has {old}, and no mail to it failed")
    keys = dict.fromkeys([*having, *(one.customer_key for one in missed if one.customer_key)])
    can = tuple((one, "") for one in missed if not one.why)
    return Correction(str(old), str(new), tuple(keys), can, tuple(one for one in missed if one.why), dry_run=True)


# -- what was missed


def find_missed(tx: Transaction, tenant_id: str, old: str, new: str = "") -> list[Missed]:
    """What the address `old` missed and `new` has not got since, the oldest first. Two queries; keys in lower case."""
    rows = _mails_to(tx, tenant_id, [address for address in (old, new) if address])
    failed: dict[tuple[str, str], Any] = {}
    reached: dict[tuple[str, str], str] = {}
    for row in rows:  # the latest first
        about = (row.document_type, row.document_id) if row.document_id else ("", row.message_id)
        if row.state != FAILED:
            reached.setdefault(about, row.message_id)
        elif row.address == old:
            failed.setdefault(about, row)
    wanted = [(about, row) for about, row in failed.items() if reached.get(about, "") < row.message_id]
    known = _documents(tx, tenant_id, [about for about, _ in wanted if about[0]])
    found = [_missed(row, known.get(about)) for about, row in wanted[-MOST:]]
    return sorted(found, key=lambda one: one.message_id)


def missed_of(tx: Transaction, tenant_id: str, rows: Sequence[Any]) -> dict[str, list[Missed]]:
    """address -> what it missed, by rows of failed deliveries, the latest first. One query."""
    about = {(row.address, row.document_type if row.document_id else "", row.document_id or row.message_id): row
             for row in reversed(rows)}  # fmt: skip
    known = _documents(tx, tenant_id, [(type, id) for _, type, id in about if type])
    found: dict[str, list[Missed]] = {}
    for (address, type, id), row in sorted(about.items(), key=lambda item: item[0][0]):
        found.setdefault(address, []).append(_missed(row, known.get((type, id))))
    return found


def _mails_to(tx: Transaction, tenant_id: str, addresses: list[str]) -> Any:
    address = func.lower(delivery.c.recipient)
    joined = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    return tx.all(
        select(
            delivery.c.message_id, delivery.c.thread_id, delivery.c.state, delivery.c.reason, delivery.c.settled_at,
            address.label("address"), message.c.document_type, message.c.document_id, message.c.subject,
        )
        .join_from(delivery, message, joined)
        .where(delivery.c.tenant_id == tenant_id, address.in_(addresses), delivery.c.state != CANCELLED)
        .order_by(delivery.c.message_id.desc())
        .limit(_ROWS)
    )  # fmt: skip


def _documents(tx: Transaction, tenant_id: str, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    columns = (
        document.c.type, document.c.document_id, document.c.number, document.c.revision, document.c.customer_name,
        document.c.customer_key, document.c.currency, document.c.balance, document.c.status,
        func.substr(document.c.body, 1, len(COMPOSED)).label("head"),
    )  # fmt: skip
    where = these_documents(tenant_id, keys)
    return {(row[0], row[1]): row for row in tx.all(select(*columns).where(where))} if keys else {}


def _missed(row: Any, known: Any) -> Missed:
    failed_at = from_ms(row.settled_at)
    if known is None:
        return Missed("", "", "", 0, "", "", "", "", row.thread_id, row.message_id, row.subject, row.reason, failed_at,
                      _COMPOSED)  # fmt: skip
    why = _COMPOSED if bytes(known.head) == COMPOSED else "it is voided" if known.status == "voided" else ""
    return Missed(
        known.type, known.document_id, known.number, known.revision, known.customer_name, known.customer_key,
        known.currency, known.balance, row.thread_id, row.message_id, row.subject, row.reason, failed_at, why,
    )  # fmt: skip


# -- doing it


async def _send(
    door: Door, tenant_id: str, one: Missed, plan: Correction, new: Address, by: str, now: datetime
) -> tuple[str, str]:
    """(the id of the message that sends a document to the new address, or "" and why it is not sent)."""
    gate = partial(_still_missed, to_ms(now), tenant_id, plan, by)
    asked = Asked(
        tenant_id, one.type, one.id, by, recipients=(Rcpt(new),), detail={"corrected": plan.old, "by": by}, gate=gate
    )
    receipt = await accept_document(door, asked, now)
    return receipt.message_id, receipt.text


def _still_missed(
    now_ms: int, tenant_id: str, plan: Correction, by: str, tx: Transaction, made: StoredDocument, message_id: str
) -> str:
    """The gate: asked with the document locked, so that two clerks do not both send it."""
    this = (document.c.tenant_id == tenant_id) & (document.c.type == made.type) & (document.c.document_id == made.id)
    tx.first(select(document.c.revision).where(this).with_for_update())
    old, new = parse_address(plan.old).key, parse_address(plan.new).key
    if not any((one.type, one.id) == (made.type, made.id) for one in find_missed(tx, tenant_id, old, new)):
        return f"{plan.new} has it already"
    data = {"by": by, "from": plan.old, "to": plan.new}
    add_event(tx, now_ms, tenant_id, "contact.corrected", thread_id=made.thread_id, message_id=message_id, data=data)
    return ""


def _correct_contacts(tx: Transaction, now: datetime, tenant_id: str, plan: Correction, new: Address, by: str) -> None:
    """The customers have the new address in the place of the old one, which is kept as one that is never mailed."""
    now_ms, old, changed = to_ms(now), parse_address(plan.old).key, False
    for key in plan.customers:
        if get_customer(tx, tenant_id, key) is None:
            continue
        known = {one.address: one for one in list_contacts(tx, tenant_id, key)}
        was, there = known.get(old), known.get(new.key)
        role = was.role if was else "alternate" if any(one.role in MAILED for one in known.values()) else "to"
        if there is not None and (there.role in MAILED or role == "alternate"):
            wanted = replace(there, source="tenant")
        else:
            named = there or was
            wanted = Contact(new.key, plan.new, named.name if named else "", role, named.language if named else "",
                             "tenant")  # fmt: skip
        for one in (wanted, replace(was, role="alternate", source="tenant") if was else None):
            if one is not None and one != known.get(one.address):
                put_contact(tx, now_ms, tenant_id, key, one)
                changed = True
    if changed and not plan.sent:  # else each thread says so, with the mail that goes
        data = {"by": by, "from": plan.old, "to": plan.new}
        add_event(tx, now_ms, tenant_id, "contact.corrected", data=data)


def close_settled(tx: Transaction, now: datetime, tenant_id: str, threads: Iterable[str], by: str) -> None:
    """Close threads that are open for bounces that a person settled; a reply, or another failure, keeps one open."""
    ids = list(dict.fromkeys(threads))
    where = (thread.c.tenant_id == tenant_id) & thread.c.thread_id.in_(ids) & (thread.c.state == "open")
    bounced = [row[0] for row in tx.all(select(thread.c.thread_id).where(where, thread.c.chip.in_(VOCABULARY)))]
    settled = settled_failures(tx, tenant_id, bounced)
    joined = (message.c.tenant_id == delivery.c.tenant_id) & (message.c.message_id == delivery.c.message_id)
    failed = tx.all(
        select(message.c.thread_id, func.lower(delivery.c.recipient), message.c.message_id)
        .join_from(message, delivery, joined)
        .where(message.c.tenant_id == tenant_id, message.c.thread_id.in_(bounced), delivery.c.state == FAILED)
    )
    left = {row[0] for row in failed if row[2] > settled.get((row[0], row[1]), "")}
    for thread_id in bounced:
        if thread_id not in left:
            close_thread(tx, to_ms(now), tenant_id, thread_id, by)


def settled_failures(tx: Transaction, tenant_id: str, threads: Iterable[str]) -> dict[tuple[str, str], str]:
    """(thread, address) -> the id of the event by which a person settled what had failed there until then."""
    columns = (event.c.thread_id, event.c.event_id, event.c.type, event.c.data)
    where = (event.c.tenant_id == tenant_id) & event.c.thread_id.in_(list(threads))
    rows = tx.all(select(*columns).where(where, event.c.type.in_(tuple(_SETTLING))).order_by(event.c.event_id))
    return {(row[0], str(json.loads(row[3]).get(_SETTLING[row[2]], "")).lower()): row[1] for row in rows}


def _customers_with(tx: Transaction, tenant_id: str, address: str) -> list[str]:
    where = (contact.c.tenant_id == tenant_id) & (contact.c.address == address)
    return [row[0] for row in tx.all(select(contact.c.customer_key).where(where).order_by(contact.c.customer_key))]

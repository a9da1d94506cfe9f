"""The customers of a tenant as clerks see them: who owes what, at which addresses, and whether mail reaches these.

Called by the pages. A list and a customer's page ask a constant number of questions, whatever they show. Threads are
those of the customer's documents, and those without a document whose mail went to its addresses. What a person changes
here no document overwrites; each change is an event that names who made it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select, tuple_, union

from gateway.inbox.documents import DocumentList, Filter, list_documents
from gateway.inbox.listing import list_lines
from gateway.inbox.owing import Owed, owed_by
from gateway.inbox.views import ListLine
from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.outbound.queue import DELIVERED, FAILED, RELAYED
from gateway.outbound.suppression import ALLOWED
from gateway.store import customers as store
from gateway.store.customers import MAILED, ROLES, Contact, Customer, list_contacts
from gateway.store.database import Transaction, from_ms, to_ms
from gateway.store.events import add_event
from gateway.store.preferences import resume_customer
from gateway.store.schema import contact, delivery, document, suppression, thread
from gateway.store.threads import Thread, threads_by_id

PAGE = 50
SHOWN = 20  # documents and threads on a customer's page
# How mail to an address fares: nothing was sent yet; it is stopped; always let go; the latest failed; was accepted.
NEVER, STOPPED, ALWAYS, BOUNCED, REACHED = "never", "stopped", "allowed", "bounced", "reached"


@dataclass(frozen=True, slots=True)
class Address:
    """A contact and how mail to it fares: since when, and for what reason."""

    contact: Contact
    state: str
    reason: str = ""
    at: datetime | None = None

    @property
    def bad(self) -> bool:
        """Whether mail to it is in vain."""
        return self.state in (STOPPED, BOUNCED)


@dataclass(frozen=True, slots=True)
class CustomerLine:
    """A customer in a list. `addresses` are those that are mailed; `owed` is empty when nothing is."""

    customer: Customer
    addresses: tuple[Address, ...]
    owed: tuple[Owed, ...]


@dataclass(frozen=True, slots=True)
class CustomerList:
    """One page, by name. `cursor` asks for the next one; "" when this is the last."""

    lines: tuple[CustomerLine, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class CustomerView:
    """A customer with its addresses, what it owes, and the latest of its documents and threads."""

    customer: Customer
    addresses: tuple[Address, ...]
    owed: tuple[Owed, ...]
    documents: DocumentList
    threads: tuple[ListLine, ...]


# -- reading


def list_customers(
    tx: Transaction, now: datetime, tenant_id: str, today: date, *, words: str = "", after: str = "", limit: int = PAGE
) -> CustomerList:
    """A page of customers by name; `words` are part of a name, a key or an address. `today` is the tenant's day."""
    found = store.list_customers(tx, tenant_id, words=words, limit=limit + 1, after=after)
    shown = found[:limit]
    keys = [one.key for one in shown]
    owed, addresses = owed_by(tx, tenant_id, keys, today), _addresses(tx, to_ms(now), tenant_id, keys, MAILED)
    lines = tuple(CustomerLine(one, addresses.get(one.key, ()), owed.get(one.key, ())) for one in shown)
    return CustomerList(lines, shown[-1].key if len(found) > limit else "")


def read_customer(tx: Transaction, now: datetime, tenant_id: str, key: str, today: date) -> CustomerView | None:
    """A customer with all that belongs to it; None when the tenant has no such one."""
    found = store.get_customer(tx, tenant_id, key)
    if found is None:
        return None
    addresses = _addresses(tx, to_ms(now), tenant_id, [key], ROLES).get(key, ())
    threads = _threads(tx, tenant_id, key, [one.contact.address for one in addresses])
    return CustomerView(
        customer=found,
        addresses=addresses,
        owed=owed_by(tx, tenant_id, [key], today).get(key, ()),
        documents=list_documents(tx, tenant_id, Filter(customer=key), today, limit=SHOWN),
        threads=list_lines(tx, tenant_id, threads),
    )


def _addresses(
    tx: Transaction, now_ms: int, tenant_id: str, keys: Sequence[str], roles: Sequence[str]
) -> dict[str, tuple[Address, ...]]:
    """customer's key -> its addresses with their state; four queries."""
    columns = (contact.c.customer_key, contact.c.address, contact.c.email, contact.c.name, contact.c.role,
               contact.c.language, contact.c.source)  # fmt: skip
    where = (contact.c.tenant_id == tenant_id) & contact.c.customer_key.in_(keys) & contact.c.role.in_(roles)
    rows = tx.all(select(*columns).where(where).order_by(contact.c.address))
    states = _states(tx, now_ms, tenant_id, sorted({row.address for row in rows}))
    found: dict[str, list[Address]] = {}
    for row in sorted(rows, key=lambda row: ROLES.index(row.role)):
        found.setdefault(row.customer_key, []).append(Address(Contact(*row[1:]), *states.get(row.address, (NEVER,))))
    return {key: tuple(addresses) for key, addresses in found.items()}


def _states(tx: Transaction, now_ms: int, tenant_id: str, addresses: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """address -> (state, reason, since when); what a person or a server said of it for good counts first."""
    if not addresses:
        return {}
    recipient = func.lower(delivery.c.recipient)
    ended = delivery.c.state.in_((RELAYED, DELIVERED, FAILED))
    latest = (
        select(recipient, func.max(delivery.c.message_id))
        .where(delivery.c.tenant_id == tenant_id, recipient.in_(addresses), ended).group_by(recipient)
    )  # fmt: skip
    pairs = [tuple(row) for row in tx.all(latest)]
    mine = (delivery.c.tenant_id == tenant_id) & delivery.c.message_id.in_([message_id for _, message_id in pairs])
    rows = tx.all(
        select(recipient.label("address"), delivery.c.state, delivery.c.reason, delivery.c.settled_at)
        .where(mine, tuple_(recipient, delivery.c.message_id).in_(pairs))
    )  # fmt: skip
    found: dict[str, tuple[Any, ...]] = {
        row.address: (BOUNCED if row.state == FAILED else REACHED, row.reason, from_ms(row.settled_at)) for row in rows
    }
    holds = suppression.c.expires_at.is_(None) | (suppression.c.expires_at > now_ms)
    stopped = (suppression.c.tenant_id == tenant_id) & suppression.c.address.in_(addresses) & holds
    for row in tx.all(select(suppression.c.address, suppression.c.reason, suppression.c.created_at).where(stopped)):
        found[row.address] = (ALWAYS if row.reason == ALLOWED else STOPPED, row.reason, from_ms(row.created_at))
    return found


def _threads(tx: Transaction, tenant_id: str, key: str, addresses: Sequence[str]) -> list[Thread]:
    """The latest threads of a customer; two queries."""
    owned = select(document.c.thread_id).where(document.c.tenant_id == tenant_id, document.c.customer_key == key)
    same = (thread.c.tenant_id == delivery.c.tenant_id) & (thread.c.thread_id == delivery.c.thread_id)
    mailed = (
        select(delivery.c.thread_id).join_from(delivery, thread, same)
        .where(delivery.c.tenant_id == tenant_id, func.lower(delivery.c.recipient).in_(addresses))
        .where(thread.c.document_id == "")
    )  # fmt: skip
    where = (thread.c.tenant_id == tenant_id) & thread.c.thread_id.in_(union(owned, mailed))
    rows = tx.all(select(thread.c.thread_id).where(where).order_by(thread.c.last_at.desc()).limit(SHOWN))
    found = threads_by_id(tx, tenant_id, [row[0] for row in rows])
    return [found[row[0]] for row in rows]


# -- changing


def put_contact(
    tx: Transaction, now: datetime, tenant_id: str, key: str, email: str, by: str, *,
    role: str = "to", name: str = "", language: str = "",
) -> Contact:  # fmt: skip
    """Give a customer an address, or change the one that it has. Raises Refused: 404 for no customer, 501 for words."""
    _need(tx, tenant_id, key)
    if language not in ("", "ro", "ru", "en"):
        raise Refused(501, "5.5.4", f"{language[:10]!r} is no language; write ro, ru or en")
    address = str(parse_address(email.strip()))
    before = {one.address: one for one in list_contacts(tx, tenant_id, key)}
    made = store.add_contact(tx, now, tenant_id, key, address, role=role, name=name.strip(), language=language)
    if before.get(made.address) != made:
        data = {"by": by, "contact": address, "customer": key, "role": role}
        add_event(tx, to_ms(now), tenant_id, "contact.added", data=data)
    return made


def drop_contact(tx: Transaction, now: datetime, tenant_id: str, key: str, address: str, by: str) -> None:
    """Take an address away from a customer; a document that names it brings it back. Raises Refused 404."""
    if not store.remove_contact(tx, tenant_id, key, address):
        raise Refused(404, "5.1.1", f"the customer has no address {address[:100]!r}")
    data = {"by": by, "contact": address, "customer": key}
    add_event(tx, to_ms(now), tenant_id, "contact.removed", data=data)


def choose_language(tx: Transaction, now: datetime, tenant_id: str, key: str, language: str) -> None:
    """In which language a customer is written to; "" follows its documents. Raises Refused."""
    _need(tx, tenant_id, key)
    if language not in ("", "ro", "ru", "en"):
        raise Refused(501, "5.5.4", f"{language[:10]!r} is no language; write ro, ru or en")
    store.put_customer(tx, to_ms(now), tenant_id, key, language=language)


def let_remind(tx: Transaction, now: datetime, tenant_id: str, key: str, by: str) -> None:
    """A customer that turned reminders off gets them again. Raises Refused 404, or 409 when they are on."""
    _need(tx, tenant_id, key)
    if not resume_customer(tx, to_ms(now), tenant_id, key, by):
        raise Refused(409, "5.5.1", "the customer gets reminders already")


def _need(tx: Transaction, tenant_id: str, key: str) -> None:
    if store.get_customer(tx, tenant_id, key) is None:
        raise Refused(404, "5.1.1", f"there is no customer {key[:100]!r}")

"""The documents of a tenant as clerks work through them: the list with its filters, and one document with all its mail.

Called by the pages and the HTTP API; nothing of it is computed there. The list is made of three queries, for words of
five at the most, a document's page of a constant number, whatever they show. How a document stands (`standing`) follows
from what the billing system said and from the day (`inbox.owing`). Reads; never writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, String, and_, func, literal, select, tuple_, union

from gateway.inbox.listing import progress_of
from gateway.inbox.owing import DRAFT, OVERDUE, PAID, UNPAID, VOIDED, is_late, is_owed, is_paid, standing
from gateway.inbox.reading import read_thread
from gateway.inbox.views import MessageView, ThreadView
from gateway.store.customers import Contact, Customer, get_customer, list_contacts
from gateway.store.database import Transaction, from_ms
from gateway.store.documents import DOCUMENT_TYPES
from gateway.store.finding import holds
from gateway.store.reminders import ReminderState, read_state
from gateway.store.reminding import COMPOSED
from gateway.store.schema import customer, document, thread

PAGE = 50
# Customers and numbers that words are found in: up to so many are looked up; more are met soon on a walk.
FEW_CUSTOMERS, FEW_NUMBERS = 50, 1000
UNSENT = "unsent"
STATES = ("", UNPAID, OVERDUE, UNSENT, PAID, DRAFT, VOIDED)  # what the list can be asked for


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """A document in a list; amounts are decimal text. `composed`: only mail that was composed elsewhere spoke of it."""

    type: str
    id: str
    number: str
    revision: int
    status: str
    language: str
    currency: str
    total: str
    balance: str
    issue_date: str
    due_date: str
    customer_key: str
    customer_name: str
    thread_id: str
    sent_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    composed: bool
    standing: str
    chip: str = ""  # why its thread is open; "" when it is not
    progress: Mapping[str, int] = field(default_factory=dict)  # state of a delivery -> how many recipients

    @property
    def name(self) -> str:
        """`type/id`."""
        return f"{self.type}/{self.id}"

    @property
    def active(self) -> bool:
        """Whether it can be sent and downloaded (S1): the gateway has its data, and it is neither draft nor void."""
        return not self.composed and self.standing not in (DRAFT, VOIDED)

    @property
    def owes(self) -> bool:
        """Whether money is still to come for it."""
        return self.standing in (UNPAID, OVERDUE)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents: `words` are part of a number or of a customer's name."""

    state: str = ""
    type: str = ""
    customer: str = ""  # its key
    words: str = ""


@dataclass(frozen=True, slots=True)
class DocumentList:
    """One page. `cursor` asks for the next one; "" when this is the last."""

    lines: tuple[DocumentLine, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document with its mail, its thread, its customer, and what is known of its reminders."""

    line: DocumentLine
    thread: ThreadView | None
    mails: tuple[MessageView, ...]
    replies: int
    customer: Customer | None
    contacts: tuple[Contact, ...]
    reminders: ReminderState


# -- the list

_NAMES = (
    "type document_id number revision status language currency total balance issue_date due_date customer_key "
    "customer_name thread_id sent_at created_at updated_at"
).split()
_SAID = (document.c.number, document.c.customer_name)
_COLUMNS = (*(document.c[name] for name in _NAMES), func.substr(document.c.body, 1, len(COMPOSED)))


def list_documents(
    tx: Transaction, tenant_id: str, wanted: Filter, today: date, *, after: str = "", limit: int = PAGE
) -> DocumentList:
    """A page of documents, the newest first; what is owed by the day that it is due, the oldest first.

    An unknown state is every state; a cursor that is none begins at the top.
    """
    by_due = wanted.state in (UNPAID, OVERDUE)
    named = _named(tx, tenant_id, wanted.words) if wanted.words else None
    few = bool(wanted.customer) or named is not None
    # hidden from SQLite where few documents are named: it would else walk all of them in this order
    at = document.c.created_at + 0 if few else document.c.created_at
    order = (document.c.due_date if by_due else at, document.c.type, document.c.document_id)
    where = [document.c.tenant_id == tenant_id, *_conditions(wanted, today, few)]
    if wanted.words and named is None:
        where.append((document.c.document_id == wanted.words) | holds(wanted.words, *_SAID))
    if (last := _cursor(after, by_due)) is not None:
        where.append(tuple_(*order) > tuple_(*last) if by_due else tuple_(*order) < tuple_(*last))
    rows = tx.all(
        select(*_COLUMNS)
        .select_from(document if named is None else named)
        .where(*where)
        .order_by(*(one if by_due else one.desc() for one in order))
        .limit(limit + 1)
    )
    shown = rows[:limit]
    more = ""
    if len(rows) > limit:
        more = f"{shown[-1].due_date if by_due else shown[-1].created_at}.{shown[-1].type}.{shown[-1].document_id}"
    return DocumentList(lines_of(tx, tenant_id, shown, today), more)


def _named(tx: Transaction, tenant_id: str, words: str) -> FromClause | None:
    """The documents that have words in their number or their customer's name, by their keys; None when they are many.

    Numbers are looked through in their index, and customers are far fewer than documents.
    """
    where = (customer.c.tenant_id == tenant_id) & holds(words, customer.c.name)
    keys = tx.all(select(customer.c.customer_key).where(where).limit(FEW_CUSTOMERS + 1))
    if len(keys) > FEW_CUSTOMERS:
        return None
    numbered = (document.c.tenant_id == tenant_id) & holds(words, document.c.number)
    numbers = tx.all(select(document.c.number).where(numbered).distinct().limit(FEW_NUMBERS + 1))
    if len(numbers) > FEW_NUMBERS:
        return None
    ways = (  # each by its own index
        document.c.number.in_([row[0] for row in numbers]),
        document.c.customer_key.in_([row[0] for row in keys]),
        document.c.type.in_(DOCUMENT_TYPES) & (document.c.document_id == words),
    )
    key = (document.c.type, document.c.document_id)
    found = union(*(select(*key).where(document.c.tenant_id == tenant_id, way) for way in ways)).subquery("found")
    return document.join(found, (found.c.type == document.c.type) & (found.c.document_id == document.c.document_id))


def _conditions(wanted: Filter, today: date, few: bool) -> list[ColumnElement[bool]]:
    """The other conditions; `few`: the documents are found by what they name, and not by their type."""
    made, owed = [], is_owed(of_few=few)
    if wanted.state == OVERDUE:
        made += [owed, is_late(today)]
    elif wanted.state == UNPAID:
        made.append(owed)
    elif wanted.state == UNSENT:
        made += [document.c.sent_at.is_(None), document.c.status.not_in((DRAFT, VOIDED))]
    elif wanted.state == PAID:
        made.append(is_paid())
    elif wanted.state in (DRAFT, VOIDED):
        made.append(document.c.status == wanted.state)
    if wanted.type:
        made.append((func.lower(document.c.type) if few else document.c.type) == wanted.type)
    if wanted.customer:
        made.append(document.c.customer_key == wanted.customer)
    return made


def _cursor(after: str, by_due: bool) -> tuple[Any, Any, Any] | None:
    key, _, rest = after.partition(".")
    type, dot, document_id = rest.partition(".")
    if not dot or not (by_due or (key.isascii() and key.isdigit() and len(key) < 16)):
        return None
    first = literal(key, String) if by_due else literal(int(key), document.c.created_at.type)
    return first, literal(type, document.c.type.type), literal(document_id, document.c.document_id.type)


def lines_of(tx: Transaction, tenant_id: str, rows: Sequence[Any], today: date) -> tuple[DocumentLine, ...]:
    """The lines for rows of the table; two queries."""
    ids = [row.thread_id for row in rows]
    where = and_(thread.c.tenant_id == tenant_id, thread.c.thread_id.in_(ids), thread.c.state == "open")
    chips = {row[0]: row[1] for row in tx.all(select(thread.c.thread_id, thread.c.chip).where(where))} if ids else {}
    progress = progress_of(tx, tenant_id, ids) if ids else {}
    return tuple(_line(row, today, chips, progress) for row in rows)


def _line(row: Any, today: date, chips: Mapping[str, str], progress: Mapping[str, Mapping[str, int]]) -> DocumentLine:
    values = dict(zip((*_NAMES, "head"), row, strict=True))
    values |= {name: from_ms(values[name]) for name in ("sent_at", "created_at", "updated_at")}
    return DocumentLine(
        id=values.pop("document_id"),
        composed=bytes(values.pop("head")) == COMPOSED,
        standing=standing(row.type, row.status, row.balance, row.due_date, today),
        chip=chips.get(row.thread_id, ""),
        progress=progress.get(row.thread_id, {}),
        **values,
    )


# -- one document


def read_line(tx: Transaction, tenant_id: str, type: str, document_id: str, today: date) -> DocumentLine | None:
    """A document as a list has it; None when the tenant has no such one."""
    where = (document.c.tenant_id == tenant_id) & (document.c.type == type) & (document.c.document_id == document_id)
    rows = tx.all(select(*_COLUMNS).where(where))
    return lines_of(tx, tenant_id, rows, today)[0] if rows else None


def read_document(tx: Transaction, tenant_id: str, type: str, document_id: str, today: date) -> DocumentView | None:
    """A document with all that belongs to it; None when the tenant has no such one."""
    line = read_line(tx, tenant_id, type, document_id, today)
    if line is None:
        return None
    found = read_thread(tx, tenant_id, line.thread_id)
    messages = found.messages if found else ()
    key = (type, document_id)
    customer = get_customer(tx, tenant_id, line.customer_key) if line.customer_key else None
    return DocumentView(
        line=line,
        thread=found,
        mails=tuple(one for one in messages if (one.message.document_type, one.message.document_id) == key),
        replies=sum(one.message.kind == "person" for one in messages),
        customer=customer,
        contacts=tuple(list_contacts(tx, tenant_id, line.customer_key)) if customer else (),
        reminders=read_state(tx, tenant_id, key),
    )

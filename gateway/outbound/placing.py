"""Which document and which thread a composed mail belongs to, when nothing but its number says so (level 0).

Used by the door twice, before a mail is framed (its thread stands in its Reply-To) and in the transaction that keeps
it: the same question must have the same answer, or the mail is prepared anew. A number alone is no proof: two customers
may both have an "Invoice 1". So a thread is joined only when it is of the same tenant, type and number, mail of it went
to one of the same people or it is the same customer's, and it is not half a year old. What was known by its number only
becomes the billing system's document when that comes with an id of its own. A customer's statements of one period are
one thread; a mail without a document is in the conversation that it answers, else begins one.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from gateway.mail.address import Address
from gateway.mail.header_mailboxes import read_mailboxes, read_message_ids
from gateway.mail.message import Head, Part
from gateway.outbound.control import Control
from gateway.outbound.desk import Desk
from gateway.outbound.documents import Document
from gateway.outbound.numbers import DEFAULT_TYPE, find_number, find_type
from gateway.outbound.periods import find_period
from gateway.outbound.queue_find import some_recipients
from gateway.outbound.texts import templates
from gateway.outbound.triggers import TRIGGERS
from gateway.store.conversations import find_numbered
from gateway.store.database import Transaction
from gateway.store.documents import get_document, rename_document
from gateway.store.messages import rename_document_of_messages
from gateway.store.threads import find_thread, get_thread, rename_thread

FRESH_MS = 180 * 86_400_000  # a thread that slept longer is last year's "Invoice 1"
MOST = 20  # threads of one number that are looked at
STATEMENT = "statement"
LONGEST_ID = 160  # leaves room for the thread's id after it


@dataclass(frozen=True, slots=True)
class About:
    """What a mail says of the document that it is about. `named`: by its number only."""

    key: str = ""
    type: str = ""
    number: str = ""
    named: bool = False
    people: frozenset[str] = frozenset()  # keys of the addresses that it goes to
    customer: str = ""  # the billing system's key of the customer
    standing: str = ""  # the key of the thread that was found for it: it need only be there still
    id: str = ""  # of the document, where the key of the thread does not say it


@dataclass(frozen=True, slots=True)
class Place:
    """Where it belongs; `was` is the id of the document by which it was known until now, "" for none."""

    thread_id: str
    key: str = ""
    document_id: str = ""
    known: bool = False  # the thread exists
    was: str = ""

    @property
    def standing(self) -> str:
        """The key of the thread, when nothing but its being there matters from now on."""
        return self.key if self.known and self.was in ("", self.document_id) else ""


# -- what a mail says


def name_document(control: Control, head: Head, parts: Sequence[Part], masks: Sequence[str]) -> Control:
    """The control fields, completed by the number that the subject or a file's name shows."""
    if control.thread or (control.document_type and control.number):
        return control
    names = [part.filename for part in parts if part.filename]
    found = find_number(head.text("subject"), names, masks)
    if control.document_type:
        same = found is not None and found.type == control.document_type
        return replace(control, number=found.number) if found and same else control
    number = control.number or (found.number if found else "")
    if not number:
        return control
    type = (found.type if found else "") or _type_asked(control) or DEFAULT_TYPE
    id = "_".join(number.split())[:LONGEST_ID]
    return replace(control, document_type=type, document_id=id, number=number, named=True)


def _type_asked(control: Control) -> str:
    template = control.template or (TRIGGERS[control.event].template if control.event in TRIGGERS else "")
    fits = templates()[template].fits if template in templates() else ()
    return fits[0] if len(fits) == 1 else ""


def about_mail(control: Control, head: Head, envelope: Iterable[Address], desk: Desk) -> About:
    """What to look for. People are those in To whom the envelope names, without the tenant's own addresses."""
    if control.thread or (control.document_type and not control.number):
        return About(control.thread_key, control.document_type)
    if not control.number:
        return About()
    people = _people(head, envelope, desk)
    return About(control.thread_key, control.document_type, control.number, control.named, people, control.customer)


def about_statement(
    control: Control, head: Head, parts: Sequence[Part], envelope: Iterable[Address], desk: Desk
) -> About:
    """The same of a mail that names no document, when it is somebody's statement for a period that it shows (S83)."""
    texts = (head.text("subject"), *(part.filename for part in parts[:MOST] if part.filename))
    period = find_period(texts)
    if period is None or (_type_asked(control) or find_type(texts)) != STATEMENT:
        return About()
    whose = control.customer or min(_people(head, envelope, desk), default="")
    return About(_statement_key(whose, *period), STATEMENT)


def _statement_key(whose: str, start: str, end: str) -> str:
    if len(whose) > LONGEST_ID:
        whose = sha256(whose.encode()).hexdigest()
    return f"{STATEMENT}/{whose}@{start}..{end}"


def _people(head: Head, envelope: Iterable[Address], desk: Desk) -> frozenset[str]:
    to = {box.address.key for box in read_mailboxes(head.raw_value("to"))[:100]}
    everybody = {address.key for address in envelope}
    own = {box.address.key for box in read_mailboxes(head.raw_value("from"))[:1]}
    own |= {address.lower() for address in (*desk.identities, desk.tenant.contact_email) if address}
    return frozenset((to & everybody) - own) or frozenset(everybody)


def about_document(document: Document, envelope: Iterable[Address]) -> About:
    """The same of a document that is handed over as data."""
    people = {address.key for address in envelope} | {one.address.key for one in document.recipients()}
    key, whose = f"{document.type}/{document.id}", document.customer.id
    if document.statement is not None and document.type == STATEMENT and whose:  # issued anew under another id
        key = _statement_key(whose, document.statement.start, document.statement.end)
    return About(key, document.type, document.number, False, frozenset(people), whose, id=document.id)


# -- what is known


def find_place(tx: Transaction, now_ms: int, tenant_id: str, about: About, new: str) -> Place:
    """Where a mail belongs, `new` being the id of a thread that would be made for it.

    Costs nothing when the mail names no document, and one statement for a number that nobody has seen.
    """
    if not about.key:
        return Place(new)
    id = about.id or about.key.partition("/")[2]
    if not about.number:
        known = find_thread(tx, tenant_id, about.key)
        if known is None and about.type == STATEMENT:  # its thread is that of the period
            document = get_document(tx, tenant_id, STATEMENT, id)
            known = get_thread(tx, tenant_id, document.thread_id) if document else None
            return Place(known.id, known.key, id, True) if known else Place(new, about.key, id)
        return Place(known.id if known else new, about.key, id, known is not None)
    rows = find_numbered(tx, tenant_id, about.number, about.key)
    taken = [row[0] for row in rows if row[1] == about.key]
    if taken and not about.named:
        return Place(taken[0], about.key, id, True)
    for thread_id, key, type, document_id, last_at in rows[:MOST]:
        known_as = f"{about.type}/{_named_id(about.number)}"
        by_number = key in (known_as, f"{known_as}~{thread_id}")
        fits = type == about.type and last_at >= now_ms - FRESH_MS and (about.named or by_number)
        if fits and _is_same_customer(tx, tenant_id, thread_id, (type, document_id), about):
            if about.named:
                return Place(thread_id, key, document_id, True)
            return Place(thread_id, about.key, id, True, document_id)
    return Place(new, f"{about.key}~{new}", f"{id}~{new}") if taken else Place(new, about.key, id)


def answered(head: Head) -> tuple[str, ...]:
    """The Message-IDs that a mail answers, the nearest first; costs nothing when it has no such field."""
    nearest, chain = head.raw_value("in-reply-to"), head.raw_value("references")
    return (*read_message_ids(nearest), *reversed(read_message_ids(chain))) if nearest or chain else ()


def _named_id(number: str) -> str:
    return "_".join(number.split())[:LONGEST_ID]


def _is_same_customer(tx: Transaction, tenant_id: str, thread_id: str, key: tuple[str, str], about: About) -> bool:
    document = get_document(tx, tenant_id, *key) if key[1] and about.customer else None
    if document is not None and document.customer_id:
        return document.customer_id == about.customer
    if about.people & some_recipients(tx, tenant_id, thread_id):
        return True
    if key[1] and not about.customer:  # not looked at before: people agree in most mail
        document = get_document(tx, tenant_id, *key)
    return document is not None and bool(about.people & _contacts(document.body))


def _contacts(body: bytes) -> frozenset[str]:
    """The addresses of whom a document is for."""
    data = json.loads(body)
    parties = [party for name in ("payer", "customer") if isinstance(party := data.get(name), dict)]
    found = {str(party.get("email", "")) for party in parties}
    found |= {str(one.get("email", "")) for party in parties for one in party.get("contacts", ())}
    return frozenset(address.lower() for address in found if address)


def adopt(tx: Transaction, tenant_id: str, about: About, place: Place) -> None:
    """What was known by its number only is the billing system's document from now on, with all that was said of it."""
    if not place.was or place.was == place.document_id:
        return
    rename_thread(tx, tenant_id, place.thread_id, place.key, place.document_id)
    rename_document(tx, tenant_id, about.type, place.was, place.document_id)
    rename_document_of_messages(tx, tenant_id, place.thread_id, (place.was, place.document_id))

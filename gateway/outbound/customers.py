"""Whose a document is, and what handed-over mail tells of that customer: its name, language and addresses.

Called in the door's transaction (`keep_customer`, `keep_mailed`) and before it (`known_customer`). A customer is known
by the billing system's id, else by what names it for good, else by its address or name; a prefix says which, so that
kinds never collide. What a document says of contacts holds until the next document that names any; an address that is
no longer named stays as an alternate. What only an envelope says is weaker: it fills a gap. What the tenant itself set
is never touched. Nothing is written when nothing is new.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.mail.address import Address, parse_address
from gateway.outbound.control import Control
from gateway.outbound.documents import Document, Party, Recipient
from gateway.store.customers import (
    MAILED,
    MOST_CONTACTS,
    Contact,
    get_customer,
    list_contacts,
    put_contact,
    put_customer,
    remove_contact,
)
from gateway.store.database import Transaction
from gateway.store.documents import get_document, set_customer

KEY_LENGTH = 200  # of the column
Named = tuple[str, str, str]  # to or cc, name, address: as the mail's header names a recipient

_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a document's customer beside the document: the language, and whom to mail."""

    language: str = ""
    recipients: tuple[Recipient, ...] = ()


def customer_key(document: Document) -> str:
    """The key of the customer of a document: the one who is billed, whoever pays."""
    party = document.customer
    addresses = [party.email, *(one.email for one in party.contacts if one.send == "to")]
    return _key(party.id, party.idno, party.vat, next((one for one in addresses if one), ""), party.name)


def composed_key(control: Control, address: Address | None) -> str:
    """The key of the customer of a composed mail; "" when its X-AR-* fields name none."""
    if not control.customer and not control.customer_name:
        return ""
    return _key(control.customer, "", "", str(address) if address else "", control.customer_name)


def _key(id: str, idno: str, vat: str, email: str, name: str) -> str:
    """The key by the first that is given."""
    if id.strip():
        return _cut(f"id:{id.strip()}")
    for prefix, value in (("idno", idno), ("vat", vat)):
        if bare := _BLANKS.sub("", value).upper():
            return _cut(f"{prefix}:{bare}")
    if email:
        return _cut(f"mail:{parse_address(email).key}")
    return _cut("name:" + _BLANKS.sub(" ", unicodedata.normalize("NFC", name)).strip().casefold())


def _cut(key: str) -> str:
    """A key that fits its column; of a longer one the hash makes the difference."""
    if len(key) <= KEY_LENGTH:
        return key
    return f"{key[: KEY_LENGTH - 41]}#{hashlib.sha256(key.encode()).hexdigest()[:40]}"


# -- what is known


def known_customer(tx: Transaction, tenant_id: str, document: Document) -> Known:
    """What earlier documents and the tenant said of the customer of a document."""
    key = customer_key(document)
    found = get_customer(tx, tenant_id, key)
    if found is None:
        return Known()
    mailed = [one for one in list_contacts(tx, tenant_id, key) if one.role in MAILED]
    by_tenant = [one.language for one in mailed if one.source == "tenant"]
    by_document = [one.language for one in mailed if one.source != "tenant"]
    languages = [*by_tenant, found.language, *by_document]
    recipients = tuple(Recipient(one.role, one.name, parse_address(one.email)) for one in mailed)
    return Known(next((one for one in languages if one), ""), recipients)


UNWANTED = {
    "unpaid_invoice": "reminders", "late_payment_reminder": "reminders", "statement": "statements",
    "subscription_renews_soon": "renewal notices",
}  # fmt: skip


def unwanted_by(tx: Transaction, tenant_id: str, key: str, template: str) -> str:
    """Why mail of this template is not sent to a customer by itself: it turned such mail off. "" when it may go."""
    found = get_customer(tx, tenant_id, key) if key and template in UNWANTED else None
    if found is None or found.opted_out_at is None:
        return ""
    return f"the customer wants no {UNWANTED[template]} (since {found.opted_out_at:%Y-%m-%d})"


# -- what is kept


def keep_customer(tx: Transaction, now_ms: int, tenant_id: str, document: Document, named: Sequence[Named] = ()) -> str:
    """Keep what a document says of its customer; the customer's key. `named` are its mail's recipients, as named."""
    key = customer_key(document)
    put_customer(tx, now_ms, tenant_id, key, name=document.customer.name)
    said, party = _said(document)
    language = party.language or document.language
    _keep_contacts(tx, now_ms, tenant_id, key, [replace(one, language=language) for one in said], named, language)
    return key


def name_customer(tx: Transaction, now_ms: int, tenant_id: str, document: Document) -> None:
    """Find the customer of a document that an earlier version kept without one: its mail may be turned off."""
    found = get_document(tx, tenant_id, document.type, document.id)
    if found is not None and not found.customer_key:
        set_customer(tx, tenant_id, document.type, document.id, keep_customer(tx, now_ms, tenant_id, document))


def keep_mailed(tx: Transaction, now_ms: int, tenant_id: str, control: Control, named: Sequence[Named]) -> str:
    """Keep what a composed mail's fields say of its customer; its key, "" when they name none."""
    key = composed_key(control, parse_address(named[0][2]) if named else None)
    if key:
        put_customer(tx, now_ms, tenant_id, key, name=control.customer_name or None)
        _keep_contacts(tx, now_ms, tenant_id, key, [], named, control.language)
    return key


def _said(document: Document) -> tuple[list[Contact], Party]:
    """The contacts that a document names, those of the payer before the customer's, and whose they are."""
    for party in (document.payer, document.customer):
        if party is None or not (party.contacts or party.email):
            continue
        if not party.contacts:
            return [Contact(parse_address(party.email).key, party.email, party.name)], party
        return [
            Contact(parse_address(one.email).key, one.email, one.name, "alternate" if one.send == "none" else one.send)
            for one in party.contacts
        ], party
    return [], document.payer_or_customer


def _keep_contacts(
    tx: Transaction, now_ms: int, tenant_id: str, key: str, said: list[Contact], named: Sequence[Named], language: str
) -> None:
    known = {one.address: one for one in list_contacts(tx, tenant_id, key)}
    wanted = {one.address: one for one in reversed(said)}  # of an address that is named twice the first place counts
    if wanted:
        for one in known.values():
            if one.address not in wanted and one.role in MAILED:
                wanted[one.address] = replace(one, role="alternate")
    gap = not any(one.role in MAILED for one in (*wanted.values(), *known.values()))
    for role, name, email in named:
        address = parse_address(email).key
        if address not in wanted and address not in known:
            wanted[address] = Contact(address, email, name, role if gap else "alternate", language)
    for one in wanted.values():
        before = known.get(one.address)
        if before is not None and before.source == "tenant":
            continue
        if before is not None:
            one = replace(one, name=one.name or before.name, language=one.language or before.language)
        if one != before:
            _make_room(tx, tenant_id, key, known, before is None)
            put_contact(tx, now_ms, tenant_id, key, one)
            known[one.address] = one


def _make_room(tx: Transaction, tenant_id: str, key: str, known: dict[str, Contact], needed: bool) -> None:
    """Forget a suggestion of a customer that has too many."""
    spare: Iterable[str] = (a for a, one in known.items() if one.role == "alternate" and one.source == "document")
    if needed and len(known) >= MOST_CONTACTS and (address := next(iter(spare), "")):
        remove_contact(tx, tenant_id, key, address)
        del known[address]

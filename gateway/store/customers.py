"""Customers of a tenant and the addresses of each: who is billed, in which language, and whether it wants reminders.

Written by the door (what documents say: source "document"), by the commands (what the tenant says: source "tenant",
which no document overwrites) and by the preferences page (opting out). A customer's language is the tenant's word; what
documents say of language stands with their contacts. Roles: to, cc and bcc are mailed when a document names nobody;
"alternate" is an address that was seen once, kept as a suggestion and never mailed by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, delete, select, tuple_, update

from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.store.database import Prepared, Transaction, from_ms, storable, to_ms
from gateway.store.events import add_event
from gateway.store.finding import holds
from gateway.store.schema import contact, customer

ROLES = ("to", "cc", "bcc", "alternate")
MAILED = ("to", "cc", "bcc")
MOST_CONTACTS = 100  # of one customer: what documents name beyond that is not kept as a suggestion


@dataclass(frozen=True, slots=True)
class Customer:
    """Whom a tenant bills. `opted_out_at`: since when it wants no reminders, statements and renewal notices."""

    key: str
    name: str = ""
    language: str = ""  # as the tenant set it
    opted_out_at: datetime | None = None
    opted_out_why: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """An address of a customer. `address` is the lower-case key, `email` as people write it; source: who said so."""

    address: str
    email: str
    name: str = ""
    role: str = "to"
    language: str = ""
    source: str = "document"


_CUSTOMER = (
    customer.c.customer_key, customer.c.name, customer.c.language, customer.c.opted_out_at, customer.c.opted_out_why,
)  # fmt: skip
_CONTACT = (
    contact.c.address, contact.c.email, contact.c.name, contact.c.role, contact.c.language, contact.c.source,
)  # fmt: skip


def _customer(row: Sequence[object]) -> Customer:
    key, name, language, at, why = row
    return Customer(str(key), str(name), str(language), from_ms(at), str(why))  # type: ignore[arg-type]


def get_customer(tx: Transaction, tenant_id: str, key: str) -> Customer | None:
    """A customer of the tenant."""
    row = tx.first(select(*_CUSTOMER).where(customer.c.tenant_id == tenant_id, customer.c.customer_key == key))
    return _customer(row) if row else None


def need_customer(tx: Transaction, tenant_id: str, key: str) -> Customer:
    """A customer of the tenant. Raises Refused when there is none with this key."""
    found = get_customer(tx, tenant_id, key)
    if found is None:
        near = ", ".join(one.key for one in list_customers(tx, tenant_id, words=key, limit=5)) if key else ""
        hint = f"; did you mean {near}?" if near else "; see `gateway customer list`"
        raise Refused(550, "5.1.1", f"there is no customer {key[:200]!r}{hint}")
    return found


def list_customers(
    tx: Transaction, tenant_id: str, *, words: str = "", limit: int = 50, after: str = ""
) -> list[Customer]:
    """A tenant's customers by name; with `words` those whose key, name or address holds them.

    `after` is the key of the last one on the page before; there is nothing behind one that there is not.
    """
    where = [customer.c.tenant_id == tenant_id]
    if after:
        last = get_customer(tx, tenant_id, after)
        if last is None:
            return []
        where.append(tuple_(customer.c.name, customer.c.customer_key) > (last.name, last.key))
    if words:
        addressed = select(contact.c.customer_key).where(
            contact.c.tenant_id == tenant_id, contact.c.address.contains(words.lower(), autoescape=True)
        )
        found = holds(words, customer.c.name, customer.c.customer_key)
        where.append(found | customer.c.customer_key.in_(addressed))
    order = (customer.c.name, customer.c.customer_key)
    return [_customer(row) for row in tx.all(select(*_CUSTOMER).where(*where).order_by(*order).limit(limit))]


def put_customer(
    tx: Transaction, now_ms: int, tenant_id: str, key: str, *, name: str | None = None, language: str | None = None
) -> Customer:
    """Make a customer, or change what is given; None leaves what is known. The customer as it is then.

    Another name is an event: the search index finds all of the customer's threads by it.
    """
    found = get_customer(tx, tenant_id, key)
    wanted = found or Customer(key)
    if name is not None:
        wanted = replace(wanted, name=storable(name))
    if language is not None:
        wanted = replace(wanted, language=language)
    if wanted == found:
        return found
    values = {"name": wanted.name, "language": wanted.language, "updated_at": now_ms}
    made = {"tenant_id": tenant_id, "customer_key": key, "opted_out_why": "", "created_at": now_ms, **values}
    upsert = tx.upsert(customer).values(made)  # another node may be making it just now
    tx.change(upsert.on_conflict_do_update(index_elements=["tenant_id", "customer_key"], set_=values))
    if found and found.name != wanted.name:
        data = {"customer": key, "name": wanted.name, "was": found.name}
        add_event(tx, now_ms, tenant_id, "customer.renamed", data=data)
    return wanted


def _is(tenant_id: str, key: str) -> ColumnElement[bool]:
    return (customer.c.tenant_id == tenant_id) & (customer.c.customer_key == key)


# -- contacts


def list_contacts(tx: Transaction, tenant_id: str, key: str) -> list[Contact]:
    """The addresses of a customer: those that are mailed first, each role by address."""
    where = (contact.c.tenant_id == tenant_id) & (contact.c.customer_key == key)
    found = [Contact(*row) for row in tx.all(select(*_CONTACT).where(where).order_by(contact.c.address))]
    return sorted(found, key=lambda one: ROLES.index(one.role))


_CONTACT_OF = Prepared(
    select(contact.c.address).where(
        contact.c.tenant_id == bindparam("k_tenant"),
        contact.c.customer_key == bindparam("k_customer"),
        contact.c.address == bindparam("k_address"),
    )
)


def is_contact(tx: Transaction, tenant_id: str, key: str, address: str) -> bool:
    """Whether an address (in any case of letters) is a customer's."""
    values = {"k_tenant": tenant_id, "k_customer": key, "k_address": storable(address.lower())}
    return tx.run(_CONTACT_OF, values).fetchone() is not None


def put_contact(tx: Transaction, now_ms: int, tenant_id: str, key: str, made: Contact) -> None:
    """Keep an address of a customer as it is given."""
    values = {"email": made.email, "name": storable(made.name), "role": made.role, "language": made.language,
              "source": made.source, "updated_at": now_ms}  # fmt: skip
    names = {"tenant_id": tenant_id, "customer_key": key, "address": made.address, "created_at": now_ms}
    upsert = tx.upsert(contact).values(names | values)
    tx.change(upsert.on_conflict_do_update(index_elements=["tenant_id", "customer_key", "address"], set_=values))


def add_contact(
    tx: Transaction, now: datetime, tenant_id: str, key: str, email: str, *, role: str, name: str, language: str
) -> Contact:
    """An address that the tenant itself gives a customer. Raises Refused for an unknown customer, address or role."""
    need_customer(tx, tenant_id, key)
    if role not in ROLES:
        raise Refused(501, "5.5.4", f"{role[:40]!r} is no role of a contact; write one of {', '.join(ROLES)}")
    made = Contact(parse_address(email).key, email, name[:300], role, language, "tenant")
    put_contact(tx, to_ms(now), tenant_id, key, made)
    return made


def remove_contact(tx: Transaction, tenant_id: str, key: str, address: str) -> bool:
    """Forget an address; False when the customer has no such one."""
    where = (contact.c.tenant_id == tenant_id) & (contact.c.customer_key == key)
    return bool(tx.change(delete(contact).where(where, contact.c.address == address.lower())))


# -- whether it wants reminders


def opt_out(tx: Transaction, now_ms: int, tenant_id: str, key: str, why: str) -> bool:
    """The customer wants no reminders, statements and renewal notices; False when that was known, or nobody has it."""
    where = _is(tenant_id, key) & customer.c.opted_out_at.is_(None)
    values = {"opted_out_at": now_ms, "opted_out_why": storable(why[:300]), "updated_at": now_ms}
    return bool(tx.change(update(customer).where(where).values(values)))


def opt_in(tx: Transaction, now_ms: int, tenant_id: str, key: str) -> bool:
    """The customer wants them again; False when it had not opted out."""
    where = _is(tenant_id, key) & customer.c.opted_out_at.is_not(None)
    values = {"opted_out_at": None, "opted_out_why": "", "updated_at": now_ms}
    return bool(tx.change(update(customer).where(where).values(values)))

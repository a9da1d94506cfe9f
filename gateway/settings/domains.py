"""A tenant's own domains and authors: added by itself, so held to what is its own.

Called by the settings pages. The gateway's own names belong to nobody else: an author there would be signed with the
operator's keys. An author must be in a domain of the tenant's, or below one. Raises Refused in words.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.outbound.dns_records import Record, sending_records
from gateway.outbound.domain_check import House
from gateway.outbound.findings import Check, read_check
from gateway.outbound.key_rotation import MadeKey, add_signed_domain, make_keys, needed, rotate_keys
from gateway.store.database import Database, Transaction
from gateway.store.domains import REPLACED, StoredDomain, StoredKey, all_domains, get_domain, list_keys
from gateway.store.sealed import Seal
from gateway.store.tenants import add_identity

MOST = 20  # domains of a tenant that sets them up by itself


@dataclass(frozen=True, slots=True)
class DomainView:
    """A domain, what to publish for it, and what the last look found."""

    stored: StoredDomain
    records: tuple[Record, ...]
    check: Check
    keys: tuple[tuple[StoredKey, bool], ...]  # with whether a replaced one signed mail that is still queued


def refuse_ours(house: House, name: str) -> None:
    """Refuse a domain that is the gateway's own, or below it."""
    for ours in {house.shared, house.inbox_domain, house.return_domain, house.hostname}:
        if f".{name.lower()}".endswith(f".{ours}"):
            raise Refused(550, "5.7.1", f"{name} belongs to the gateway itself; choose an address of your company")


async def add_own_domain(database: Database, now: datetime, seal: Seal, house: House, tenant_id: str, name: str) -> str:
    """Give a tenant a domain with signing keys; its name."""
    made = await asyncio.to_thread(make_keys)
    return await database.write(_add_own_domain, now, seal, house, tenant_id, name, made)


def _add_own_domain(
    tx: Transaction, now: datetime, seal: Seal, house: House, tenant_id: str, name: str, made: Sequence[MadeKey]
) -> str:
    name = name.strip().lower().rstrip(".").removeprefix("@")
    refuse_ours(house, name)
    known = all_domains(tx, tenant_id)
    if len(known) >= MOST:
        raise Refused(550, "5.7.1", f"there are {MOST} domains already; ask the operator of the gateway for more")
    if not any(one.name == name for one in known):
        add_signed_domain(tx, now, seal, tenant_id, name, made)
    return name


async def rotate_own_keys(database: Database, now: datetime, seal: Seal, one: StoredDomain, *, at_once: bool) -> None:
    """New signing keys of a domain: pending until DNS has them, or signing `at_once` when one was stolen."""
    made = await asyncio.to_thread(make_keys)
    await database.write(rotate_keys, now, seal, one, made, at_once=at_once)


def add_author(tx: Transaction, now: datetime, house: House, tenant_id: str, address: str) -> None:
    """Let a tenant send as an address of one of its domains."""
    parsed = parse_address(address)
    refuse_ours(house, parsed.domain)
    own = [one.name for one in all_domains(tx, tenant_id)]
    if not any(f".{parsed.domain}".endswith(f".{name}") for name in own):
        raise Refused(550, "5.7.1", f"{parsed.domain} is none of your domains; add it first")
    add_identity(tx, now, tenant_id, address)


def read_domain(tx: Transaction, house: House, tenant_id: str, name: str) -> DomainView | None:
    """One domain of a tenant; None when it has none of this name."""
    found = get_domain(tx, tenant_id, name)
    if found is None:
        return None
    keys = list_keys(tx, tenant_id, name)
    shown = tuple((key, key.state == REPLACED and needed(tx, tenant_id, key)) for key in keys)
    return DomainView(found, tuple(sending_records(name, keys, house)), read_check(name, found.kept), shown)

"""Domains that mail is signed for, and their DKIM keys (sealed).

Made by `gateway domain add` and `init` (the shared domain belongs to `OPERATOR`); read when a signer is built.
What to publish in DNS is `outbound.dns_records`, and how it is looked at `outbound.domain_watch`; here is only what is
kept. A key is *pending* until its record is seen in DNS, *active* while it signs, *replaced* while mail that it signed
may still be queued, and then *retired*. Whatever changes for a door raises the revision of the tenants it concerns.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select, update

from gateway.mail.address import valid_domain
from gateway.mail.reply import Refused
from gateway.store.database import Transaction, from_ms, need_time, storable, to_ms
from gateway.store.schema import OPERATOR, domain, signing_key
from gateway.store.sealed import Seal
from gateway.store.tenants import list_tenants, set_tenant

PENDING, ACTIVE, REPLACED, RETIRED = "pending", "active", "replaced", "retired"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A DKIM key. `private` is PEM or DER as given; its repr is hidden by the room that loads it."""

    domain: str
    selector: str
    algorithm: str
    public_record: str
    state: str
    created_at: datetime | None = None
    changed_at: datetime | None = None  # when it came to this state; None: it was made in it


@dataclass(frozen=True, slots=True)
class StoredDomain:
    """A domain and what the last look at its DNS found (`kept`: as `outbound.findings` wrote it; {} before any)."""

    tenant_id: str
    name: str
    created_at: datetime
    checked_at: datetime | None
    kept: Mapping[str, Any]


def add_domain(tx: Transaction, now: datetime, tenant_id: str, name: str) -> None:
    """Give a tenant a domain. Raises Refused when it is malformed or another tenant has it."""
    if not valid_domain(name) or "." not in name:
        raise Refused(501, "5.1.2", f"{name!r} is not a domain; write one like acme.example")
    row = tx.first(select(domain.c.tenant_id).where(domain.c.name == name))
    if row and row[0] != tenant_id:
        raise Refused(550, "5.7.1", f"the domain {name} belongs to another tenant")
    if not row:
        tx.change(insert(domain).values(tenant_id=tenant_id, name=name, created_at=to_ms(now)))


def add_key(
    tx: Transaction, now: datetime, seal: Seal, tenant_id: str, name: str, selector: str, algorithm: str,
    private: bytes, public_record: str, state: str = ACTIVE,
) -> None:  # fmt: skip
    """Keep a new signing key of a domain, sealed."""
    tx.change(
        insert(signing_key).values(
            tenant_id=tenant_id,
            domain=name,
            selector=selector,
            algorithm=algorithm,
            private_sealed=seal.close(private, tenant_id, "signing_key", name, selector),
            public_record=public_record,
            state=state,
            created_at=to_ms(now),
        )
    )
    _renew(tx, tenant_id)


def set_key_state(tx: Transaction, now: datetime, tenant_id: str, name: str, selector: str, state: str) -> None:
    """Bring a key to another state; it signs, or signs no more, from the next message on."""
    mine = (
        (signing_key.c.tenant_id == tenant_id) & (signing_key.c.domain == name) & (signing_key.c.selector == selector)
    )
    tx.change(update(signing_key).where(mine).values(state=state, changed_at=to_ms(now)))
    _renew(tx, tenant_id)


def _renew(tx: Transaction, tenant_id: str) -> None:
    """Let the doors prepare anew: the tenant's, or everybody's when it is about the shared domain."""
    for one in [t.id for t in list_tenants(tx)] if tenant_id == OPERATOR else [tenant_id]:
        set_tenant(tx, one)


def list_domains(tx: Transaction, tenant_id: str) -> list[str]:
    """The domains of a tenant."""
    return [row[0] for row in tx.all(select(domain.c.name).where(domain.c.tenant_id == tenant_id))]


_DOMAIN = (domain.c.tenant_id, domain.c.name, domain.c.created_at, domain.c.checked_at, domain.c.findings)


def _stored(row: Any) -> StoredDomain:
    return StoredDomain(row[0], row[1], need_time(row[2]), from_ms(row[3]), json.loads(row[4] or "{}"))


def get_domain(tx: Transaction, tenant_id: str, name: str) -> StoredDomain | None:
    """A domain of a tenant."""
    row = tx.first(select(*_DOMAIN).where(domain.c.tenant_id == tenant_id, domain.c.name == name))
    return _stored(row) if row else None


def all_domains(tx: Transaction, tenant_id: str = "") -> list[StoredDomain]:
    """The domains of a tenant, or of the whole house for its loop and its operator; the shared one first."""
    where = [domain.c.tenant_id == tenant_id] if tenant_id else []
    return [_stored(row) for row in tx.all(select(*_DOMAIN).where(*where).order_by(domain.c.tenant_id, domain.c.name))]


def unaligned_domains(tx: Transaction, tenant_id: str) -> frozenset[str]:
    """Those of a tenant of which DNS has said that receivers cannot check our signature."""
    return frozenset(one.name for one in all_domains(tx, tenant_id) if one.kept.get("aligned") is False)


def keep_check(tx: Transaction, now: datetime, before: StoredDomain, kept: Mapping[str, Any]) -> None:
    """Keep what a look at a domain's DNS found."""
    mine = (domain.c.tenant_id == before.tenant_id) & (domain.c.name == before.name)
    findings = storable(json.dumps(kept, ensure_ascii=False, separators=(",", ":")))
    tx.change(update(domain).where(mine).values(checked_at=to_ms(now), findings=findings))
    if before.kept.get("aligned") != kept.get("aligned"):
        _renew(tx, before.tenant_id)


def list_keys(tx: Transaction, tenant_id: str, name: str) -> list[StoredKey]:
    """The keys of a domain, without their private halves."""
    columns = (signing_key.c.domain, signing_key.c.selector, signing_key.c.algorithm, signing_key.c.public_record,
               signing_key.c.state, signing_key.c.created_at, signing_key.c.changed_at)  # fmt: skip
    where = (signing_key.c.tenant_id == tenant_id) & (signing_key.c.domain == name)
    rows = tx.all(select(*columns).where(where).order_by(signing_key.c.selector))
    return [StoredKey(r[0], r[1], r[2], r[3], r[4], from_ms(r[5]), from_ms(r[6])) for r in rows]


def open_keys(tx: Transaction, seal: Seal, tenant_id: str, name: str) -> list[tuple[StoredKey, bytes]]:
    """The active keys by which mail of this domain is signed for this tenant: its own, or the operator's."""
    columns = (signing_key.c.domain, signing_key.c.selector, signing_key.c.algorithm, signing_key.c.public_record,
               signing_key.c.state, signing_key.c.private_sealed, signing_key.c.tenant_id)  # fmt: skip
    rows = tx.all(
        select(*columns)
        .where(
            or_(signing_key.c.tenant_id == tenant_id, signing_key.c.tenant_id == OPERATOR),
            signing_key.c.domain == name,
            signing_key.c.state == ACTIVE,
        )
        .order_by(signing_key.c.algorithm.desc())
    )
    return [(StoredKey(*row[:5]), seal.open(row[5], row[6], "signing_key", row[0], row[1])) for row in rows]

"""Domains that mail is signed for, and their DKIM keys (sealed).

Made by `gateway domain add` and `init` (the shared domain belongs to `OPERATOR`); read when a signer is built.
What to publish in DNS is `outbound.dns_records`; here is only what is kept.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, or_, select

from gateway.mail.address import valid_domain
from gateway.mail.reply import Refused
from gateway.store.database import Transaction, to_ms
from gateway.store.schema import OPERATOR, domain, signing_key
from gateway.store.sealed import Seal
from gateway.store.tenants import set_tenant


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A DKIM key. `private` is PEM or DER as given; its repr is hidden by the room that loads it."""

    domain: str
    selector: str
    algorithm: str
    public_record: str
    state: str


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
    private: bytes, public_record: str,
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
            state="active",
            created_at=to_ms(now),
        )
    )
    set_tenant(tx, tenant_id)


def list_domains(tx: Transaction, tenant_id: str) -> list[str]:
    """The domains of a tenant."""
    return [row[0] for row in tx.all(select(domain.c.name).where(domain.c.tenant_id == tenant_id))]


def list_keys(tx: Transaction, tenant_id: str, name: str) -> list[StoredKey]:
    """The keys of a domain, without their private halves."""
    columns = (signing_key.c.domain, signing_key.c.selector, signing_key.c.algorithm, signing_key.c.public_record,
               signing_key.c.state)  # fmt: skip
    where = (signing_key.c.tenant_id == tenant_id) & (signing_key.c.domain == name)
    return [StoredKey(*row) for row in tx.all(select(*columns).where(where).order_by(signing_key.c.selector))]


def open_keys(tx: Transaction, seal: Seal, tenant_id: str, name: str) -> list[tuple[StoredKey, bytes]]:
    """The active keys by which mail of this domain is signed for this tenant: its own, or the operator's."""
    columns = (signing_key.c.domain, signing_key.c.selector, signing_key.c.algorithm, signing_key.c.public_record,
               signing_key.c.state, signing_key.c.private_sealed, signing_key.c.tenant_id)  # fmt: skip
    rows = tx.all(
        select(*columns)
        .where(
            or_(signing_key.c.tenant_id == tenant_id, signing_key.c.tenant_id == OPERATOR),
            signing_key.c.domain == name,
            signing_key.c.state == "active",
        )
        .order_by(signing_key.c.algorithm.desc())
    )
    return [(StoredKey(*row[:5]), seal.open(row[5], row[6], "signing_key", row[0], row[1])) for row in rows]

"""Tenants, the authors they may use, and the credentials by which billing systems are them.

Written by the CLI and the settings pages; read by every door. Passwords are argon2id hashes; verifying one
costs ~50 ms, so doorsteps remember what they verified (`outbound.smtp_submission`), never this file.
"""

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import bindparam, delete, insert, select, update

from gateway.mail.address import Address, parse_address
from gateway.mail.reply import Refused
from gateway.store.database import Prepared, Question, Transaction, from_ms, need_time, new_id, to_ms
from gateway.store.schema import credential, identity, tenant
from gateway.store.settings import check_network, check_settings, check_slug

_HASHER = PasswordHasher()


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company that sends through the gateway."""

    id: str
    slug: str
    company: str
    language: str
    timezone: str
    contact_email: str
    sending: str  # shared: the shared address is the author; own: one of its identities is
    brand: dict[str, Any] = field(hash=False)
    revision: int = 1
    suspended: bool = False
    options: dict[str, Any] = field(default_factory=dict, hash=False)  # store.settings.OPTIONS


@dataclass(frozen=True, slots=True)
class Credential:
    """By what a billing system is its tenant."""

    tenant_id: str
    id: str
    username: str
    label: str
    networks: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


_COLUMNS = (
    tenant.c.tenant_id,
    tenant.c.slug,
    tenant.c.company,
    tenant.c.language,
    tenant.c.timezone,
    tenant.c.contact_email,
    tenant.c.sending,
    tenant.c.brand,
    tenant.c.suspended_at,
    tenant.c.revision,
    tenant.c.options,
)


def _tenant(row: Any) -> Tenant:
    names = ("id", "slug", "company", "language", "timezone", "contact_email", "sending")
    values = dict(zip(names, row[:7], strict=True))
    brand, options = json.loads(row[7] or "{}"), json.loads(row[10] or "{}")
    return Tenant(**values, brand=brand, options=options, suspended=row[8] is not None, revision=row[9])


def add_tenant(
    tx: Transaction,
    now: datetime,
    slug: str,
    company: str,
    *,
    language: str = "ro",
    timezone: str = "Europe/Chisinau",
    contact_email: str = "",
    brand: dict[str, Any] | None = None,
) -> Tenant:
    """Make a tenant. Raises Refused when the slug is taken or cannot stand in an address, or a setting is wrong."""
    check_slug(slug)
    settings = {"company": company, "language": language, "timezone": timezone, "contact_email": contact_email}
    check_settings(settings | {"brand": brand or {}})
    if find_tenant(tx, slug):
        raise Refused(550, "5.7.1", f"the tenant's name {slug!r} is taken; choose another")
    tenant_id = new_id()
    tx.change(
        insert(tenant).values(
            tenant_id=tenant_id,
            slug=slug,
            **settings,
            brand=json.dumps(brand or {}, ensure_ascii=False),
            created_at=to_ms(now),
        )
    )
    return need_tenant(tx, slug)


def set_tenant(tx: Transaction, /, tenant_id: str, **changes: Any) -> None:
    """Change some of a tenant's columns. Raises Refused.

    `brand` and `options` are merged, a member that is empty or None is forgotten; `suspended_at` is a time or None.
    """
    check_settings(changes)
    for name in ("brand", "options"):
        if name in changes:
            row = tx.first(select(tenant.c[name]).where(tenant.c.tenant_id == tenant_id))
            merged = json.loads((row[0] if row else "") or "{}") | changes[name]
            kept = {k: v for k, v in merged.items() if v is not False and v not in (None, "", [])}
            changes[name] = json.dumps(kept, ensure_ascii=False)
    if isinstance(changes.get("suspended_at"), datetime):
        changes["suspended_at"] = to_ms(changes["suspended_at"])
    tx.memo.pop((tenant_revision, tenant_id), None)
    tx.change(update(tenant).where(tenant.c.tenant_id == tenant_id).values(revision=tenant.c.revision + 1, **changes))


def list_tenants(tx: Transaction, after: str = "", limit: int | None = None) -> list[Tenant]:
    """Tenants by name: all, or some after one."""
    found = select(*_COLUMNS).where(tenant.c.slug > after).order_by(tenant.c.slug).limit(limit)
    return [_tenant(row) for row in tx.all(found)]


def find_tenant(tx: Transaction, slug: str) -> Tenant | None:
    """A tenant by the name used in addresses and commands."""
    row = tx.first(select(*_COLUMNS).where(tenant.c.slug == slug))
    return _tenant(row) if row else None


def get_tenant(tx: Transaction, tenant_id: str) -> Tenant | None:
    """A tenant by id."""
    return _tenant(row) if (row := tx.run(_GET, {"k_tenant": tenant_id}).fetchone()) else None


_GET = Prepared(select(*_COLUMNS).where(tenant.c.tenant_id == bindparam("k_tenant")))
_REVISION = Prepared(select(tenant.c.revision).where(tenant.c.tenant_id == bindparam("k_tenant")))


def revision_of(tenant_id: str) -> Question:
    """What `tenant_revision` asks."""
    return _REVISION, {"k_tenant": tenant_id}


def tenant_revision(tx: Transaction, tenant_id: str) -> int:
    """The revision of a tenant's settings: doors remember a tenant and check by this, in their transaction."""
    key = (tenant_revision, tenant_id)
    if key not in tx.memo:
        tx.memo[key] = next((row[0] for row in tx.rows(revision_of(tenant_id))), 0)
    return int(tx.memo[key])


def need_tenant(tx: Transaction, slug: str) -> Tenant:
    """A tenant by name. Raises Refused when there is none."""
    found = find_tenant(tx, slug)
    if not found:
        names = ", ".join(t.slug for t in list_tenants(tx)) or "none yet; add one with `gateway tenant add`"
        raise Refused(550, "5.1.1", f"there is no tenant {slug!r} (there are: {names})")
    return found


# -- identities


def add_identity(tx: Transaction, now: datetime, tenant_id: str, address: str) -> Address:
    """Allow a tenant to be this author. Raises Refused on a malformed address."""
    parsed = parse_address(address)
    values = {"tenant_id": tenant_id, "address": parsed.key, "created_at": to_ms(now)}
    tx.change(tx.upsert(identity).values(values).on_conflict_do_nothing())
    set_tenant(tx, tenant_id)
    return parsed


def remove_identity(tx: Transaction, tenant_id: str, address: str) -> bool:
    """Forbid an author; False when it was not allowed."""
    set_tenant(tx, tenant_id)
    where = (identity.c.tenant_id == tenant_id) & (identity.c.address == address.lower())
    return bool(tx.change(delete(identity).where(where)))


def list_identities(tx: Transaction, tenant_id: str) -> list[str]:
    """The authors a tenant may use in `own` mode."""
    rows = tx.all(select(identity.c.address).where(identity.c.tenant_id == tenant_id).order_by(identity.c.address))
    return [row[0] for row in rows]


# -- credentials


def add_credential(
    tx: Transaction,
    now: datetime,
    tenant_id: str,
    *,
    username: str = "",
    password: str = "",
    networks: tuple[str, ...] = (),
    label: str = "",
    secret_hash: str = "",
) -> tuple[Credential, str]:
    """Make a credential; (it, its password), the password shown this once. Raises Refused when the name is taken.

    With `networks` (CIDR) the peers in them are this tenant without AUTH; then there is no password.
    `secret_hash`: computed beforehand.
    """
    for network in networks:
        check_network(network)
    credential_id = new_id()
    username = (username or f"c-{credential_id[-10:]}").lower()
    if tx.first(select(credential.c.username).where(credential.c.username == username)):
        raise Refused(550, "5.7.1", f"the username {username!r} is taken; choose another")
    if not networks:
        password = password or secrets.token_urlsafe(24)
    tx.change(
        insert(credential).values(
            tenant_id=tenant_id,
            credential_id=credential_id,
            username=username,
            secret_hash=(secret_hash or hash_password(password)) if password else "",
            networks=json.dumps(list(networks)),
            label=label,
            created_at=to_ms(now),
        )
    )
    return Credential(tenant_id, credential_id, username, label, networks, now, None), password


def revoke_credential(tx: Transaction, now: datetime, tenant_id: str, username: str) -> bool:
    """End a credential; False when the tenant has no such one."""
    matching = (credential.c.tenant_id == tenant_id) & (credential.c.username == username.lower())
    return bool(tx.change(update(credential).where(matching).values(revoked_at=to_ms(now))))


def list_credentials(tx: Transaction, tenant_id: str) -> list[Credential]:
    """A tenant's credentials, revoked ones too."""
    names = ("tenant_id", "credential_id", "username", "label", "networks", "created_at", "revoked_at")
    rows = tx.all(
        select(*(credential.c[name] for name in names))
        .where(credential.c.tenant_id == tenant_id)
        .order_by(credential.c.credential_id)
    )
    return [
        Credential(
            row[0], row[1], row[2], row[3], tuple(json.loads(row[4] or "[]")), need_time(row[5]), from_ms(row[6])
        )
        for row in rows
    ]


def find_login(tx: Transaction, username: str) -> tuple[str, str, str] | None:
    """(tenant id, credential id, password hash) of a credential that is not revoked."""
    row = tx.first(
        select(credential.c.tenant_id, credential.c.credential_id, credential.c.secret_hash).where(
            credential.c.username == username.lower(), credential.c.revoked_at.is_(None)
        )
    )
    return (row[0], row[1], row[2]) if row else None


def list_networks(tx: Transaction) -> list[tuple[str, str, str]]:
    """(network, tenant id, username) of every credential that is a network."""
    rows = tx.all(
        select(credential.c.networks, credential.c.tenant_id, credential.c.username).where(
            credential.c.networks.not_in(["", "[]"]), credential.c.revoked_at.is_(None)
        )
    )
    return [(network, row[1], row[2]) for row in rows for network in json.loads(row[0])]


def hash_password(password: str) -> str:
    """The argon2id hash of a password, with its salt and parameters."""
    return _HASHER.hash(password)


def verify_password(secret_hash: str, password: str) -> bool:
    """Whether the password is right; costs tens of milliseconds by design, so never on the event loop."""
    try:
        return _HASHER.verify(secret_hash or _decoy(), password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _decoy() -> str:
    """What an unknown user's password is compared with: their answer cannot be told apart by time."""
    return _HASHER.hash(secrets.token_hex(16))

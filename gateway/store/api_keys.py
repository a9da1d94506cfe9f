"""Keys of the HTTP API: by which programs are a tenant, what each may do, and until when.

A key is `gwk_PREFIX_SECRET`: the prefix finds its row, the secret has 256 random bits and is shown once. Kept is its
SHA-256: a slow hash protects what people choose, and nobody can guess through 256 random bits, so it would only make
each request dear. Written by the command, the settings page, and (once an hour, `last_used_at`) by the API.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from gateway.mail.reply import Refused
from gateway.store.database import Transaction, from_ms, need_time, new_id, to_ms
from gateway.store.schema import api_key

SCOPES = (
    "messages:write", "messages:read", "documents:write", "documents:read", "threads:write", "threads:read",
    "customers:write", "customers:read", "suppressions:write", "suppressions:read", "templates:write", "templates:read",
    "events:read",
)  # fmt: skip
COARSE = timedelta(hours=1)  # how exactly is known when a key was used last
MOST_KEYS = 100  # of a tenant, revoked ones aside
LABEL_LENGTH = 100
_FORM = re.compile(r"gwk_([a-z2-7]{12})_([A-Za-z0-9_-]{43})\Z")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without its secret. `name` is how the timeline and limits call it; unknown times are None."""

    tenant_id: str
    id: str
    prefix: str
    label: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @property
    def name(self) -> str:
        """What messages name as the credential that they came by."""
        return f"api:{self.prefix}"

    def holds(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


_COLUMNS = (
    api_key.c.tenant_id, api_key.c.key_id, api_key.c.prefix, api_key.c.label, api_key.c.scopes, api_key.c.created_at,
    api_key.c.created_by, api_key.c.expires_at, api_key.c.revoked_at, api_key.c.last_used_at,
)  # fmt: skip


def _key(row: Any) -> ApiKey:
    scopes = tuple(row[4].split())
    times = (from_ms(row[7]), from_ms(row[8]), from_ms(row[9]))
    return ApiKey(row[0], row[1], row[2], row[3], scopes, need_time(row[5]), row[6], *times)


def add_api_key(
    tx: Transaction,
    now: datetime,
    tenant_id: str,
    *,
    label: str,
    scopes: tuple[str, ...],
    expires_at: datetime | None = None,
    by: str = "",
) -> tuple[ApiKey, str]:
    """Make a key; (it, its text, which nobody can show again). Raises Refused for a scope that is none, and the like.

    No `scopes` are all of them.
    """
    for scope in scopes:
        if scope not in SCOPES:
            raise _refuse(f"{scope[:40]!r} is no scope of an API key; there are {', '.join(SCOPES)}")
    if len(label) > LABEL_LENGTH or not label.isprintable():
        raise _refuse(f"the label is longer than {LABEL_LENGTH} characters or not one line")
    if expires_at is not None and expires_at <= now:
        raise _refuse(f"{expires_at:%Y-%m-%d %H:%M} UTC is over; name a later time")
    if sum(one.revoked_at is None for one in list_api_keys(tx, tenant_id)) >= MOST_KEYS:
        raise _refuse(f"the tenant has {MOST_KEYS} API keys; revoke one that nobody uses")
    prefix, secret = "".join(secrets.choice(_ALPHABET) for _ in range(12)), secrets.token_urlsafe(32)
    text = f"gwk_{prefix}_{secret}"
    made = ApiKey(tenant_id, new_id(), prefix, label, scopes or SCOPES, now, by, expires_at, None, None)
    tx.change(
        insert(api_key).values(
            tenant_id=tenant_id,
            key_id=made.id,
            prefix=prefix,
            secret_hash=_hash(text),
            label=label,
            scopes=" ".join(made.scopes),
            created_at=to_ms(now),
            created_by=by[:320],
            expires_at=None if expires_at is None else to_ms(expires_at),
        )
    )
    return made, text


def list_api_keys(tx: Transaction, tenant_id: str) -> list[ApiKey]:
    """A tenant's keys, revoked ones too, the oldest first."""
    rows = tx.all(select(*_COLUMNS).where(api_key.c.tenant_id == tenant_id).order_by(api_key.c.key_id))
    return [_key(row) for row in rows]


def revoke_api_key(tx: Transaction, now: datetime, tenant_id: str, prefix: str) -> bool:
    """End a key by its prefix or its whole text; False when the tenant has no such key that is not revoked."""
    found = _FORM.match(prefix)
    wanted = found[1] if found else prefix.removeprefix("gwk_").removeprefix("api:")
    where = (api_key.c.tenant_id == tenant_id) & (api_key.c.prefix == wanted) & api_key.c.revoked_at.is_(None)
    return bool(tx.change(update(api_key).where(where).values(revoked_at=to_ms(now))))


def looks_right(text: str) -> bool:
    """Whether a text has the form of a key: what has not needs no look into the database."""
    return _FORM.match(text) is not None


def find_api_key(tx: Transaction, now: datetime, text: str) -> ApiKey | None:
    """The key with this text, while it holds. Asked by prefix, the only query that finds a tenant by it."""
    found = _FORM.match(text)
    row = tx.first(select(api_key.c.secret_hash, *_COLUMNS).where(api_key.c.prefix == found[1])) if found else None
    if row is None or not hmac.compare_digest(row[0], _hash(text)):
        return None
    key = _key(row[1:])
    return key if key.holds(now) else None


def note_used(tx: Transaction, now: datetime, key: ApiKey) -> None:
    """The key was used in this hour."""
    where = (api_key.c.tenant_id == key.tenant_id) & (api_key.c.key_id == key.id)
    tx.change(update(api_key).where(where).values(last_used_at=to_ms(now)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse(text: str) -> Refused:
    return Refused(501, "5.5.4", text)

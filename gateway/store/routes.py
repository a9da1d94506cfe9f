"""A tenant's own SMTP server: how it is reached, its secret (sealed), how it fares, and what was learned of it.

Written by `gateway tenant smtp` and by `outbound.tenant_routes`; read by delivery and the desk. The password and the
OAuth tokens lie in one sealed value, bound to the tenant and this place; no value of this file shows them in its repr.
A change of the server bumps the tenant's revision, so that the next message follows it (S13); states and learned facts
do not. Also the OAuth consents that were begun: a state is kept as its hash, serves once, and expires.
"""

import hashlib
import ipaddress
import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, or_, select, update

from gateway.mail.address import parse_address, valid_domain
from gateway.mail.reply import Refused
from gateway.store.database import Transaction, from_ms, to_ms
from gateway.store.schema import consent, route
from gateway.store.sealed import Seal
from gateway.store.tenants import set_tenant

SMTP = "smtp"  # the name of the one route that a tenant has
SECURITY = ("tls", "starttls", "starttls-if-offered", "none")
FALLBACK = ("off", "30m", "always")  # when the tenant's mail may leave from the shared address instead
OK, FAILED = "ok", "failed"
CONSENT_MS = 30 * 60_000
REFRESH_MS = 60_000  # how long a node may take to renew tokens
WORDS_LIMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A tenant's SMTP server. `address` is its author there; `version` counts what `put_server` changed."""

    host: str
    port: int
    security: str = "starttls"
    username: str = ""  # "": the server wants no login
    address: str
    auth: str = "password"  # password | oauth
    connections: int = 3  # at once; what Microsoft 365 allows for one account
    trusted: str = ""  # PEM: certificates that are believed beside the system's
    provider: str = ""
    grant: str = ""  # authorization_code | client_credentials
    client_id: str = ""
    authorize_url: str = ""
    token_url: str = ""
    scope: str = ""
    fallback: str = "off"
    return_path: str = ""  # learned: "tenant" when only the tenant's own address may be the return path
    reports: str = ""  # learned by the test: where its reports land: gateway | at once | elsewhere
    version: int = 1


@dataclass(frozen=True, slots=True)
class Secret:
    """What proves us to the server. `expires_at` is of the access token, in ms."""

    password: str = field(default="", repr=False)
    client_secret: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """A server with how it fares: `state` "" (not known), ok or failed since `changed_at`; `words` of its refusal."""

    tenant_id: str
    server: Server
    state: str
    words: str
    changed_at: datetime | None
    tested_at: datetime | None


def check_server(server: Server) -> None:
    """Refuse settings that could not work, in words."""
    if not (valid_domain(server.host) or is_address(server.host)):
        raise _refuse(f"{server.host[:80]!r} is not a host; write one like smtp.acme.example")
    if not 0 < server.port < 65536:
        raise _refuse(f"{server.port} is not a port; usual are 465 (tls) and 587 (starttls)")
    if server.security not in SECURITY or server.fallback not in FALLBACK:
        raise _refuse(f"security is one of {', '.join(SECURITY)}, fallback one of {', '.join(FALLBACK)}")
    if not 1 <= server.connections <= 100:
        raise _refuse("connections at once are 1 to 100")
    if any(not text.isprintable() for text in (server.username, server.client_id, server.scope)):
        raise _refuse("a username, client id or scope holds characters that cannot be written on one line")
    parse_address(server.address)


def put_server(tx: Transaction, now: datetime, seal: Seal, tenant_id: str, server: Server, secret: Secret) -> Server:
    """Keep a tenant's server, or change it; what was learned of the one before is forgotten. Raises Refused."""
    check_server(server)
    before = get_server(tx, tenant_id)
    kept = replace(server, version=before.server.version + 1 if before else 1, return_path="", reports="")
    values = {
        "settings": _pack(kept),
        "secret_sealed": _close(seal, tenant_id, secret),
        "state": "",
        "words": "",
        "changed_at": None,
        "tested_at": None,
        "refresh_until": None,
    }
    if before is None:
        key = {"tenant_id": tenant_id, "name": SMTP, "created_at": to_ms(now)}
        tx.change(insert(route).values(**key, **values))
    else:
        tx.change(update(route).where(_of(tenant_id)).values(**values))
    set_tenant(tx, tenant_id)
    return kept


def set_fallback(tx: Transaction, tenant_id: str, fallback: str) -> None:
    """When mail of this tenant may leave from the shared address. Raises Refused when it has no server."""
    kept = need_server(tx, tenant_id)
    check_server(replace(kept.server, fallback=fallback))
    _change(tx, tenant_id, fallback=fallback)
    set_tenant(tx, tenant_id)


def learn(tx: Transaction, /, tenant_id: str, version: int, **facts: str) -> None:
    """Remember `return_path` or `reports` of this version of the server; a later one is not touched."""
    kept = get_server(tx, tenant_id)
    if kept is not None and kept.server.version == version:
        _change(tx, tenant_id, **facts)


def note_test(tx: Transaction, now_ms: int, tenant_id: str) -> None:
    """Remember that the server was tested and took the test."""
    tx.change(update(route).where(_of(tenant_id)).values(tested_at=now_ms))


def drop_server(tx: Transaction, tenant_id: str) -> bool:
    """Forget a tenant's server and its secret; False when it had none."""
    tx.change(delete(consent).where(consent.c.tenant_id == tenant_id))
    gone = bool(tx.change(delete(route).where(_of(tenant_id))))
    if gone:
        set_tenant(tx, tenant_id)
    return gone


def get_server(tx: Transaction, tenant_id: str) -> Kept | None:
    """A tenant's server; None when it has none."""
    row = tx.first(_SELECT.where(_of(tenant_id)))
    return _kept(row) if row else None


def need_server(tx: Transaction, tenant_id: str) -> Kept:
    """The same. Raises Refused when there is none."""
    found = get_server(tx, tenant_id)
    if found is None:
        raise Refused(550, "5.7.1", "this tenant has no SMTP server of its own; see `gateway tenant smtp set`")
    return found


def list_servers(tx: Transaction, state: str = "") -> list[Kept]:
    """The servers of all tenants, or those in one state."""
    where = (route.c.name == SMTP) & (route.c.state == state) if state else route.c.name == SMTP
    return [_kept(row) for row in tx.all(_SELECT.where(where).order_by(route.c.tenant_id))]


def set_state(tx: Transaction, now_ms: int, tenant_id: str, version: int, state: str, words: str = "") -> str | None:
    """Write how the server fares; the state before when this changed it, else None (somebody was faster)."""
    kept = get_server(tx, tenant_id)
    if kept is None or kept.server.version != version or kept.state == state:
        return None
    where = _of(tenant_id) & (route.c.state == kept.state)
    values = {"state": state, "words": words[:WORDS_LIMIT], "changed_at": now_ms}
    return kept.state if tx.change(update(route).where(where).values(**values)) else None


# -- secrets


def open_secret(tx: Transaction, seal: Seal, tenant_id: str) -> Secret:
    """What proves us to the server; empty when nothing was given."""
    row = tx.first(select(route.c.secret_sealed).where(_of(tenant_id)))
    if not row or row[0] is None:
        return Secret()
    return Secret(**json.loads(seal.open(row[0], tenant_id, "route", SMTP)))


def begin_refresh(tx: Transaction, now_ms: int, tenant_id: str, version: int) -> bool:
    """Take the right to renew the tokens, for a minute; False when another node has it, or the server changed."""
    kept = get_server(tx, tenant_id)
    if kept is None or kept.server.version != version:
        return False
    free = or_(route.c.refresh_until.is_(None), route.c.refresh_until <= now_ms)
    return bool(tx.change(update(route).where(_of(tenant_id), free).values(refresh_until=now_ms + REFRESH_MS)))


def end_refresh(tx: Transaction, seal: Seal, tenant_id: str, version: int, secret: Secret | None) -> None:
    """Give the right back, with the new tokens when there are some."""
    kept = get_server(tx, tenant_id)
    if kept is None or kept.server.version != version:
        return
    values: dict[str, Any] = {"refresh_until": None}
    if secret is not None:
        values["secret_sealed"] = _close(seal, tenant_id, secret)
    tx.change(update(route).where(_of(tenant_id)).values(**values))


def drop_token(tx: Transaction, seal: Seal, tenant_id: str, access_token: str) -> None:
    """Forget an access token that was refused, unless another node has renewed it meanwhile."""
    secret = open_secret(tx, seal, tenant_id)
    if secret.access_token == access_token:
        fresh = replace(secret, access_token="", expires_at=0)
        tx.change(update(route).where(_of(tenant_id)).values(secret_sealed=_close(seal, tenant_id, fresh)))


# -- consents


def begin_consent(tx: Transaction, now_ms: int, seal: Seal, tenant_id: str, state: str, flow: dict[str, Any]) -> None:
    """Keep what an OAuth consent needs when its answer comes; those that expired are removed."""
    tx.change(delete(consent).where(consent.c.expires_at <= now_ms))
    digest = _digest(state)
    sealed = seal.close(json.dumps(flow).encode(), tenant_id, "consent", digest)
    values = {"tenant_id": tenant_id, "state": digest, "flow_sealed": sealed, "expires_at": now_ms + CONSENT_MS}
    tx.change(insert(consent).values(**values))


def take_consent(tx: Transaction, now_ms: int, seal: Seal, tenant_id: str, state: str) -> dict[str, Any]:
    """What was kept for this state, once. Raises Refused when there is nothing, or it is too late."""
    digest = _digest(state)
    where = (consent.c.tenant_id == tenant_id) & (consent.c.state == digest) & (consent.c.expires_at > now_ms)
    row = tx.first(select(consent.c.flow_sealed).where(where))
    if row is None:
        raise Refused(550, "5.7.1", "this consent was not begun here, was used already, or is older than half an hour; "
                      "begin again with `gateway tenant smtp set`")  # fmt: skip
    tx.change(delete(consent).where(where))
    flow: dict[str, Any] = json.loads(seal.open(row[0], tenant_id, "consent", digest))
    return flow


# -- inside

_SELECT = select(
    route.c.tenant_id, route.c.settings, route.c.state, route.c.words, route.c.changed_at, route.c.tested_at
)
_FIELDS = frozenset(one.name for one in fields(Server))


def _of(tenant_id: str) -> ColumnElement[bool]:
    return (route.c.tenant_id == tenant_id) & (route.c.name == SMTP)


def _kept(row: Any) -> Kept:
    return Kept(row[0], _unpack(row[1]), row[2], row[3], from_ms(row[4]), from_ms(row[5]))


def _unpack(text: str) -> Server:
    return Server(**{name: value for name, value in json.loads(text).items() if name in _FIELDS})


def _pack(server: Server) -> str:
    return json.dumps(asdict(server), ensure_ascii=False)


def _change(tx: Transaction, tenant_id: str, **facts: Any) -> None:
    row = tx.first(select(route.c.settings).where(_of(tenant_id)))
    if row:
        tx.change(update(route).where(_of(tenant_id)).values(settings=_pack(replace(_unpack(row[0]), **facts))))


def _close(seal: Seal, tenant_id: str, secret: Secret) -> bytes:
    return seal.close(json.dumps(asdict(secret)).encode(), tenant_id, "route", SMTP)


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _refuse(text: str) -> Refused:
    return Refused(501, "5.5.4", text)

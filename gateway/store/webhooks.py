"""Endpoints of webhooks: where a tenant's events are delivered, how far, how that fares, and the log of attempts.

An endpoint is a cursor over the feed (`store.event_feed`) with what a retry needs: durable like mail, in order. The
cursor moves in the commit that notes the outcome, fenced by the lease of one turn, so two nodes never share one.
Written by `gateway webhook` and `outbound.webhooks`. Secrets lie sealed, bound to tenant and endpoint.
"""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, delete, exists, insert, or_, select, update

from gateway.mail.reply import Refused
from gateway.store.database import Transaction, from_ms, need_time, new_id, storable, to_ms
from gateway.store.event_feed import Horizon, find_horizon
from gateway.store.events import TYPES, add_event
from gateway.store.schema import endpoint, endpoint_attempt, event
from gateway.store.sealed import Seal

OK, FAILING, DISABLED = "ok", "failing", "disabled"
DELIVERED, RETRIED, GIVEN_UP = "delivered", "failed", "given up"
OUTCOMES = (DELIVERED, RETRIED, GIVEN_UP)
MOST = 10  # endpoints of one tenant: they share the gateway's connections with others
LOGGED = 500  # attempts of an endpoint that are kept
LOGGED_FOR = timedelta(days=30)
ROTATION = timedelta(hours=24)  # a replaced secret signs along for so long
WORDS_LIMIT = 300
_URL_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events go. `state`: ok, failing or disabled, since `changed_at`; `types` empty: all."""

    tenant_id: str
    id: str
    url: str
    types: frozenset[str]
    state: str
    words: str
    changed_at: datetime
    cursor: str
    tries: int
    first_tried_at: datetime | None
    next_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HookAttempt:
    """One try: HTTP's code (0: no answer), and what came of it."""

    id: str
    event_id: str
    type: str
    at: datetime
    milliseconds: int
    code: int
    outcome: str
    words: str


_COLUMNS = (
    endpoint.c.tenant_id, endpoint.c.endpoint_id, endpoint.c.url, endpoint.c.types, endpoint.c.state, endpoint.c.words,
    endpoint.c.changed_at, endpoint.c.cursor, endpoint.c.tries, endpoint.c.first_tried_at, endpoint.c.next_at,
    endpoint.c.created_at,
)  # fmt: skip


def check_url(url: str, *, inner: bool) -> str:
    """The URL, if events may be sent there; `inner`: http:// too. Raises Refused."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refuse(f"{url[:100]!r} is no URL; write https://host/path") from None
    if parts.scheme != "https" and not (inner and parts.scheme == "http"):
        raise _refuse(f"{url[:100]!r} does not begin with https://; events are sent encrypted only")
    if not parts.hostname or parts.username or parts.password or parts.fragment or port == 0:
        raise _refuse(f"the URL {url[:100]!r} must be https://host/path, without a user, a password or a fragment")
    if len(url) > _URL_LIMIT or not url.isascii() or any(char <= " " or char == "\x7f" for char in url):
        raise _refuse(f"the URL is longer than {_URL_LIMIT} characters, or holds some that must be written as %XX")
    return url


def _refuse(words: str) -> Refused:
    return Refused(501, "5.5.4", words)


def add_endpoint(
    tx: Transaction, now: datetime, seal: Seal, tenant_id: str, url: str, types: frozenset[str] = frozenset(), *,
    inner: bool = False,
) -> tuple[Endpoint, str]:  # fmt: skip
    """(a new endpoint, its secret, which is shown this once). It begins with what happens now. Raises Refused."""
    check_url(url, inner=inner)
    if unknown := types - TYPES:
        raise _refuse(f"there is no event {min(unknown)!r}; docs/smtp.md lists them")
    known = list_endpoints(tx, tenant_id)
    if len(known) >= MOST:
        raise _refuse(f"a tenant has {MOST} endpoints at the most; remove one first")
    if any(one.url == url for one in known):
        raise _refuse(f"events are sent to {url} already")
    now_ms, made, secret = to_ms(now), new_id(), _make_secret()
    sealed = seal.close(json.dumps([[secret, 0]]).encode(), tenant_id, "endpoint", made)
    values = {
        "tenant_id": tenant_id, "endpoint_id": made, "url": url, "secrets_sealed": sealed, "changed_at": now_ms,
        "types": json.dumps(sorted(types)) if types else "", "cursor": find_horizon(tx), "next_at": now_ms,
        "created_at": now_ms,
    }  # fmt: skip
    tx.change(insert(endpoint).values(values))
    return need_endpoint(tx, tenant_id, made), secret


def _make_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def list_endpoints(tx: Transaction, tenant_id: str) -> list[Endpoint]:
    """A tenant's endpoints, the oldest first."""
    found = select(*_COLUMNS).where(endpoint.c.tenant_id == tenant_id).order_by(endpoint.c.endpoint_id)
    return [_endpoint(row) for row in tx.all(found)]


def need_endpoint(tx: Transaction, tenant_id: str, endpoint_id: str) -> Endpoint:
    """One of them. Raises Refused when there is none."""
    row = tx.first(select(*_COLUMNS).where(_of(tenant_id, endpoint_id)))
    if row is None:
        raise Refused(550, "5.7.1", f"this tenant has no endpoint {endpoint_id[:40]}; see `gateway webhook list`")
    return _endpoint(row)


def drop_endpoint(tx: Transaction, tenant_id: str, endpoint_id: str) -> None:
    """Forget an endpoint, its secret and its log. Raises Refused when there is none."""
    need_endpoint(tx, tenant_id, endpoint_id)
    tx.change(delete(endpoint_attempt).where(_log_of(tenant_id, endpoint_id)))
    tx.change(delete(endpoint).where(_of(tenant_id, endpoint_id)))


def read_secrets(tx: Transaction, seal: Seal, now_ms: int, tenant_id: str, endpoint_id: str) -> list[str]:
    """The secrets that sign now, the newest first."""
    row = tx.first(select(endpoint.c.secrets_sealed).where(_of(tenant_id, endpoint_id)))
    kept = json.loads(seal.open(row[0], tenant_id, "endpoint", endpoint_id)) if row else []
    return [secret for secret, until in kept if not until or until > now_ms]


def rotate_secret(tx: Transaction, now: datetime, seal: Seal, tenant_id: str, endpoint_id: str) -> str:
    """A new secret, shown this once; the one before signs along for a day. Raises Refused when there is no endpoint."""
    need_endpoint(tx, tenant_id, endpoint_id)
    before, made = read_secrets(tx, seal, to_ms(now), tenant_id, endpoint_id)[:1], _make_secret()
    kept = [[made, 0], *([one, to_ms(now + ROTATION)] for one in before)]
    sealed = seal.close(json.dumps(kept).encode(), tenant_id, "endpoint", endpoint_id)
    tx.change(update(endpoint).where(_of(tenant_id, endpoint_id)).values(secrets_sealed=sealed))
    return made


def enable_endpoint(tx: Transaction, now: datetime, tenant_id: str, endpoint_id: str, by: str) -> None:
    """Deliver again, at once, from where it stopped. Raises Refused when there is no endpoint."""
    found = need_endpoint(tx, tenant_id, endpoint_id)
    values = {"state": OK, "words": "", "changed_at": to_ms(now), "tries": 0, "first_tried_at": None}
    free = {"next_at": to_ms(now), "leased_by": "", "leased_until": None}
    tx.change(update(endpoint).where(_of(tenant_id, endpoint_id)).values(values | free))
    if found.state == DISABLED:
        add_event(tx, to_ms(now), tenant_id, "webhook.enabled", data={"url": found.url, "by": by})


def rewind_endpoint(tx: Transaction, now: datetime, tenant_id: str, endpoint_id: str, cursor: str) -> None:
    """Deliver everything after a cursor once more, in order. A turn that is under way ends without effect."""
    need_endpoint(tx, tenant_id, endpoint_id)
    values = {"cursor": cursor, "tries": 0, "first_tried_at": None, "next_at": to_ms(now), "leased_by": ""}
    tx.change(update(endpoint).where(_of(tenant_id, endpoint_id)).values(**values, leased_until=None))


# -- turns: one node serves an endpoint for a while


def find_due(tx: Transaction, now_ms: int, horizon: Horizon, most: int) -> list[tuple[str, str]]:
    """(tenant, endpoint) of those that something waits for, the longest waiting first. `horizon`: asked before."""
    news = exists().where(
        event.c.tenant_id == endpoint.c.tenant_id, event.c.event_id > endpoint.c.cursor, event.c.event_id < horizon
    )
    found = select(endpoint.c.tenant_id, endpoint.c.endpoint_id).where(_is_free(now_ms), news)
    return [(row[0], row[1]) for row in tx.all(found.order_by(endpoint.c.next_at).limit(most))]


def lease_endpoint(tx: Transaction, now_ms: int, key: tuple[str, str], turn: str, until_ms: int) -> Endpoint | None:
    """Make an endpoint this turn's until a moment; None when it is somebody else's, or waits."""
    leased = update(endpoint).where(_of(*key), _is_free(now_ms)).values(leased_by=turn, leased_until=until_ms)
    return need_endpoint(tx, *key) if tx.change(leased) else None


def end_turn(tx: Transaction, turn: str, key: tuple[str, str], values: Mapping[str, Any]) -> bool:
    """Give a lease back, with what changed; False when it was lost."""
    where = _of(*key) & (endpoint.c.leased_by == turn)
    return bool(tx.change(update(endpoint).where(where).values({"leased_by": "", "leased_until": None, **values})))


def move_on(
    tx: Transaction, now_ms: int, turn: str, key: tuple[str, str], cursor: str, until_ms: int, *, well: bool
) -> bool:
    """The cursor after an event that is done with; the lease goes on. False when the lease was lost.

    `well`: it was delivered, so whatever failed before is over.
    """
    values: dict[str, Any] = {"cursor": cursor, "tries": 0, "first_tried_at": None, "leased_until": until_ms}
    where = _of(*key) & (endpoint.c.leased_by == turn)
    if not tx.change(update(endpoint).where(where).values(values)):
        return False
    if well:
        mended = where & (endpoint.c.state == FAILING)
        tx.change(update(endpoint).where(mended).values(state=OK, words="", changed_at=now_ms))
    return True


def fail_endpoint(tx: Transaction, now_ms: int, key: tuple[str, str], words: str, *, for_good: bool) -> None:
    """Note that an endpoint fails, since when; `for_good`: it is disabled, with an alarm."""
    state, words = (DISABLED if for_good else FAILING), storable(words)[:WORDS_LIMIT]
    tx.change(update(endpoint).where(_of(*key)).values(words=words))
    changed = update(endpoint).where(_of(*key), endpoint.c.state.in_((OK, FAILING) if for_good else (OK,)))
    if tx.change(changed.values(state=state, changed_at=now_ms)) and for_good:
        url = need_endpoint(tx, *key).url
        add_event(tx, now_ms, key[0], "webhook.disabled", data={"url": url, "words": words})


# -- the log


def log_attempt(tx: Transaction, key: tuple[str, str], made: HookAttempt) -> None:
    """Note an attempt, and forget those that are too old or too many."""
    values = {
        "tenant_id": key[0], "endpoint_id": key[1], "attempt_id": made.id, "event_id": made.event_id,
        "type": made.type, "at": to_ms(made.at), "milliseconds": made.milliseconds, "code": made.code,
        "outcome": made.outcome, "words": storable(made.words)[:WORDS_LIMIT],
    }  # fmt: skip
    tx.change(insert(endpoint_attempt).values(values))
    mine, number = _log_of(*key), endpoint_attempt.c.attempt_id
    oldest = tx.first(select(number).where(mine).order_by(number.desc()).offset(LOGGED).limit(1))
    tx.change(
        delete(endpoint_attempt).where(
            mine, or_(number <= (oldest[0] if oldest else ""), endpoint_attempt.c.at < to_ms(made.at - LOGGED_FOR))
        )
    )


def list_attempts(tx: Transaction, tenant_id: str, endpoint_id: str, limit: int = 50) -> list[HookAttempt]:
    """The last attempts of an endpoint, the latest first."""
    log = endpoint_attempt.c
    columns = (log.attempt_id, log.event_id, log.type, log.at, log.milliseconds, log.code, log.outcome, log.words)
    rows = tx.all(select(*columns).where(_log_of(tenant_id, endpoint_id)).order_by(log.attempt_id.desc()).limit(limit))
    return [HookAttempt(row[0], row[1], row[2], need_time(row[3]), row[4], row[5], row[6], row[7]) for row in rows]


def _of(tenant_id: str, endpoint_id: str) -> ColumnElement[bool]:
    return (endpoint.c.tenant_id == tenant_id) & (endpoint.c.endpoint_id == endpoint_id)


def _log_of(tenant_id: str, endpoint_id: str) -> ColumnElement[bool]:
    return (endpoint_attempt.c.tenant_id == tenant_id) & (endpoint_attempt.c.endpoint_id == endpoint_id)


def _is_free(now_ms: int) -> ColumnElement[bool]:
    free = or_(endpoint.c.leased_until.is_(None), endpoint.c.leased_until <= now_ms)
    return (endpoint.c.state != DISABLED) & (endpoint.c.next_at <= now_ms) & free


def _endpoint(row: Any) -> Endpoint:
    return Endpoint(
        row.tenant_id, row.endpoint_id, row.url, frozenset(json.loads(row.types or "[]")), row.state, row.words,
        need_time(row.changed_at), row.cursor, row.tries, from_ms(row.first_tried_at), need_time(row.next_at),
        need_time(row.created_at),
    )  # fmt: skip

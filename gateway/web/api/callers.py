"""Who calls the API: the key in Authorization, its scopes, and how many requests it has left.

Used by every route. Bearer keys only, never cookies, so no page of another origin can act in somebody's name. Unknown,
revoked, expired and malformed keys get one and the same 401, at the price of one indexed read at most, and too many of
them from an address get 429; a key that has worked from there before still does. A key is looked up again after a few
seconds, so revoking it holds at once for people.
"""

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request

from gateway.mail.reply import Reply
from gateway.outbound.submission import Door
from gateway.settings.workshop import Workshop
from gateway.store.api_keys import COARSE, ApiKey, find_api_key, looks_right, note_used
from gateway.store.database import StoreUnavailable, Transaction
from gateway.store.tenants import Tenant, get_tenant
from gateway.web.login_limits import Limit, LoginLimits
from gateway.wire.capacity import Capacity

REMEMBER = timedelta(seconds=5)  # a key that was looked up
REMEMBERED = 5_000
WINDOW = 60  # seconds in which requests are counted
_WRONG_KEYS = (Limit(30, timedelta(minutes=1)), Limit(500, timedelta(days=1)))


class ApiError(Exception):
    """An answer other than what was asked for: its status, and more of it."""

    def __init__(self, status: int, reply: Reply | None = None, **more: Any) -> None:
        self.status, self.reply, self.more = status, reply, more
        super().__init__(status)


@dataclass(frozen=True)
class Caller:
    """A program with a key."""

    key: ApiKey
    tenant: Tenant
    peer: str

    @property
    def by(self) -> str:
        """How the timeline names it."""
        return f"{self.key.label} ({self.key.name})" if self.key.label else self.key.name

    def check(self, scope: str) -> None:
        """Raises ApiError 403 when the key lacks a scope ("": none is asked for)."""
        if scope and scope not in self.key.scopes:
            words = f"the API key lacks the scope {scope}; it has {', '.join(self.key.scopes)}"
            raise ApiError(403, Reply(550, "5.7.1", words))


@dataclass
class Counted:
    """Requests of a key in the window that began at `since`."""

    since: datetime
    made: int = 0


@dataclass
class Api:
    """The API's share of the house. Used from its event loop only."""

    workshop: Workshop
    clock: Callable[[], datetime]
    max_body: int = 25 * 2**20  # bytes
    per_minute: int = 600  # requests of a key
    capacity: Capacity = field(default_factory=Capacity)  # of bodies in memory
    packing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))  # ZIPs at a time
    wrong: LoginLimits = field(default_factory=lambda: LoginLimits(_WRONG_KEYS, ()))
    known: "OrderedDict[bytes, tuple[ApiKey, Tenant, datetime]]" = field(default_factory=OrderedDict)
    counts: "OrderedDict[str, Counted]" = field(default_factory=OrderedDict)

    @property
    def door(self) -> Door:
        """Where mail is handed over."""
        return self.workshop.door

    @property
    def render(self) -> Callable[..., Awaitable[Any]]:
        """Runs a function in a worker that may render."""
        return self.workshop.run


def api_of(request: Request) -> Api:
    """The API that a request is for."""
    found: Api = request.app.state.api
    return found


def need(scope: str) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    """The dependency of a route: a caller whose key has the scope ("": any). Raises ApiError 401, 403 or 429."""

    async def caller(request: Request) -> Caller:
        api = api_of(request)
        found = await _find(api, request)
        request.state.rate = _count(api, found.key, api.clock())
        if request.state.rate["left"] < 0:
            raise ApiError(429, retry=request.state.rate["resets"])
        found.check(scope)
        if found.tenant.suspended:
            words = "this tenant's account is suspended; ask the operator of the gateway"
            raise ApiError(403, Reply(550, "5.7.1", words))
        return found

    return caller


async def _find(api: Api, request: Request) -> Caller:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    text, now = text.strip(), api.clock()
    peer = request.client.host if request.client else ""
    mark = hashlib.sha256(f"{peer} {text}".encode()).digest()
    known = api.known.get(mark)
    if known is not None and now - known[2] < REMEMBER and known[0].holds(now):
        return Caller(known[0], known[1], peer)
    if known is None and (wait := api.wrong.take(peer, "", now)):
        raise ApiError(429, retry=wait)
    right = scheme.lower() == "bearer" and looks_right(text)
    found = await api.door.database.read(_look_up, now, text) if right else None
    if found is None:
        api.known.pop(mark, None)
        raise ApiError(401, headers={"www-authenticate": 'Bearer realm="gateway"'})
    if known is None:
        api.wrong.give_back(peer, "")
    api.known[mark] = (*found, now)
    if len(api.known) > REMEMBERED:
        api.known.popitem(last=False)
    if found[0].last_used_at is None or now - found[0].last_used_at >= COARSE:
        with contextlib.suppress(StoreUnavailable):  # who only reads needs no writer
            await api.door.database.write(note_used, now, found[0])
    return Caller(*found, peer)


def _look_up(tx: Transaction, now: datetime, text: str) -> tuple[ApiKey, Tenant] | None:
    key = find_api_key(tx, now, text)
    tenant = get_tenant(tx, key.tenant_id) if key else None
    return (key, tenant) if key and tenant else None


def _count(api: Api, key: ApiKey, now: datetime) -> Mapping[str, int]:
    counted = api.counts.get(key.id)
    if counted is None or (now - counted.since).total_seconds() >= WINDOW:
        counted = api.counts[key.id] = Counted(now)
        api.counts.move_to_end(key.id)
        if len(api.counts) > REMEMBERED:
            api.counts.popitem(last=False)
    counted.made += 1
    resets = WINDOW - int((now - counted.since).total_seconds())
    return {"most": api.per_minute, "left": api.per_minute - counted.made, "resets": resets}

"""How a login ends: a new session, or first the second step, whose state travels in a sealed cookie of five minutes.

Used by `web.auth`, `web.second_step` and `web.oidc`. The sealed cookie is no session: it says who proved a password (or
came from the identity provider) and is good for asking that person's code, while their password stays the same.
Nothing that strangers begin is written to the database.
"""

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import structlog
from fastapi import HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.store.database import Transaction, to_ms
from gateway.store.sealed import WrongKey
from gateway.store.second_factors import get_factor
from gateway.store.users import SESSION_TIME, Proof, Session, User, end_session, end_sessions, get_user, start_session
from gateway.web.pages import drop_cookie, set_cookie
from gateway.web.site import LANGUAGE_COOKIE, Site, need_workshop, own_path, site_of, way_to

log = structlog.get_logger()
STEP_TIME = timedelta(minutes=5)
YEAR = 365 * 24 * 3600
_STEP = "gw_step"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody whose code is being asked for, and the page that they want."""

    user: User
    wanted: str


def address_of(request: Request) -> str:
    """The network address of whoever asks."""
    return request.client.host if request.client else ""


def proof_of(request: Request, *, second: bool) -> Proof:
    """From where and by what a login is."""
    return Proof(address_of(request), request.headers.get("user-agent", ""), second)


async def admit(request: Request, user: User, wanted: str, *, second: bool = False) -> Response:
    """After a first proof: log in, or ask for the code of whoever has a second step."""
    factor = None if second else await site_of(request).database.read(get_factor, user.tenant_id, user.id)
    if factor is not None:
        return await _ask_code(request, user, wanted)
    return await enter(request, user, wanted, second=second)


async def enter(request: Request, user: User, wanted: str, *, second: bool) -> Response:
    """Log in: a new session, the one before it ends."""
    response = RedirectResponse(way_to(user, own_path(wanted)), 303)
    cookie, _ = await renew(request, user, second=second)
    keep(request, response, cookie)
    drop_cookie(request, response, site_of(request).form_cookie)
    drop_cookie(request, response, cookie_name(site_of(request), _STEP))
    if user.language:
        set_cookie(request, response, LANGUAGE_COOKIE, user.language, YEAR)
    log.info("web.login", user=user.id, tenant=user.tenant_id, address=address_of(request), second=second)
    return response


async def renew(request: Request, user: User, *, second: bool, alone: bool = False) -> tuple[str, Session]:
    """(the cookie's value, the session) of a new session in place of the browser's own, or (`alone`) of all."""
    site = site_of(request)
    old, proof = request.cookies.get(site.session_cookie, ""), proof_of(request, second=second)
    return await site.database.write(_renew, site.clock(), user, old, proof, alone)


def keep(request: Request, response: Response, cookie: str) -> None:
    """Give the browser its session."""
    set_cookie(request, response, site_of(request).session_cookie, cookie, int(SESSION_TIME.total_seconds()))


def _renew(tx: Transaction, now: datetime, user: User, old: str, proof: Proof, alone: bool) -> tuple[str, Session]:
    if old:
        end_session(tx, old)
    if alone:
        end_sessions(tx, user.tenant_id, user.id)
    return start_session(tx, now, user, proof)


async def _ask_code(request: Request, user: User, wanted: str) -> Response:
    site = site_of(request)
    found = await site.database.read(get_user, user.tenant_id, user.id)
    if found is None:
        raise HTTPException(403, "role")
    values = {"tenant": user.tenant_id, "user": user.id, "print": _print(found[1]), "wanted": own_path(wanted)}
    response = RedirectResponse("/login/code", 303)
    give_sealed(request, response, _STEP, values, STEP_TIME)
    return response


async def waiting(request: Request) -> Waiting | None:
    """Whose code is being asked for; None when nobody's is, or it took too long, or their password has changed."""
    values = read_sealed(request, _STEP)
    if values is None:
        return None
    found = await site_of(request).database.read(get_user, values["tenant"], values["user"])
    if found is None or _print(found[1]) != values["print"]:
        return None
    return Waiting(found[0], values["wanted"])


def _print(password_hash: str) -> str:
    return sha256(password_hash.encode()).hexdigest()[:32]


# -- sealed cookies: what strangers begin is kept by their browser


def cookie_name(site: Site, name: str) -> str:
    """A cookie's name; over https one that only this host can have set."""
    return f"__Host-{name}" if site.secure else name


def give_sealed(request: Request, response: Response, name: str, values: dict[str, str], lasts: timedelta) -> None:
    """Give the browser values that it can neither read nor change, for a while."""
    site, seal = site_of(request), need_workshop(request).seal
    kept = json.dumps({**values, "until": to_ms(site.clock() + lasts)}).encode()
    sealed = base64.urlsafe_b64encode(seal.close(kept, "cookie", name)).decode()
    set_cookie(request, response, cookie_name(site, name), sealed, int(lasts.total_seconds()))


def read_sealed(request: Request, name: str) -> dict[str, Any] | None:
    """The values of such a cookie while they last; None when there is none that is ours."""
    site = site_of(request)
    cookie = request.cookies.get(cookie_name(site, name), "")
    if not cookie or len(cookie) > 4000:
        return None
    try:
        kept = need_workshop(request).seal.open(base64.urlsafe_b64decode(cookie), "cookie", name)
    except (ValueError, WrongKey):
        return None
    values: dict[str, Any] = json.loads(kept)
    return values if values.pop("until") > to_ms(site.clock()) else None

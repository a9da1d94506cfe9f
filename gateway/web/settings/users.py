"""Users and roles: who may log in for the tenant. A made password is shown once, in the answer that made it."""

import asyncio
import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.inbox.timeline import Line, msgid, tell_events
from gateway.mail.reply import Refused
from gateway.store.database import Transaction
from gateway.store.events import latest_house_events
from gateway.store.second_factors import reset_factor, users_with_factor
from gateway.store.tenants import get_tenant, hash_password, set_tenant
from gateway.store.users import (
    ROLES,
    User,
    add_user,
    change_user,
    end_logins_of,
    list_people,
    list_sessions,
    set_password,
)
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.site import Visit, site_of

router = APIRouter()
ROLE_NAMES = {
    "clerk": msgid("Clerk: works with mail and documents"),
    "admin": msgid("Administrator: everything, settings too"),
    "auditor": msgid("Auditor: looks at everything, changes nothing"),
}


@router.get("/settings/users")
async def show_users(request: Request, visit: Looking) -> Response:
    """Everybody who may log in, and who may no more."""
    return await _page(request, visit)


async def _page(request: Request, visit: Visit, *, problem: Refused | None = None, made: tuple[str, str] = ("", ""),
                typed: dict[str, str] | None = None) -> Response:  # fmt: skip
    site = site_of(request)
    shown = await site.database.read(_look, site.clock(), visit.tenant.id)
    return show(request, "users", shown=shown, roles=ROLE_NAMES, made=made, typed=typed or {}, problem=problem)


@dataclass(frozen=True, slots=True)
class _Shown:
    """The users, who of them logs in by two steps, how many sessions each has, and changes of logins of late."""

    people: list[User]
    second: frozenset[str]
    sessions: Counter[str]
    demanded: bool
    changes: tuple[Line, ...]


def _look(tx: Transaction, now: datetime, tenant_id: str) -> _Shown:
    tenant = get_tenant(tx, tenant_id)
    return _Shown(
        list_people(tx, tenant_id),
        users_with_factor(tx, tenant_id),
        Counter(one.user.id for one in list_sessions(tx, now, tenant_id)),
        bool(tenant and tenant.options.get("second_step")),
        tuple(tell_events(latest_house_events(tx, tenant_id, "user.", 20))),
    )


@router.post("/settings/users")
async def add(request: Request, visit: Looking, form: Form) -> Response:
    """A new user with a made password."""
    site, role = site_of(request), form.get("role", "clerk")
    email, name = form.get("email", "").strip()[:320], form.get("name", "").strip()[:100]
    password, password_hash = await _password()
    try:
        made = await site.database.write(
            add_user, site.clock(), visit.tenant.id, email, password, name=name, role=role, password_hash=password_hash
        )
    except Refused as refused:
        return await _page(request, visit, problem=refused, typed=form)
    return await _page(request, visit, made=(made.email, password))


@router.post("/settings/users/demand")  # before the routes of a user's id, which it would match
async def demand(request: Request, visit: Looking, form: Form) -> Response:
    """Demand a second step at the login of everybody, or leave it to each."""
    options = {"second_step": form.get("second_step", "") == "all"}
    await site_of(request).database.write(set_tenant, visit.tenant.id, options=options)
    return again("/settings/users")


@router.post("/settings/users/{user_id}")
async def change(request: Request, visit: Looking, form: Form, user_id: str) -> Response:
    """Another role; may log in or not."""
    site, role = site_of(request), form.get("role", "")
    if role not in ROLES:
        raise HTTPException(400)
    try:
        found = await site.database.write(
            change_user, site.clock(), visit.tenant.id, user_id, role=role, disabled=form.get("may", "") != "yes"
        )
    except Refused as refused:
        return await _page(request, visit, problem=refused)
    if found is None:
        raise HTTPException(404)
    return again("/settings/users")


@router.post("/settings/users/{user_id}/password")
async def new_password(request: Request, visit: Looking, form: Form, user_id: str) -> Response:
    """A new password, shown once; the user's sessions end."""
    password, password_hash = await _password()
    site, by = site_of(request), visit.session.user.email
    found = await site.database.write(_give, site.clock(), visit.tenant.id, user_id, password, password_hash, by)
    if found is None:
        raise HTTPException(404)
    return await _page(request, visit, made=(found.email, password))


def _give(
    tx: Transaction, now: datetime, tenant_id: str, user_id: str, password: str, password_hash: str, by: str
) -> User | None:
    found = next((one for one in list_people(tx, tenant_id) if one.id == user_id), None)
    if found is not None:
        set_password(tx, now, tenant_id, found.email, password, password_hash, by=by)
    return found


@router.post("/settings/users/{user_id}/logins")
async def end_logins(request: Request, visit: Looking, form: Form, user_id: str) -> Response:
    """End every session of a user; with `second_step`, their codes are asked for no more either."""
    site, by = site_of(request), visit.session.user.email
    reset = form.get("what", "") == "second_step"
    if not await site.database.write(_end, site.clock(), visit.tenant.id, user_id, by, reset):
        raise HTTPException(404)
    return again("/settings/users")


def _end(tx: Transaction, now: datetime, tenant_id: str, user_id: str, by: str, reset: bool) -> bool:
    found = next((one for one in list_people(tx, tenant_id) if one.id == user_id), None)
    if found is None:
        return False
    if reset:
        reset_factor(tx, now, found, by)
    else:
        end_logins_of(tx, now, found, by)
    return True


async def _password() -> tuple[str, str]:
    made = secrets.token_urlsafe(12)
    return made, await asyncio.to_thread(hash_password, made)

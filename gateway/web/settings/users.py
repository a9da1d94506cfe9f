"""Users and roles: who may log in for the tenant. A made password is shown once, in the answer that made it."""

import asyncio
import secrets

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.inbox.timeline import msgid
from gateway.mail.reply import Refused
from gateway.store.database import Transaction
from gateway.store.tenants import hash_password
from gateway.store.users import ROLES, User, add_user, change_user, list_people, set_password
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
    people = await site_of(request).database.read(list_people, visit.tenant.id)
    return show(request, "users", people=people, roles=ROLE_NAMES, made=made, typed=typed or {}, problem=problem)


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
    found = await site_of(request).database.write(_give, visit.tenant.id, user_id, password, password_hash)
    if found is None:
        raise HTTPException(404)
    return await _page(request, visit, made=(found.email, password))


def _give(tx: Transaction, tenant_id: str, user_id: str, password: str, password_hash: str) -> User | None:
    found = next((one for one in list_people(tx, tenant_id) if one.id == user_id), None)
    if found is not None:
        set_password(tx, tenant_id, found.email, password, password_hash)
    return found


async def _password() -> tuple[str, str]:
    made = secrets.token_urlsafe(12)
    return made, await asyncio.to_thread(hash_password, made)

"""Access for billing systems: SMTP logins and networks. A password is shown once, in the answer that made it."""

import asyncio
import secrets

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.mail.reply import Refused
from gateway.settings.limiting import limit, read_limits
from gateway.store.settings import CREDENTIAL_LIMITS
from gateway.store.tenants import add_credential, hash_password, revoke_credential
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.site import Visit, site_of

router = APIRouter()


@router.get("/settings/credentials")
async def show_credentials(request: Request, visit: Looking) -> Response:
    """What is there, what it may hand over, and what was revoked."""
    return await _page(request, visit)


async def _page(request: Request, visit: Visit, *, problem: Refused | None = None, made: tuple[str, str] = ("", ""),
                typed: dict[str, str] | None = None) -> Response:  # fmt: skip
    site, limits = site_of(request), visit.tenant.options.get(CREDENTIAL_LIMITS, {})
    found = await site.database.read(read_limits, visit.tenant, site.clock())
    return show(
        request, "credentials", found=found.credentials, used=found.used, limits=limits, made=made, typed=typed or {},
        problem=problem,
    )  # fmt: skip


@router.post("/settings/credentials")
async def add(request: Request, visit: Looking, form: Form) -> Response:
    """A new login with a made password, or networks that need none."""
    site, label = site_of(request), form.get("label", "").strip()[:100]
    networks = tuple(form.get("networks", "").replace(",", " ").split())[:20]
    password = "" if networks else secrets.token_urlsafe(24)
    secret_hash = await asyncio.to_thread(hash_password, password) if password else ""
    try:
        made, password = await site.database.write(
            add_credential, site.clock(), visit.tenant.id, username=form.get("username", "").strip()[:100],
            password=password, networks=networks, label=label, secret_hash=secret_hash,
        )  # fmt: skip
    except Refused as refused:
        return await _page(request, visit, problem=refused, typed=form)
    return await _page(request, visit, made=(made.username, password))


@router.post("/settings/credentials/limits")
async def change_limits(request: Request, visit: Looking, form: Form) -> Response:
    """How many messages one may hand over in an hour and in a day; what it did today counts at once."""
    site, username = site_of(request), form.get("username", "")[:100]
    if not username:  # limits of the tenant as a whole are the operator's to set
        raise HTTPException(404)
    per_hour, per_day = form.get("per_hour", ""), form.get("per_day", "")
    try:
        await site.database.write(limit, site.clock(), visit.tenant.id, username, per_hour, per_day)
    except Refused as refused:
        if refused.reply.code == 550:
            raise HTTPException(404) from None
        return await _page(request, visit, problem=refused)
    return again("/settings/credentials")


@router.post("/settings/credentials/revoke")
async def revoke(request: Request, visit: Looking, form: Form) -> Response:
    """End one; the gateway notices within seconds."""
    site = site_of(request)
    username = form.get("username", "")
    if not await site.database.write(revoke_credential, site.clock(), visit.tenant.id, username):
        raise HTTPException(404)
    return again("/settings/credentials", "removed")

"""Keys of the HTTP API: what each may do and when it was used last. A key is shown once, in the answer that made it."""

from datetime import timedelta

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.mail.reply import Refused
from gateway.store.api_keys import SCOPES, add_api_key, list_api_keys, revoke_api_key
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.site import Visit, site_of

router = APIRouter()
LASTS = {"": 0, "90": 90, "365": 365}  # days; 0: until it is revoked


@router.get("/settings/api-keys")
async def show_keys(request: Request, visit: Looking) -> Response:
    """The keys there are, and those that were revoked."""
    return await _page(request, visit)


async def _page(request: Request, visit: Visit, *, problem: Refused | None = None, made: str = "") -> Response:
    found = await site_of(request).database.read(list_api_keys, visit.tenant.id)
    return show(request, "api_keys", found=found, scopes=SCOPES, lasts=LASTS, made=made, problem=problem)


@router.post("/settings/api-keys")
async def add(request: Request, visit: Looking, form: Form) -> Response:
    """A new key with the ticked scopes; all of them when none is ticked."""
    site, now = site_of(request), site_of(request).clock()
    scopes = tuple(scope for scope in SCOPES if form.get(f"s.{scope}"))
    days = LASTS.get(form.get("lasts", ""), 0)
    try:
        _, text = await site.database.write(
            add_api_key, now, visit.tenant.id, label=form.get("label", "").strip(), scopes=scopes,
            expires_at=now + timedelta(days=days) if days else None, by=visit.session.user.email,
        )  # fmt: skip
    except Refused as refused:
        return await _page(request, visit, problem=refused)
    return await _page(request, visit, made=text)


@router.post("/settings/api-keys/revoke")
async def revoke(request: Request, visit: Looking, form: Form) -> Response:
    """End one; the gateway notices within seconds."""
    site = site_of(request)
    if not await site.database.write(revoke_api_key, site.clock(), visit.tenant.id, form.get("prefix", "")):
        raise HTTPException(404)
    return again("/settings/api-keys", "removed")

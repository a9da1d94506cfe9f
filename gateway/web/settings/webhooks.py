"""Webhooks: where events are delivered, how that fares, and delivering again. A secret is shown once, when made."""

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.mail.reply import Refused
from gateway.store.database import Transaction, to_ms
from gateway.store.event_feed import cursor_at
from gateway.store.events import TYPES
from gateway.store.webhooks import (
    add_endpoint,
    drop_endpoint,
    enable_endpoint,
    list_attempts,
    list_endpoints,
    need_endpoint,
    rewind_endpoint,
    rotate_secret,
)
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.site import Visit, need_workshop, site_of

router = APIRouter()


@router.get("/settings/webhooks")
async def show_endpoints(request: Request, visit: Looking) -> Response:
    """The endpoints and how they fare."""
    return await _page(request, visit)


async def _page(request: Request, visit: Visit, *, problem: Refused | None = None, made: tuple[str, str] = ("", ""),
                typed: dict[str, str] | None = None) -> Response:  # fmt: skip
    found = await site_of(request).database.read(list_endpoints, visit.tenant.id)
    return show(request, "webhooks", found=found, made=made, typed=typed or {}, problem=problem)


@router.post("/settings/webhooks")
async def add(request: Request, visit: Looking, form: Form) -> Response:
    """Deliver events from now on: those of the types that are named, or all."""
    site, types = site_of(request), frozenset(form.get("types", "").replace(",", " ").split())
    try:
        if unknown := sorted(types - TYPES):
            raise Refused(501, "5.5.4", f"there is no type of events {unknown[0][:40]!r}")
        made = await site.database.write(
            add_endpoint, site.clock(), need_workshop(request).seal, visit.tenant.id, form.get("url", "").strip(), types
        )
    except Refused as refused:
        return await _page(request, visit, problem=refused, typed=form)
    return await _page(request, visit, made=(made[0].url, made[1]))


@router.get("/settings/webhooks/{endpoint_id}")
async def show_log(request: Request, visit: Looking, endpoint_id: str) -> Response:
    """One endpoint and its last attempts."""
    return await _log(request, visit, endpoint_id)


async def _log(request: Request, visit: Visit, endpoint_id: str, secret: str = "", **more: Any) -> Response:
    database = site_of(request).database
    one = await _or_404(database.read(need_endpoint, visit.tenant.id, endpoint_id))
    attempts = await database.read(list_attempts, visit.tenant.id, endpoint_id, 100)
    return show(request, "webhook", one=one, attempts=attempts, secret=secret, **more)


@router.post("/settings/webhooks/{endpoint_id}")
async def change(request: Request, visit: Looking, form: Form, endpoint_id: str) -> Response:
    """Turn it on again, give it a new secret, try it, deliver one event or all since a day again, or remove it."""
    site, tenant_id, action = site_of(request), visit.tenant.id, form.get("action", "")
    now, seal, here = site.clock(), need_workshop(request).seal, f"/settings/webhooks/{endpoint_id}"
    if action == "rotate":
        secret = await _or_404(site.database.write(rotate_secret, now, seal, tenant_id, endpoint_id))
        return await _log(request, visit, endpoint_id, secret)
    await _or_404(site.database.read(need_endpoint, tenant_id, endpoint_id))
    if action in ("test", "again"):
        event_id = form.get("event", "") or "none" if action == "again" else ""
        made = await _or_404(need_workshop(request).post_event((tenant_id, endpoint_id), event_id))
        return await _log(request, visit, endpoint_id, told=made)
    try:
        work = _work(visit, form, action)
    except Refused as refused:
        return await _log(request, visit, endpoint_id, problem=refused)
    await _or_404(site.database.write(work, now, tenant_id, endpoint_id))
    return again("/settings/webhooks", "removed") if action == "remove" else again(here)


def _work(visit: Visit, form: dict[str, str], action: str) -> Callable[[Transaction, datetime, str, str], None]:
    """Raises Refused."""
    if action == "enable":
        return lambda tx, now, tenant, one: enable_endpoint(tx, now, tenant, one, visit.session.user.email)
    if action == "remove":
        return lambda tx, _now, tenant, one: drop_endpoint(tx, tenant, one)
    try:
        day = date.fromisoformat(form.get("since", ""))
    except ValueError:
        raise Refused(501, "5.5.4", "name the day from which everything is delivered again") from None
    since = cursor_at(to_ms(datetime.combine(day, time(), visit.reader.zone)))
    return lambda tx, now, tenant, one: rewind_endpoint(tx, now, tenant, one, since)


async def _or_404(asked: Any) -> Any:
    try:
        return await asked
    except Refused as refused:
        raise HTTPException(404) from refused

"""The operator's tenants: how the mail of each fares, what is wrong, and what it may hand over."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.inbox.operating_tenants import PAGE, list_tenant_states, read_tenant_state
from gateway.mail.reply import Refused
from gateway.settings.limiting import limit, read_limits
from gateway.store.database import Transaction
from gateway.store.measures import list_measures
from gateway.store.users import list_people
from gateway.web.operator.access import Form, Operating, again, show
from gateway.web.operator.plots import draw_day, first_slot
from gateway.web.pages import say
from gateway.web.site import site_of

router = APIRouter()


@router.get("/operator/tenants")
async def show_tenants(request: Request, visit: Operating, after: str = "") -> Response:
    """All tenants by name."""
    site = site_of(request)
    found = await site.database.read(list_tenant_states, site.clock(), after[:30], PAGE + 1)
    cursor = found[PAGE - 1].tenant.slug if len(found) > PAGE else ""
    return show(request, "tenants", tenants=found[:PAGE], cursor=cursor, first=not after)


@router.get("/operator/tenants/{tenant_id}")
async def show_tenant(request: Request, visit: Operating, tenant_id: str) -> Response:
    """One tenant."""
    return await _page(request, tenant_id)


def _read(tx: Transaction, now: datetime, tenant_id: str) -> Any:
    found = read_tenant_state(tx, now, tenant_id)
    if found is None:
        return None
    measures = list_measures(tx, first_slot(now), tenant_id)
    return found, measures, read_limits(tx, found.tenant, now), list_people(tx, tenant_id)


async def _page(request: Request, tenant_id: str, problem: Refused | None = None) -> Response:
    site = site_of(request)
    now = site.clock()
    read = await site.database.read(_read, now, tenant_id)
    if read is None:
        raise HTTPException(404)
    found, measures, limited, people = read
    said = say(request, problem) if problem else ""
    return show(
        request, "tenant", 422 if problem else 200, one=found, day=draw_day(measures, now, whole=False),
        limited=limited, people=people, problem=said,
    )  # fmt: skip


@router.post("/operator/tenants/{tenant_id}")
async def change_limits(request: Request, visit: Operating, form: Form, tenant_id: str) -> Response:
    """What the tenant may hand over in an hour and in a day."""
    site = site_of(request)
    if await site.database.read(read_tenant_state, site.clock(), tenant_id) is None:
        raise HTTPException(404)
    try:
        await site.database.write(
            limit, site.clock(), tenant_id, "", form.get("per_hour", ""), form.get("per_day", "")
        )  # fmt: skip
    except Refused as refused:
        return await _page(request, tenant_id, refused)
    return again(f"/operator/tenants/{tenant_id}", "saved")

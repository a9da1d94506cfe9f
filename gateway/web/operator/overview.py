"""The operator's first page: how the gateway fares at this moment and fared for a day, and what needs a person."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.inbox import operating
from gateway.inbox.operating_tenants import TenantState, list_tenant_states
from gateway.settings.queue_acts import act_on, try_again
from gateway.store.database import Transaction
from gateway.store.measures import Measure, list_measures
from gateway.store.messages import Message, get_message
from gateway.store.nodes import Node, list_nodes
from gateway.web.operator.access import Form, Operating, again, show
from gateway.web.operator.plots import draw_day, first_slot
from gateway.web.site import need_workshop, site_of

router = APIRouter()
TENANTS = 20  # on this page
SHOWN = 50  # destinations
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Overview:
    """All that the page shows, of one moment."""

    queue: operating.QueueState
    nodes: list[Node]
    measures: list[Measure]
    parked: list[operating.OfTenant]
    unreadable: list[operating.Unreadable]
    tenants: list[TenantState]


def _read(tx: Transaction, now: datetime) -> Overview:
    return Overview(
        operating.read_queue(tx, now), list_nodes(tx), list_measures(tx, first_slot(now)),
        operating.list_parked(tx, now), operating.list_unreadable(tx), list_tenant_states(tx, now, limit=TENANTS),
    )  # fmt: skip


@router.get("/operator")
async def show_overview(request: Request, visit: Operating) -> Response:
    """Everything at a glance."""
    now = site_of(request).clock()
    found = await site_of(request).database.read(_read, now)
    day = draw_day(found.measures, now)
    return show(
        request, "overview", found=found, day=day, tenants=found.tenants, destinations=_destinations(found, now)
    )  # fmt: skip


def _destinations(found: Overview, now: datetime) -> list[tuple[str, dict[str, Any]]]:
    """(process, destination) of all processes that live, those in trouble first."""
    rows = [
        (node.name, one | {"until": datetime.fromtimestamp(one["until"], UTC)})
        for node in found.nodes
        if not node.silent(now)
        for one in node.report.get("destinations", [])
    ]
    rows.sort(key=lambda row: (row[1]["state"] == "flows", -row[1]["waiting"] - row[1]["connections"]))
    return rows[:SHOWN]


@router.post("/operator/destinations")
async def try_destination(request: Request, visit: Operating, form: Form) -> Response:
    """Try a destination again that rests."""
    site, workshop = site_of(request), need_workshop(request)
    key, domain = form.get("key", "")[:2000], form.get("domain", "")[:253]
    asked = await try_again(
        site.database, key, domain, site.clock(), visit.session.user.email, workshop.door.retry
    )  # fmt: skip
    return again("/operator", "asked" if asked else "nobody")


@router.post("/operator/parked")
async def release_parked(request: Request, visit: Operating, form: Form) -> Response:
    """Try again what was put aside because the gateway failed with it, or end it."""
    site, workshop = site_of(request), need_workshop(request)
    verb = form.get("verb", "")
    chosen = read_id(form.get("id", ""))
    if verb not in ("release", "cancel") or chosen is None:
        raise HTTPException(400)
    by = visit.session.user.email
    done = await act_on(site.database, verb, [chosen], site.clock(), by, workshop.door.retry)
    return again("/operator", verb, done)


@router.post("/operator/unreadable")
async def read_again(request: Request, visit: Operating, form: Form) -> Response:
    """Read a mail again that could not be read when it came."""
    site, workshop = site_of(request), need_workshop(request)
    kept = await site.database.read(_kept, form.get("tenant", "")[:20], form.get("message", "")[:20])
    if kept is None:
        raise HTTPException(404)
    kind = await workshop.read_again(kept)
    return again("/operator", "read" if kind else "unreadable")


def _kept(tx: Transaction, tenant_id: str, message_id: str) -> Message | None:
    found = get_message(tx, tenant_id, message_id)
    return found if found is not None and found.kind == UNREADABLE else None


def read_id(text: str) -> tuple[str, tuple[str, int]] | None:
    """(tenant id, key) of a delivery as forms name it; None for what names none."""
    parts = text.split(".")
    if len(parts) != 3 or not (parts[2].isascii() and parts[2].isdigit() and len(parts[2]) < 8):
        return None
    return parts[0], (parts[1], int(parts[2]))

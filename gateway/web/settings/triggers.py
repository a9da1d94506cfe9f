"""Triggers: what is sent by itself when a document is issued or paid, and when reminders go; with a look ahead."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.mail.reply import Refused
from gateway.settings.reminders import day_of, look_ahead
from gateway.settings.templates import Listed, list_templates
from gateway.store.database import Transaction
from gateway.store.template_settings import REMINDERS, change_reminders, change_setting
from gateway.store.tenants import set_tenant
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.settings.template_names import ISSUE, REMINDS, SENDS
from gateway.web.site import Visit, site_of

router = APIRouter()
HOME = "/settings/triggers"
USUAL_HOUR = 9
NUMBERS = ("every_days", "days_before", "maximum")


@dataclass(frozen=True)
class Group:
    """Switches that belong together."""

    name: str
    rows: tuple[Listed, ...]


@router.get("/settings/triggers")
async def show_triggers(request: Request, visit: Looking) -> Response:
    """All switches and schedules."""
    return await _page(request, visit)


async def _page(request: Request, visit: Visit, problem: Refused | None = None) -> Response:
    found = {one.key: one for one in await site_of(request).database.read(list_templates, visit.tenant.id)}
    issue, others = [found[key] for key in ISSUE], [found[key] for key in SENDS if key not in ISSUE]
    hour = int(visit.tenant.options.get("reminder_hour", USUAL_HOUR))
    return show(
        request, "triggers", issue=issue, others=others, reminding=[found[key] for key in REMINDS], hour=hour,
        sends=SENDS, reminds=REMINDS, problem=problem,
    )  # fmt: skip


@router.post("/settings/triggers")
async def change(request: Request, visit: Looking, form: Form) -> Response:
    """The switches of one of the two groups."""
    wanted = ISSUE if form.get("group") == "issue" else tuple(key for key in SENDS if key not in ISSUE)
    chosen = {key: form.get(key) == "on" for key in wanted}
    await site_of(request).database.write(_switch, visit.tenant.id, chosen)
    return again(HOME)


def _switch(tx: Transaction, tenant_id: str, chosen: dict[str, bool]) -> None:
    known = {one.key: one.choice for one in list_templates(tx, tenant_id)}
    for key, automatic in chosen.items():
        if known[key].automatic != automatic:
            change_setting(tx, tenant_id, key, "", {"automatic": automatic})


@router.post("/settings/triggers/hour")
async def change_hour(request: Request, visit: Looking, form: Form) -> Response:
    """At which hour of the tenant's day reminders go."""
    hour = int(form["hour"]) if form.get("hour", "").isdecimal() else -1
    try:
        await site_of(request).database.write(set_tenant, visit.tenant.id, options={"reminder_hour": hour})
    except Refused as refused:
        return await _page(request, visit, refused)
    return again(HOME)


@router.post("/settings/triggers/reminders")
async def change_schedule(request: Request, visit: Looking, form: Form) -> Response:
    """When one template reminds."""
    site, key = site_of(request), form.get("template", "")
    if key not in REMINDS:
        raise HTTPException(400)
    changes: dict[str, int | str | None] = {}
    for name in REMINDERS:
        text = form.get(name, "").strip()
        if name in NUMBERS:
            changes[name] = int(text) if text.isdecimal() and len(text) < 7 else 0 if not text else -1
        else:
            changes[name] = text or None
    today = site.clock().astimezone(ZoneInfo(visit.tenant.timezone)).date()
    try:
        await site.database.write(change_reminders, visit.tenant.id, key, changes, today)
    except Refused as refused:
        return await _page(request, visit, refused)
    return again(HOME)


@router.get("/settings/triggers/forecast")
async def forecast(request: Request, visit: Looking, on: str = "") -> Response:
    """What would go on a day, and what would not and why; nothing is sent."""
    site = site_of(request)
    day = day_of(on) or site.clock().astimezone(ZoneInfo(visit.tenant.timezone)).date()
    now: datetime = site.clock().astimezone(UTC)
    found = await look_ahead(site.database, visit.tenant, now, day)
    return show(request, "forecast", found=found, day=day.isoformat())

"""A look ahead at a tenant's reminders: what would go on a day, and what would not and why. Nothing is sent."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from gateway.outbound.reminder_runs import forecast, today_of
from gateway.outbound.reminders import HOUR, begins_at
from gateway.outbound.reminding import Examined
from gateway.store.database import Database
from gateway.store.reminders import list_runs
from gateway.store.tenants import Tenant

SHOWN = 500  # documents of one look


def day_of(text: str) -> date | None:
    """A day in ISO form; None for what is none."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


async def look_ahead(database: Database, tenant: Tenant, now: datetime, day: date) -> list[Examined]:
    """The documents of which a reminder would be due on that day, those that would go first."""
    runs = await database.read(list_runs)
    run = next((one for one in runs if one.tenant_id == tenant.id), None)
    if run is None:
        return []
    if day != today_of(run, now):
        hour = int(run.options.get("reminder_hour", HOUR))
        now = begins_at(day, hour, ZoneInfo(run.timezone)).astimezone(UTC)
    found = [one for one in await forecast(database, run, now) if one.verdict.slot is not None]
    return sorted(found, key=lambda one: not one.verdict.goes)[:SHOWN]

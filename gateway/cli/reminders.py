"""`gateway reminders`: what would go today and why not, run it now, pause it, and note promises to pay."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from gateway.cli.common import Context, json_option, pass_context, show_rows, tenant_option, told, utc_now
from gateway.cli.send import open_door
from gateway.outbound.reminder_runs import forecast, run_tenant, today_of
from gateway.outbound.reminders import HOUR, begins_at
from gateway.outbound.reminding import Examined
from gateway.store.reminders import (
    Key,
    TenantRun,
    list_runs,
    make_promise,
    pause_reminders,
    resume_reminders,
)

some_tenants = click.option("-t", "--tenant", "slug", default="", help="The tenant; left out: every tenant.")
day_option = click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), help="As it would be on that day.")


@click.group(invoke_without_command=True)
@some_tenants
@click.option("--dry-run", is_flag=True, help="Say what would go now and why not, and do nothing.")
@day_option
@json_option
@click.pass_context
def reminders(click_context: click.Context, slug: str, dry_run: bool, day: datetime | None, as_json: bool) -> None:
    """Reminders of documents, before and after the day that they remind of."""
    if click_context.invoked_subcommand is not None:
        return
    if not dry_run:
        raise click.UsageError("say --dry-run to see what would go, or `gateway reminders run` to let it go now")
    _show_forecast(click_context.obj, slug, day, as_json)


@reminders.command()
@some_tenants
@click.option("--dry-run", is_flag=True, help="Say what would go and why not, and do nothing.")
@day_option
@json_option
@pass_context
def run(context: Context, slug: str, dry_run: bool, day: datetime | None, as_json: bool) -> None:
    """Run today's reminders now, without waiting for the tenant's hour; nothing that went today goes again."""
    if dry_run:
        _show_forecast(context, slug, day, as_json)
        return
    if day is not None:
        raise click.UsageError("--on is for --dry-run: reminders go today, or not at all")
    rows: list[dict[str, Any]] = []
    for tenant in _tenants(context, slug):
        done = asyncio.run(run_tenant(open_door(context), tenant, utc_now(), again=True))
        if done is None:
            raise click.ClickException(f"the reminders of {tenant.slug} are being run just now; try again later")
        rows += [_row(tenant, one, sent=True) for one in done]
    show_rows(rows, as_json, empty="nothing was due", columns=_COLUMNS)


@reminders.command("list")
@some_tenants
@json_option
@pass_context
def list_(context: Context, slug: str, as_json: bool) -> None:
    """List open documents with their next reminder, and why there is none."""
    rows = []
    for tenant in _tenants(context, slug):
        found = asyncio.run(forecast(context.database, tenant, utc_now(), settled=False))
        rows += [_row(tenant, one) for one in found]
    show_rows(rows, as_json, empty="no open documents that reminders are on for; see gateway template set --help",
              columns=(*_COLUMNS[:-2], "next", "why"))  # fmt: skip


@reminders.command()
@tenant_option
@click.argument("name")
@click.option("--why", required=True, help="What whoever reads the thread should know.")
@json_option
@pass_context
def pause(context: Context, slug: str, name: str, why: str, as_json: bool) -> None:
    """Send no reminders about TYPE/ID until they are resumed."""
    tenant = context.tenant(slug)
    context.write(pause_reminders, utc_now(), tenant.id, _key(name), why, "an admin")
    told(as_json, f"no reminders about {name} until: gateway reminders resume {name}", document=name, paused=True)


@reminders.command()
@tenant_option
@click.argument("name")
@json_option
@pass_context
def resume(context: Context, slug: str, name: str, as_json: bool) -> None:
    """Let reminders about TYPE/ID go again: ends a pause, and forgets a promise."""
    tenant = context.tenant(slug)
    changed = context.write(resume_reminders, utc_now(), tenant.id, _key(name), "an admin")
    text = "reminders go again" if changed else "reminders were not paused, and nothing was promised"
    told(as_json, f"{name}: {text}", document=name, changed=changed)


@reminders.command()
@tenant_option
@click.argument("name")
@click.option("--on", "day", required=True, type=click.DateTime(["%Y-%m-%d"]), help="The day by which they will pay.")
@click.option("--amount", default="", help="How much, when it is only a part: 500.00.")
@json_option
@pass_context
def promise(context: Context, slug: str, name: str, day: datetime, amount: str, as_json: bool) -> None:
    """Note that the customer promised to pay TYPE/ID: reminders sleep until that day has passed."""
    tenant, now = context.tenant(slug), utc_now()
    today = now.astimezone(ZoneInfo(tenant.timezone)).date()
    context.write(make_promise, now, tenant.id, _key(name), day.date(), today, amount=amount, by="an admin")
    text = f"{name}: promised by {day:%Y-%m-%d}; no reminders until then"
    told(as_json, text, document=name, promised_on=f"{day:%Y-%m-%d}")


# -- what they share

_COLUMNS = ("tenant", "document", "number", "customer", "balance", "template", "result", "why")


def _key(name: str) -> Key:
    type, _, document_id = name.partition("/")
    return type, document_id


def _tenants(context: Context, slug: str) -> list[TenantRun]:
    wanted = context.tenant(slug).slug if slug else ""
    return [one for one in context.read(list_runs) if wanted in ("", one.slug)]


def _show_forecast(context: Context, slug: str, day: datetime | None, as_json: bool) -> None:
    rows = []
    for tenant in _tenants(context, slug):
        now = utc_now()
        if day is not None and day.date() != today_of(tenant, now):
            hour = int(tenant.options.get("reminder_hour", HOUR))
            now = begins_at(day.date(), hour, ZoneInfo(tenant.timezone)).astimezone(UTC)
        found = asyncio.run(forecast(context.database, tenant, now))
        rows += [_row(tenant, one) for one in found if one.verdict.slot is not None or one.verdict.reason == "settled"]
    show_rows(rows, as_json, empty="nothing is due", columns=_COLUMNS)


def _row(tenant: TenantRun, one: Examined, *, sent: bool = False) -> dict[str, Any]:
    found, verdict = one.found, one.verdict
    result = "not due" if verdict.slot is None else "held back"
    if verdict.goes:
        result = "sent" if sent else "would go"
    if verdict.reason == "settled":
        result = "settled"
    return {
        "tenant": tenant.slug,
        "document": f"{found.type}/{found.id}",
        "number": found.number,
        "customer": found.customer_name,
        "balance": f"{found.balance} {found.currency}".strip(),
        "template": verdict.template,
        "about": verdict.about.isoformat() if verdict.about else "",
        "slot": verdict.slot.isoformat() if verdict.slot else "",
        "next": _next(verdict.slot.isoformat() if verdict.goes and verdict.slot else "", verdict.next),
        "recipients": [str(address) for address in one.recipients],
        "result": result,
        "reason": verdict.reason,
        "why": verdict.why,
    }


def _next(now: str, later: Any) -> str:
    """The day of the next reminder: of one that is due, now."""
    return now or (later.isoformat() if later else "")

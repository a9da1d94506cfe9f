"""`gateway tenant usage`: what a tenant handed over hour by hour, and how much of its limits that is."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click

from gateway.cli.common import Context, json_option, pass_context, plain, show_json, utc_now
from gateway.outbound.limits import read_usage
from gateway.store.database import need_time, to_ms
from gateway.store.usage import HOUR_MS, Hour, accepted_by_hour, sum_by_hour

HOURS = 24
BAR = 50  # characters of the longest bar
_EIGHTHS = " ▏▎▍▌▋▊▉"


@click.command("usage")
@click.argument("slug")
@json_option
@pass_context
def usage(context: Context, slug: str, as_json: bool) -> None:
    """Show what a tenant handed over in the last 24 hours, and how much of its limits is used."""
    found, now = context.tenant(slug), utc_now()
    since = to_ms(now - timedelta(hours=HOURS - 1)) // HOUR_MS * HOUR_MS
    hours = context.read(accepted_by_hour, found.id, since)
    limits = context.read(read_usage, found, now)
    if as_json:
        rows = [plain(one) | {"start": need_time(one.start_ms).isoformat()} for one in hours]
        show_json({"tenant": found.slug, "hours": rows, "limits": limits})
        return
    for line in plot(sum_by_hour(hours), since, found.timezone):
        click.echo(line)
    messages, recipients = sum(one.messages for one in hours), sum(one.recipients for one in hours)
    click.echo(f"{messages:,} messages to {recipients:,} recipients in {HOURS} hours")
    for one in limits:
        click.echo(_of_limit(plain(one), one.until, found.timezone))
    if not limits:
        click.echo(f"no limit is set; set one with: gateway tenant set {found.slug} --per-hour N --per-day N")


def plot(hours: Sequence[Hour], since_ms: int, timezone: str) -> list[str]:
    """A bar for each of the hours from `since_ms` on, the oldest first, in the tenant's time."""
    counts = {one.start_ms: one.messages for one in hours}
    most = max(counts.values(), default=0)
    lines = []
    for start in range(since_ms, since_ms + HOURS * HOUR_MS, HOUR_MS):
        count = counts.get(start, 0)
        local = need_time(start).astimezone(ZoneInfo(timezone))
        lines.append(f"{local:%a %H:%M} {count:>8,} {_bar(count, most)}".rstrip())
    return lines


def _bar(count: int, most: int) -> str:
    eighths = -(-count * BAR * 8 // most) if most else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _of_limit(limit: dict[str, Any], until: datetime, timezone: str) -> str:
    whose = f"credential {limit['credential']}" if limit["credential"] else "the tenant"
    per = "this hour" if limit["per"] == "hour" else "today"
    share = f"{100 * limit['used'] // limit['most']} %"
    return (
        f"{whose}: {limit['used']:,} of {limit['most']:,} messages {per} ({share}), "
        f"until {until.astimezone(ZoneInfo(timezone)):%H:%M}"
    )

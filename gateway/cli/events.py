"""`gateway events`: the feed of a tenant's events, as the HTTP API and webhooks give it."""

import difflib
import json
from datetime import UTC, datetime
from typing import Any

import click

from gateway.cli.common import Context, json_option, pass_context, show_rows, tenant_option
from gateway.store.database import to_ms
from gateway.store.event_feed import START, cursor_at, find_horizon, list_feed, public_event
from gateway.store.events import TYPES


class Since(click.ParamType[datetime]):
    """A time as RFC 3339 writes it, or a day (UTC)."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time that is meant, aware."""
        try:
            made = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-11-24 or 2026-11-24T10:00:00Z", param, ctx)
        return made if made.tzinfo else made.replace(tzinfo=UTC)


def known_types(_context: click.Context, _option: click.Parameter, types: tuple[str, ...]) -> tuple[str, ...]:
    """The types of events that are meant, each a known one."""
    for unknown in set(types) - TYPES:
        near = difflib.get_close_matches(unknown, TYPES, 1)
        raise click.BadParameter(f"there is no event {unknown!r}{f'; did you mean {near[0]}?' if near else ''}")
    return types


@click.command()
@tenant_option
@click.option("--after", default=START, help="Only what came after this event's id.")
@click.option("--since", type=Since(), default=None, help="Only what happened from then on: a day, or RFC 3339.")
@click.option("--type", "types", multiple=True, callback=known_types, help="Only such events; repeatable.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many are looked at.")
@json_option
@pass_context
def events(
    context: Context, slug: str, after: str, since: datetime | None, types: tuple[str, ...], limit: int, as_json: bool
) -> None:
    """Print a tenant's events in their order, oldest first; with --json a line of JSON each.

    The last id is where the next call goes on: no event is ever missed or told in another order.
    """
    tenant_id = context.tenant(slug).id
    start = max(after, cursor_at(to_ms(since))) if since else after
    horizon = context.read(find_horizon)
    page = context.read(list_feed, tenant_id, start, limit, horizon, frozenset(types))
    shown = [public_event(one) for one in page.events]
    if as_json:
        for one in shown:
            click.echo(json.dumps(one, ensure_ascii=False))
        return
    rows = [_row(one) for one in shown]
    show_rows(rows, False, empty="no events", columns=("id", "at", "type", "document", "recipient", "data"))
    if page.more:
        click.echo(f"there is more; go on with --after {page.cursor}", err=True)


def _row(one: dict[str, Any]) -> dict[str, Any]:
    number = (one["document"] or {}).get("number")
    return {**one, "document": number, "data": json.dumps(one["data"], ensure_ascii=False)}

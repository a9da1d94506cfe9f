"""`gateway queue`: what waits to leave, and what became of it."""

from datetime import timedelta

import click

from gateway.cli.common import (
    Context,
    json_option,
    pass_context,
    plain,
    show_json,
    show_rows,
    tenant_option,
    utc_now,
)
from gateway.cli.durations import say_duration
from gateway.cli.queue_choice import choice_filters, parse_key
from gateway.cli.queue_summary import by_domain
from gateway.cli.queue_verbs import cancel, hold, release, retry
from gateway.outbound import queue as verbs
from gateway.outbound.queue_list import Filter, list_attempts, list_queue, list_waiting
from gateway.store.database import to_ms
from gateway.store.messages import get_message
from gateway.store.tenants import list_tenants

STATES = (*verbs.STATES, "all")


@click.group()
def queue() -> None:
    """Deliveries: one per message and recipient."""


@queue.command("list")
@tenant_option
@click.option("--state", type=click.Choice(STATES), default="queued", show_default=True)
@choice_filters
@click.option("--held", is_flag=True, help="Only what waits for a person.")
@click.option("--limit", default=100, show_default=True)
@json_option
@pass_context
def list_(
    context: Context, slug: str, state: str, recipient: str, older: timedelta | None, reason: str, host: str,
    held: bool, limit: int, as_json: bool,
) -> None:  # fmt: skip
    """List deliveries, the next due first; of every tenant when none is named."""
    before = None if older is None else utc_now() - older
    wanted = Filter("" if state == "all" else state, "", recipient, before, True if held else None, reason, host)
    tenants = [context.tenant(slug)] if slug else context.read(list_tenants)
    rows = [
        {"tenant": t.slug, "id": one.id} | plain(one) | {"next_attempt_at": one.next_attempt_at}
        for t in tenants
        for one in context.read(list_queue, t.id, wanted, limit)
    ]
    if as_json:
        show_json(rows)
        return
    columns = ("tenant", "id", "recipient", "state", "attempts", "next_attempt_at", "hold", "words")
    show_rows(rows[:limit], False, empty="nothing is queued" if state == "queued" else "none", columns=columns)


@queue.command("show")
@tenant_option
@click.argument("id")
@json_option
@pass_context
def show(context: Context, slug: str, id: str, as_json: bool) -> None:
    """Show the deliveries of a message with every attempt."""
    found = context.tenant(slug)
    message_id, number = parse_key(id)
    message = context.read(get_message, found.id, message_id)
    if message is None:
        raise click.ClickException(f"there is no message {message_id!r}; try `gateway trace`")
    rows = [
        plain(one) | {"tried": plain(context.read(list_attempts, found.id, message_id, one.number))}
        for one in context.read(list_queue, found.id, Filter(state="", message_id=message_id), 1000)
        if number in (0, one.number)
    ]
    if as_json:
        show_json({"message": plain(message), "deliveries": rows})
        return
    click.echo(f"{message.subject or '(not rendered yet)'}  ·  {message.kind}, {message.size} bytes")
    click.echo(f"Message-ID <{message.rfc_message_id}>, thread {message.thread_id}")
    for row in rows:
        until = row["next_attempt_at"] or "–"
        click.echo(f"\n{message_id}.{row['number']}  {row['recipient']}  {row['state']}"
                   f"{'  held: ' + row['hold'] if row['hold'] else ''}  next try {until}")  # fmt: skip
        for one in row["tried"]:
            sure = "  (no answer to the final dot)" if one["unclear"] else ""
            click.echo(f"  {one['attempt']}. {one['ended_at']}  {one['host'] or '–'}  {one['tls'] or 'no TLS'}")
            click.echo(f"     {one['words'] or one['action']}  [{one['stage']}, {one['milliseconds']} ms]{sure}")


@queue.command("summary")
@tenant_option
@click.option("--limit", default=30, show_default=True, help="Most domains; the fullest come first.")
@json_option
@pass_context
def summary(context: Context, slug: str, limit: int, as_json: bool) -> None:
    """Show what waits by the recipients' domain: how many, how long, and why; of every tenant when none is named."""
    tenants, now = [context.tenant(slug)] if slug else context.read(list_tenants), utc_now()
    groups = [one for t in tenants for one in context.read(list_waiting, t.id, to_ms(now))]
    rows = by_domain(groups)
    if as_json:
        show_json(rows[:limit])
        return
    for row in rows:
        row["oldest"] = say_duration((now - row["oldest"]).total_seconds())
        ahead = (row["next_attempt_at"] - now).total_seconds() if row["next_attempt_at"] else 0
        row["next"] = "–" if row["next_attempt_at"] is None else f"in {say_duration(ahead)}" if ahead > 0 else "now"
        row["why"] = ", ".join(f"{why} {count:,}" for why, count in row["why"].items())
    columns = ("domain", "waiting", "held", "oldest", "next", "why", "words")
    show_rows(rows[:limit], False, empty="nothing is queued", columns=columns)
    if len(rows) > limit:
        click.echo(f"and {len(rows) - limit:,} more domains; see --limit")


for command in (hold, release, cancel, retry):
    queue.add_command(command)

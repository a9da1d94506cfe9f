"""`gateway queue`: what waits to leave, and what became of it."""

from collections.abc import Callable
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
    told,
    utc_now,
)
from gateway.outbound import queue as verbs
from gateway.outbound.queue_list import Filter, list_attempts, list_queue
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
@click.option("--to", "recipient", default="", help="Part of the recipient's address.")
@click.option("--held", is_flag=True, help="Only what waits for a person.")
@click.option("--limit", default=100, show_default=True)
@json_option
@pass_context
def list_(context: Context, slug: str, state: str, recipient: str, held: bool, limit: int, as_json: bool) -> None:
    """List deliveries, the next due first; of every tenant when none is named."""
    wanted = Filter(state="" if state == "all" else state, recipient=recipient, held=True if held else None)
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
    message_id, number = _key(id)
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


def _key(id: str) -> tuple[str, int]:
    message_id, _, number = id.strip().lower().partition(".")
    return message_id, int(number) if number.isdigit() else 0


Verb = Callable[[Context, str, str], int]


def _each(context: Context, slug: str, ids: tuple[str, ...], as_json: bool, did: str, verb: Verb) -> None:
    found = context.tenant(slug)
    counts = {id: verb(context, found.id, id) for id in ids}
    lines = [
        f"{id}: {did} {count} deliver{'y' if count == 1 else 'ies'}" if count
        else f"{id}: nothing was {did}; see `gateway queue show {id}`"
        for id, count in counts.items()
    ]  # fmt: skip
    told(as_json, "\n".join(lines), **{did: counts})
    if not all(counts.values()):
        raise SystemExit(1)


@queue.command("retry")
@tenant_option
@click.argument("ids", nargs=-1, required=True)
@json_option
@pass_context
def retry(context: Context, slug: str, ids: tuple[str, ...], as_json: bool) -> None:
    """Try again now: what waits, failed or was cancelled (never what a server has accepted)."""
    expires = to_ms(utc_now() + timedelta(seconds=context.config.delivery.expire_seconds))
    _each(context, slug, ids, as_json, "queued", lambda c, t, id: c.write(
        verbs.retry_failed, to_ms(utc_now()), t, _key(id), "admin", expires))  # fmt: skip


@queue.command("hold")
@tenant_option
@click.argument("ids", nargs=-1, required=True)
@click.option("--why", default="held by an admin", show_default=True)
@json_option
@pass_context
def hold(context: Context, slug: str, ids: tuple[str, ...], why: str, as_json: bool) -> None:
    """Keep deliveries back until they are released."""
    _each(context, slug, ids, as_json, "held", lambda c, t, id: c.write(verbs.hold, to_ms(utc_now()), t, _key(id), why))


@queue.command("release")
@tenant_option
@click.argument("ids", nargs=-1, required=True)
@json_option
@pass_context
def release(context: Context, slug: str, ids: tuple[str, ...], as_json: bool) -> None:
    """Let held deliveries go now."""
    _each(context, slug, ids, as_json, "released", lambda c, t, id: c.write(
        verbs.release, to_ms(utc_now()), t, _key(id), "admin"))  # fmt: skip


@queue.command("cancel")
@tenant_option
@click.argument("ids", nargs=-1, required=True)
@json_option
@pass_context
def cancel(context: Context, slug: str, ids: tuple[str, ...], as_json: bool) -> None:
    """End deliveries that are still queued."""
    _each(context, slug, ids, as_json, "cancelled", lambda c, t, id: c.write(
        verbs.cancel, to_ms(utc_now()), t, _key(id), "admin"))  # fmt: skip

"""`gateway webhook`: where a tenant's events are delivered, how that fares, and delivering them again."""

import asyncio
from dataclasses import asdict
from datetime import datetime

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, show_rows, tenant_option, told, utc_now
from gateway.cli.events import Since, known_types
from gateway.outbound.webhook_post import Posted
from gateway.outbound.webhooks import say, send_now
from gateway.serve.parts import make_post, make_resolver
from gateway.store.database import to_ms
from gateway.store.event_feed import cursor_at
from gateway.store.webhooks import (
    DELIVERED,
    HookAttempt,
    add_endpoint,
    drop_endpoint,
    enable_endpoint,
    list_attempts,
    list_endpoints,
    need_endpoint,
    rewind_endpoint,
    rotate_secret,
)

BY = "admin"


@click.group()
def webhook() -> None:
    """Endpoints that events are delivered to."""


@webhook.command("add")
@tenant_option
@click.argument("url")
@click.option("--type", "types", multiple=True, callback=known_types, help="Only such events; repeatable.")
@json_option
@pass_context
def add(context: Context, slug: str, url: str, types: tuple[str, ...], as_json: bool) -> None:
    """Deliver a tenant's events to URL from now on; prints the secret that signs them, this once."""
    tenant_id, inner = context.tenant(slug).id, context.config.delivery.allow_private
    made, secret = context.write(add_endpoint, utc_now(), context.seal, tenant_id, url, frozenset(types), inner=inner)
    told(as_json, f"endpoint  {made.id}\nsecret    {secret}", endpoint=made.id, url=url, secret=secret)


@webhook.command("list")
@tenant_option
@json_option
@pass_context
def list_(context: Context, slug: str, as_json: bool) -> None:
    """List a tenant's endpoints and how they fare."""
    rows = [asdict(one) | {"types": sorted(one.types)} for one in context.read(list_endpoints, context.tenant(slug).id)]
    for row in rows:
        row.pop("tenant_id")
    columns = ("id", "url", "state", "changed_at", "tries", "next_at", "words")
    show_rows(rows, as_json, empty="no endpoints; add one with `gateway webhook add URL`", columns=columns)


@webhook.command("log")
@tenant_option
@click.argument("endpoint")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many at most.")
@json_option
@pass_context
def log(context: Context, slug: str, endpoint: str, limit: int, as_json: bool) -> None:
    """Show the last attempts of an ENDPOINT, the latest first."""
    tenant_id = context.tenant(slug).id
    context.read(need_endpoint, tenant_id, endpoint)
    rows = [asdict(one) for one in context.read(list_attempts, tenant_id, endpoint, limit)]
    columns = ("at", "type", "event_id", "outcome", "code", "milliseconds", "words")
    show_rows(rows, as_json, empty="no attempts yet", columns=columns)


@webhook.command("replay")
@tenant_option
@click.argument("endpoint")
@click.argument("event", required=False, default="")
@click.option("--since", type=Since(), default=None, help="Everything from then on, in order: a day, or RFC 3339.")
@json_option
@pass_context
def replay(context: Context, slug: str, endpoint: str, event: str, since: datetime | None, as_json: bool) -> None:
    """Deliver to an ENDPOINT again: one EVENT, at once and out of its order, or everything --since a time."""
    if bool(event) == bool(since):
        raise click.UsageError("name an EVENT, or --since a time")
    if since:
        tenant_id = context.tenant(slug).id
        context.write(rewind_endpoint, utc_now(), tenant_id, endpoint, cursor_at(to_ms(since)))
        told(
            as_json, f"{endpoint} gets everything since {since:%Y-%m-%d %H:%M %Z} again", endpoint=endpoint, since=since
        )
        return
    _show(_send(context, slug, endpoint, event), as_json)


@webhook.command("test")
@tenant_option
@click.argument("endpoint")
@json_option
@pass_context
def test(context: Context, slug: str, endpoint: str, as_json: bool) -> None:
    """Send a trial event, `webhook.test`, to an ENDPOINT and show what it answers."""
    _show(_send(context, slug, endpoint, ""), as_json)


def _send(context: Context, slug: str, endpoint: str, event: str) -> HookAttempt:
    key = (context.tenant(slug).id, endpoint)

    async def work() -> HookAttempt:
        post = make_post(context.config, make_resolver(context.config))
        return await send_now(context.database, context.seal, post, utc_now(), key, event)

    return asyncio.run(work())


def _show(made: HookAttempt, as_json: bool) -> None:
    if as_json:
        show_json(made)
    else:
        click.echo(f"{made.outcome} in {made.milliseconds} ms: {say(Posted(made.code, made.words, 0))}")
    if made.outcome != DELIVERED:
        raise SystemExit(1)


@webhook.command("rotate")
@tenant_option
@click.argument("endpoint")
@json_option
@pass_context
def rotate(context: Context, slug: str, endpoint: str, as_json: bool) -> None:
    """Give an ENDPOINT a new secret, shown this once; the one before signs along for 24 hours."""
    secret = context.write(rotate_secret, utc_now(), context.seal, context.tenant(slug).id, endpoint)
    told(as_json, f"secret    {secret}", endpoint=endpoint, secret=secret)


@webhook.command("enable")
@tenant_option
@click.argument("endpoint")
@json_option
@pass_context
def enable(context: Context, slug: str, endpoint: str, as_json: bool) -> None:
    """Turn an ENDPOINT on again, or let it try at once; it goes on where it stopped."""
    context.write(enable_endpoint, utc_now(), context.tenant(slug).id, endpoint, BY)
    told(as_json, f"{endpoint} goes on where it stopped", enabled=endpoint)


@webhook.command("rm")
@tenant_option
@click.argument("endpoint")
@json_option
@pass_context
def rm(context: Context, slug: str, endpoint: str, as_json: bool) -> None:
    """Remove an ENDPOINT, its secret and its log."""
    context.write(drop_endpoint, context.tenant(slug).id, endpoint)
    told(as_json, f"removed {endpoint}", removed=endpoint)

"""`gateway bounce list|correct|dismiss|export`: addresses that mail failed at, and what a person does about them."""

import asyncio
from typing import IO

import click

from gateway.cli.common import (
    Context,
    json_option,
    pass_context,
    show_json,
    show_rows,
    tenant_option,
    told,
    utc_now,
)
from gateway.cli.send import open_door
from gateway.inbox.correcting import Correction
from gateway.inbox.correcting import correct as correct_address
from gateway.inbox.worklist import dismiss as dismiss_address
from gateway.inbox.worklist import list_bounced, write_csv


@click.command("correct")
@tenant_option
@click.argument("old")
@click.argument("new")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and do nothing.")
@json_option
@pass_context
def correct(context: Context, slug: str, old: str, new: str, dry_run: bool, as_json: bool) -> None:
    """Put the address NEW in the place of OLD, and send to it every document that OLD missed, once each."""
    tenant = context.tenant(slug)
    made = asyncio.run(correct_address(open_door(context), tenant.id, old, new, "admin", utc_now(), dry_run=dry_run))
    if as_json:
        show_json(made)
        return
    for line in _lines(made):
        click.echo(line)


def _lines(made: Correction) -> list[str]:
    does = "would be sent" if made.dry_run else "sent"
    lines = [f"{made.old} -> {made.new}: {len(made.sent)} {does}, {len(made.left)} left"]
    for one, message_id in made.sent:
        name = f"{one.type}/{one.id} {one.number}, revision {one.revision}, {one.balance} {one.currency}".rstrip()
        lines.append(f"  {does}: {name}" + (f": message {message_id}" if message_id else ""))
    for one in made.left:
        lines.append(f"  not sent: {one.number or one.subject or one.message_id}: {one.why}")
    return lines


@click.command("list")
@tenant_option
@click.option("--after", default="", help="Begin behind this address.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@json_option
@pass_context
def list_(context: Context, slug: str, after: str, limit: int, as_json: bool) -> None:
    """List addresses that mail failed at and that nobody settled: why, what each missed, what it may be meant to be."""
    page = context.read(list_bounced, context.tenant(slug).id, after=after.lower(), limit=limit)
    if as_json:
        show_json(page)
        return
    rows = [
        {
            "address": one.address,
            "customer": ", ".join(one.customers) or "–",
            "reason": one.reason,
            "since": one.since,
            "missed": len(one.missed),
            "at_stake": ", ".join(f"{amount} {currency}" for currency, amount in one.at_stake) or "–",
            "suggestions": ", ".join(one.suggestions) or "–",
        }
        for one in page.lines
    ]
    show_rows(rows, False, empty="no address waits for a person")
    if page.cursor:
        click.echo(f"there are more; see `gateway bounce list --after {page.cursor}`", err=True)


@click.command("dismiss")
@tenant_option
@click.argument("address")
@json_option
@pass_context
def dismiss(context: Context, slug: str, address: str, as_json: bool) -> None:
    """Put aside what failed at ADDRESS until now; it comes back when mail to it fails again."""
    count = context.write(dismiss_address, utc_now(), context.tenant(slug).id, address, "admin")
    told(as_json, f"{address}: put aside in {count} threads", address=address, threads=count)


@click.command("export")
@tenant_option
@click.option("-o", "--output", type=click.File("w", encoding="utf-8"), default="-", help="Into a file.")
@pass_context
def export(context: Context, slug: str, output: IO[str]) -> None:
    """Write the worklist as CSV, safe for spreadsheets."""
    tenant_id, after, first = context.tenant(slug).id, "", True
    while first or after:
        page = context.read(list_bounced, tenant_id, after=after, limit=200)
        write_csv(output, page.lines, header=first)
        after, first = page.cursor, False

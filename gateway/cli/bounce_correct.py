"""`gateway bounce correct`: a customer's address was wrong; put it right and send what was missed."""

import asyncio

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, tenant_option, utc_now
from gateway.cli.send import open_door
from gateway.inbox.correcting import Correction
from gateway.inbox.correcting import correct as correct_address


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

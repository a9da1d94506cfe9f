"""`gateway runs`: what became of the mails that a billing system handed over in one batch (X-AR-Run)."""

import sys

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, show_rows, tenant_option
from gateway.inbox.run_list import list_runs, write_run
from gateway.inbox.run_recipients import ANSWERED, CORRECTED, NOTHING, PROMISED, SINCE
from gateway.inbox.runs import need_run, tell_run


@click.group()
def runs() -> None:
    """Runs: mails that were handed over in one batch, and what became of each recipient."""


@runs.command("list")
@tenant_option
@click.option("--after", default="", help="The cursor of the page before.")
@click.option("--limit", default=20, show_default=True)
@json_option
@pass_context
def list_(context: Context, slug: str, after: str, limit: int, as_json: bool) -> None:
    """List runs, the latest first."""
    page = context.read(list_runs, context.tenant(slug).id, after=after, limit=limit)
    if as_json:
        show_json(page)
        return
    rows = [
        {
            "run": one.name,
            "last": one.last_at,
            "messages": one.messages,
            "recipients": one.recipients,
            "accepted": one.states.get("relayed", 0) + one.states.get("delivered", 0),
            "waiting": one.states.get("queued", 0),
            "bounced": one.states.get("failed", 0),
        }
        for one in page.lines
    ]
    show_rows(rows, False, empty="no mail was handed over with X-AR-Run yet")
    if page.cursor:
        click.echo(f"more: --after {page.cursor}")


@runs.command("show")
@tenant_option
@click.argument("name", metavar="RUN")
@json_option
@pass_context
def show(context: Context, slug: str, name: str, as_json: bool) -> None:
    """Show what became of a run's recipients; every one is counted once."""
    report = context.read(need_run, context.tenant(slug).id, name)
    facts = tell_run(report)
    if as_json:
        show_json(facts)
        return
    click.echo(f"{report.messages} messages to {report.total} recipients; {report.accepted} accepted by their servers")
    sums = dict(zip(SINCE, report.columns, strict=True))
    rows = [*facts["lines"], {"outcome": "all", "reason": "", "recipients": report.total, **sums}]
    columns = ("outcome", "reason", "recipients", PROMISED, ANSWERED, CORRECTED, NOTHING)
    show_rows(rows, False, empty="", columns=columns)
    if report.cut:
        click.echo("the run is larger than that; the rest is not counted")


@runs.command("export")
@tenant_option
@click.argument("name", metavar="RUN")
@pass_context
def export(context: Context, slug: str, name: str) -> None:
    """Write a run's recipients as CSV, safe for spreadsheets."""
    write_run(sys.stdout, context.read(need_run, context.tenant(slug).id, name).recipients)

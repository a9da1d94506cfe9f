"""`gateway inbox`: a tenant's threads, as the page shows them."""

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
)  # fmt: skip
from gateway.inbox.reading import VIEWS, list_page, read_thread
from gateway.inbox.reading import close as close_thread
from gateway.inbox.trace import to_text, trace
from gateway.store.schema import OPERATOR

POSTMASTER = "postmaster"  # the name by which the operator's own mail is asked for; no tenant may have it


def _owner(context: Context, slug: str) -> tuple[str, str]:
    """(tenant id, time zone) of a tenant; those of the operator for mail to the postmaster."""
    if slug == POSTMASTER:
        return OPERATOR, "UTC"
    tenant = context.tenant(slug)
    return tenant.id, tenant.timezone


@click.group()
def inbox() -> None:
    """Threads of the A/R inbox; with --tenant postmaster, mail to the operator."""


@inbox.command("list")
@tenant_option
@click.option("--view", type=click.Choice(VIEWS), default="todo", show_default=True)
@click.option("--limit", default=50, show_default=True)
@json_option
@pass_context
def list_(context: Context, slug: str, view: str, limit: int, as_json: bool) -> None:
    """List threads, the latest first."""
    page = context.read(list_page, _owner(context, slug)[0], view=view, limit=limit)
    if as_json:
        show_json(page)
        return
    rows = [
        {
            "thread": line.thread.id,
            "last": line.thread.last_at,
            "state": line.thread.state,
            "why": (line.thread.chip if line.thread.state == "open" else "") or "–",
            "document": line.thread.document_number or "–",
            "customer": line.thread.customer,
            "subject": line.thread.subject,
        }
        for line in page.lines
    ]
    show_rows(rows, False, empty="nothing to do" if view == "todo" else "no threads here")


@inbox.command("show")
@tenant_option
@click.argument("thread")
@json_option
@pass_context
def show(context: Context, slug: str, thread: str, as_json: bool) -> None:
    """Show a thread: its mail, what became of it, bounces and replies."""
    tenant_id, zone = _owner(context, slug)
    view = context.read(read_thread, tenant_id, thread.lower())
    if view is None:
        raise click.ClickException(f"there is no thread {thread!r}; see `gateway inbox list --view all`")
    if as_json:
        show_json(plain(view))
        return
    for line in to_text(context.read(trace, tenant_id, thread.lower()), zone):
        click.echo(line)
    for made in view.messages:
        if made.message.direction == "in" and made.message.body_text:
            click.echo(f"\n{made.message.author}:\n{made.message.body_text.strip()}")


@inbox.command("close")
@tenant_option
@click.argument("thread")
@json_option
@pass_context
def close(context: Context, slug: str, thread: str, as_json: bool) -> None:
    """Close a thread: nothing more is to be done."""
    if not context.write(close_thread, utc_now(), _owner(context, slug)[0], thread.lower(), "admin"):
        raise click.ClickException(f"{thread!r} is not an open thread")
    told(as_json, f"closed {thread}", closed=thread)

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


@click.group()
def inbox() -> None:
    """Threads of the A/R inbox."""


@inbox.command("list")
@tenant_option
@click.option("--view", type=click.Choice(VIEWS), default="todo", show_default=True)
@click.option("--limit", default=50, show_default=True)
@json_option
@pass_context
def list_(context: Context, slug: str, view: str, limit: int, as_json: bool) -> None:
    """List threads, the latest first."""
    page = context.read(list_page, context.tenant(slug).id, view=view, limit=limit)
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
    tenant = context.tenant(slug)
    view = context.read(read_thread, tenant.id, thread.lower())
    if view is None:
        raise click.ClickException(f"there is no thread {thread!r}; see `gateway inbox list --view all`")
    if as_json:
        show_json(plain(view))
        return
    for line in to_text(context.read(trace, tenant.id, thread.lower()), tenant.timezone):
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
    if not context.write(close_thread, utc_now(), context.tenant(slug).id, thread.lower(), "admin"):
        raise click.ClickException(f"{thread!r} is not an open thread")
    told(as_json, f"closed {thread}", closed=thread)

"""`gateway inbox`: a tenant's threads, as the page shows them."""

import asyncio

import click

from gateway.cli.common import (
    Context,
    json_option,
    owner_of,
    pass_context,
    plain,
    show_json,
    show_rows,
    tenant_option,
    told,
    utc_now,
)  # fmt: skip
from gateway.cli.inbox_acts import COMMANDS
from gateway.cli.inbox_search import reindex, saved, search
from gateway.cli.send import letterhead_of
from gateway.inbound.reception import UNREADABLE, Taken
from gateway.inbound.reception import replay as replay_mail
from gateway.inbox.deciding import add_author, move
from gateway.inbox.listing import VIEWS, list_page
from gateway.inbox.reading import read_thread
from gateway.inbox.trace import to_text, trace
from gateway.serve.receiving import make_reception
from gateway.store.messages import Message, get_content, list_received
from gateway.store.schema import OPERATOR
from gateway.store.tenants import list_tenants
from gateway.wire.workers import WorkerPool


@click.group()
def inbox() -> None:
    """Threads of the A/R inbox; with --tenant postmaster, mail to the operator."""


for command in (search, reindex, saved, *COMMANDS):
    inbox.add_command(command)


@inbox.command("list")
@tenant_option
@click.option("--view", type=click.Choice(VIEWS), default="todo", show_default=True)
@click.option("--limit", default=50, show_default=True)
@json_option
@pass_context
def list_(context: Context, slug: str, view: str, limit: int, as_json: bool) -> None:
    """List threads, the latest first."""
    page = context.read(list_page, owner_of(context, slug)[0], view=view, limit=limit)
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
    tenant_id, zone = owner_of(context, slug)
    view = context.read(read_thread, tenant_id, thread.lower())
    if view is None:
        raise click.ClickException(f"there is no thread {thread!r}; see `gateway inbox list --view all`")
    if as_json:
        show_json(plain(view))
        return
    for line in to_text(context.read(trace, tenant_id, thread.lower()), zone):
        click.echo(line)
    if view.tags:
        click.echo(f"\ntags: {', '.join(view.tags)}")
    for noted in view.notes:
        click.echo(f"\nnote of {noted.author}: {noted.text}")
    for made in view.messages:
        if made.message.direction == "in" and made.message.body_text:
            click.echo(f"\n{made.message.author}:\n{made.message.body_text.strip()}")


@inbox.command("move")
@tenant_option
@click.argument("message")
@click.argument("thread")
@json_option
@pass_context
def move_(context: Context, slug: str, message: str, thread: str, as_json: bool) -> None:
    """Put a MESSAGE that came into the THREAD it belongs to."""
    tenant_id = owner_of(context, slug)[0]
    context.write(move, utc_now(), tenant_id, message.lower(), thread.lower(), "admin")
    told(as_json, f"moved {message} to {thread}", message=message, thread=thread)


@inbox.command("contact")
@tenant_option
@click.argument("message")
@json_option
@pass_context
def contact(context: Context, slug: str, message: str, as_json: bool) -> None:
    """Make the author of a MESSAGE that came a contact of its thread's customer."""
    address, customer = context.write(add_author, utc_now(), owner_of(context, slug)[0], message.lower(), "admin")
    told(as_json, f"{address} is a contact of {customer} now", address=address, customer=customer)


@inbox.command("replay")
@click.argument("messages", nargs=-1, metavar="[MESSAGE]...")
@click.option("--all", "everything", is_flag=True, help="All mail of all tenants that could not be read.")
@tenant_option
@json_option
@pass_context
def replay(context: Context, slug: str, messages: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Read mail again that could not be read when it came; it then has its effects. Without a name: list such mail."""
    owners = [OPERATOR, *(one.id for one in context.read(list_tenants))] if everything else [owner_of(context, slug)[0]]
    kept = [one for owner in owners for one in context.read(list_received, owner, UNREADABLE)]
    if unknown := set(messages) - {one.id for one in kept}:
        raise click.ClickException(f"not kept as unreadable: {', '.join(sorted(unknown))}; see `gateway inbox replay`")
    if not messages and not everything:
        rows = [{"message": one.id, "thread": one.thread_id, "came": one.created_at, "bytes": one.size} for one in kept]
        show_rows(rows, as_json, empty="all mail could be read")
        return
    wanted = [one for one in kept if everything or one.id in messages]
    taken = asyncio.run(_replay(context, wanted))
    for one, found in zip(wanted, taken, strict=True):
        told_of = f"{one.id}: {found.kind}, in thread {found.thread_id}" if found else f"{one.id}: still unreadable"
        if not as_json:
            click.echo(told_of)
    if as_json:
        show_json(
            [{"message": one.id, **(plain(found) if found else {})} for one, found in zip(wanted, taken, strict=True)]
        )


async def _replay(context: Context, kept: list[Message]) -> list[Taken | None]:
    pool = WorkerPool(1, context.config.workers.memory)
    try:
        reception = make_reception(context.config, context.database, letterhead_of(context), pool, None)
        found = []
        for one in kept:
            raw = await context.database.read(get_content, one.tenant_id, one.id)
            found.append(await replay_mail(reception, one, raw, utc_now()))
        return found
    finally:
        pool.close()

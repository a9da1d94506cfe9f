"""`gateway trace`: "did they get invoice 42?" with one command, in the remote server's own words."""

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, tenant_option
from gateway.inbox.trace import Traced, to_json, to_text
from gateway.inbox.trace import trace as look
from gateway.store.tenants import list_tenants


@click.command()
@tenant_option
@click.argument("query")
@json_option
@pass_context
def trace(context: Context, slug: str, query: str, as_json: bool) -> None:
    """Show what became of QUERY: a message or thread id, an address, a document's number or id, a Message-ID, a
    return path's token. Searches every tenant when none is named."""
    tenants = [context.tenant(slug)] if slug else context.read(list_tenants)
    found: list[tuple[str, str, tuple[Traced, ...]]] = []
    for one in tenants:
        traced = context.read(look, one.id, query)
        if traced:
            found.append((one.slug, one.timezone, traced))
    if as_json:
        show_json([{"tenant": name, "messages": to_json(traced)} for name, _, traced in found])
        return
    if not found:
        raise click.ClickException(f"nothing is known of {query!r}")
    for name, timezone, traced in found:
        if len(tenants) > 1:
            click.echo(f"tenant {name}")
        for line in to_text(traced, timezone):
            click.echo(line)

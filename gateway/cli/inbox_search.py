"""`gateway inbox search`, `reindex` and `saved`: finding threads, and keeping what finds them."""

import click

from gateway.cli.common import (
    Context,
    counting,
    json_option,
    owner_of,
    pass_context,
    show_json,
    show_rows,
    tenant_option,
    told,
    utc_now,
)
from gateway.inbox.indexing import BATCH, WRITTEN, Meanwhile, read_next, write_next
from gateway.inbox.search import search as find_threads
from gateway.inbox.searches import keep_search
from gateway.store.database import Transaction, to_ms
from gateway.store.saved_searches import delete_search, list_searches
from gateway.store.schema import OPERATOR
from gateway.store.search_index import forget_all
from gateway.store.search_progress import BUILT, Progress, begin_building, begin_following, list_progress
from gateway.store.tenants import list_tenants


@click.command("search")
@tenant_option
@click.argument("query", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--after", "cursor", default="", help="Go on after a page: the `cursor` that --json prints.")
@json_option
@pass_context
def search(context: Context, slug: str, query: tuple[str, ...], limit: int, cursor: str, as_json: bool) -> None:
    """Find threads by QUERY, the latest first: words, "a phrase", begin*, -not, OR, and from: to: number: amount:>1000
    date:2026-11 before: after: is:open has:attachment file: reason: tag: assignee: in: and others (docs/operations.md).
    """
    page = context.read(
        find_threads, utc_now(), owner_of(context, slug)[0], " ".join(query), cursor=cursor, limit=limit
    )
    if as_json:
        show_json(page)
        return
    rows = [
        {
            "thread": one.line.thread.id,
            "last": one.line.thread.last_at,
            "state": one.line.thread.state,
            "document": one.line.thread.document_number or "–",
            "customer": one.line.thread.customer,
            "words": "".join(f"[{text}]" if hit else text for text, hit in one.snippet),
        }
        for one in page.lines
    ]
    show_rows(rows, False, empty="nothing was found")
    if page.cursor:
        click.echo(f"there is more; go on with --after {page.cursor}", err=True)
    if page.behind > 60 or not page.complete:
        click.echo("the index is behind: see `gateway doctor`, or run `gateway inbox reindex`", err=True)


@click.command("reindex")
@tenant_option
@click.option("--fresh", is_flag=True, help="Empty the whole index first, of all tenants: when it is damaged.")
@json_option
@pass_context
def reindex(context: Context, slug: str, fresh: bool, as_json: bool) -> None:
    """Build the search index anew, of one tenant or of all. Searches go on meanwhile; with --fresh they find less."""
    if fresh and slug:
        raise click.UsageError("--fresh empties the index of all tenants; leave --tenant out")
    context.write(begin_following, to_ms(utc_now()))
    if fresh:
        context.write(forget_all)
    everybody = [OPERATOR, *(one.id for one in context.read(list_tenants))]
    owners = [owner_of(context, slug)[0]] if slug else everybody
    count = sum(_build(context, owner) for owner in owners)
    told(as_json, f"indexed {count} threads", threads=count)


def _build(context: Context, tenant_id: str) -> int:
    at = context.write(begin_building, to_ms(utc_now()), tenant_id)
    with counting("indexing", at.total) as advance:
        while at.state != BUILT:
            entries, reached = context.read(read_next, at, 4 * BATCH, 5 * WRITTEN)
            try:
                context.write(write_next, utc_now(), at, entries, reached)
            except Meanwhile:
                found = context.read(_progress_of, tenant_id)
                advance(found.done - at.done)
                at = found
                continue
            advance(reached.done - at.done)
            at = reached
    return at.done


def _progress_of(tx: Transaction, tenant_id: str) -> Progress:
    return next(one for one in list_progress(tx) if one.tenant_id == tenant_id)


@click.group("saved")
def saved() -> None:
    """Searches of a tenant that have a name: everybody's; users keep their own on the page."""


@saved.command("list")
@tenant_option
@json_option
@pass_context
def list_(context: Context, slug: str, as_json: bool) -> None:
    """List everybody's searches."""
    found = context.read(list_searches, owner_of(context, slug)[0])
    rows = [{"search": one.id, "name": one.name, "query": one.query} for one in found]
    show_rows(rows, as_json, empty="no searches are saved")


@saved.command("add")
@tenant_option
@click.argument("name")
@click.argument("query", nargs=-1, required=True)
@json_option
@pass_context
def add(context: Context, slug: str, name: str, query: tuple[str, ...], as_json: bool) -> None:
    """Keep QUERY under NAME for everybody; a search of that name is replaced."""
    tenant_id = owner_of(context, slug)[0]
    made = context.write(keep_search, utc_now(), tenant_id, name, " ".join(query), shared=True)
    told(as_json, f"saved {made.name}: {made.query}", search=made.id, name=made.name, query=made.query)


@saved.command("remove")
@tenant_option
@click.argument("name")
@json_option
@pass_context
def remove(context: Context, slug: str, name: str, as_json: bool) -> None:
    """Forget the search that is called NAME."""
    tenant_id = owner_of(context, slug)[0]
    found = [one for one in context.read(list_searches, tenant_id) if name in (one.name, one.id)]
    if not found or not context.write(delete_search, tenant_id, "", found[0].id):
        raise click.ClickException(f"there is no search {name!r}; see `gateway inbox saved`")
    told(as_json, f"removed {found[0].name}", removed=found[0].id)

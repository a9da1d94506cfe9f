"""`gateway document`: what billing systems handed over, and whether it was sent."""

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
from gateway.outbound.automation import mark_as_sent
from gateway.outbound.document_pdf import Drawing, draw, find_pdf
from gateway.store.documents import StoredDocument, get_document, list_documents
from gateway.wire.workers import WorkerFailed, WorkerPool


@click.group()
def document() -> None:
    """Documents of a tenant."""


@document.command("list")
@tenant_option
@click.option("--limit", default=50, show_default=True)
@json_option
@pass_context
def list_(context: Context, slug: str, limit: int, as_json: bool) -> None:
    """List documents, the latest first."""
    rows = [
        {
            "document": f"{one.type}/{one.id}",
            "number": one.number,
            "status": one.status,
            "customer": one.customer_name,
            "balance": f"{one.balance} {one.currency}".strip(),
            "due": one.due_date,
            "sent_at": one.sent_at,
            "thread": one.thread_id,
        }
        for one in context.read(list_documents, context.tenant(slug).id, limit)
    ]
    show_rows(rows, as_json, empty="no documents yet")


@document.command("show")
@tenant_option
@click.argument("name")
@json_option
@pass_context
def show(context: Context, slug: str, name: str, as_json: bool) -> None:
    """Show a document by TYPE/ID, with its canonical body."""
    found = _need(context, slug, name)
    facts = plain(found) | {"body": found.body.decode()}
    if as_json:
        show_json(facts)
        return
    for key, value in facts.items():
        click.echo(f"{key.replace('_', ' ') + ':':16} {value or '–'}")


@document.command("sent")
@tenant_option
@click.argument("name")
@json_option
@pass_context
def sent(context: Context, slug: str, name: str, as_json: bool) -> None:
    """Say that TYPE/ID reached its customer another way: no automatic mail goes, a held one is cancelled."""
    found = _need(context, slug, name)
    cancelled = context.write(mark_as_sent, utc_now(), context.tenant(slug).id, found.type, found.id)
    text = f"{name} is marked as sent" + ("; its held mail is cancelled" if cancelled else "")
    told(as_json, text, document=name, cancelled=cancelled)


@document.command("pdf")
@tenant_option
@click.argument("name")
@click.option(
    "-o", "--output", required=True, type=click.Path(allow_dash=True), help='The file to write; "-": standard output.'
)
@click.option("--factur-x", "facturx", is_flag=True, help="With the invoice inside as XML (EN 16931), as PDF/A-3.")
@json_option
@pass_context
def pdf(context: Context, slug: str, name: str, output: str, facturx: bool, as_json: bool) -> None:
    """Write the PDF of TYPE/ID: the one that was mailed, byte for byte; else the one that would be."""
    type, _, document_id = name.partition("/")
    found = context.read(find_pdf, context.tenant(slug), type, document_id, facturx=facturx)
    data = found.data if found.to_draw is None else _draw(context, found.to_draw)
    with click.open_file(output, "wb") as file:
        file.write(data)
    source = "kept" if found.to_draw is None else "drawn"
    if output != "-":
        told(as_json, f"wrote {output} ({source}, {len(data)} bytes)", document=name, file=output, source=source,
             filename=found.filename, size=len(data))  # fmt: skip


def _draw(context: Context, drawing: Drawing) -> bytes:
    """Draw in a confined process, as mail is."""
    workers = context.config.workers
    pool = WorkerPool(1, workers.memory)
    try:
        return pool.run_sync(draw, drawing, seconds=workers.render_seconds)
    except WorkerFailed as failure:
        raise click.ClickException(f"the PDF could not be drawn: {failure}") from None
    finally:
        pool.close()


def _need(context: Context, slug: str, name: str) -> StoredDocument:
    type, _, document_id = name.partition("/")
    found = context.read(get_document, context.tenant(slug).id, type, document_id)
    if found is None:
        raise click.ClickException(f"there is no document {name!r}; write type/id, see `gateway document list`")
    return found

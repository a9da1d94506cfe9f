"""`gateway template show`, `edit`, `preview` and `lint`: what a tenant's mails say, and how they look."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from gateway.cli.browser import find_chromium, first_page, picture
from gateway.cli.common import Context, json_option, pass_context, show_json, show_rows, tenant_option, told, utc_now
from gateway.mail.address import parse_address
from gateway.mail.header_mailboxes import Mailbox
from gateway.outbound.automation import COMPOSED
from gateway.outbound.brand import Brand
from gateway.outbound.documents import Document, read_document
from gateway.outbound.filling import PARTS, texts_of
from gateway.outbound.ingredients import tenant_brand
from gateway.outbound.previews import lint_template, message_of, page_of, preview_mail, sample_facts, try_texts
from gateway.outbound.rendered import Rendered
from gateway.outbound.tenant_texts import change_texts, product_texts
from gateway.outbound.texts import LANGUAGES, templates
from gateway.outbound.triggers import choice_of
from gateway.store.assets import get_logo
from gateway.store.database import Transaction
from gateway.store.documents import get_document
from gateway.store.template_settings import list_settings
from gateway.store.tenants import Tenant
from gateway.wire.workers import WorkerFailed, WorkerPool

FORMATS = ("html", "text", "pdf", "png", "eml")
LINT_SECONDS = 120  # fourteen templates in three languages, on a busy machine


@dataclass(frozen=True, slots=True)
class _Own:
    """What is a tenant's own in its mails."""

    tenant: Tenant
    settings: Mapping[tuple[str, str], Mapping[str, Any]]
    brand: Brand


language_option = click.option(
    "-l", "--language", "code", type=click.Choice(LANGUAGES), help="The mail's language; else the tenant's own."
)


@click.command()
@tenant_option
@click.argument("key")
@language_option
@click.option("--source", is_flag=True, help="The product's own texts, also where the tenant changed them.")
@json_option
@pass_context
def show(context: Context, slug: str, key: str, code: str, source: bool, as_json: bool) -> None:
    """Show the texts of template KEY as a tenant edits them, and the variables that they may speak of."""
    _need(key)
    own = _read(context, slug)
    code = code or own.tenant.language
    ours, theirs = product_texts(key, code), {} if source else texts_of(own.settings, key, code)
    rows = [
        {"part": part, "of": "tenant" if part in theirs else "product", "text": theirs.get(part, ours.get(part, ""))}
        for part in PARTS
        if part in ours
    ]
    facts = sample_facts(key, code, own.tenant.company)
    del facts["button"]
    if as_json:
        show_json({"template": key, "language": code, "texts": rows, "variables": facts})
        return
    for row in rows:
        click.echo(f"-- {row['part']} (the {row['of']}'s)\n{row['text']}\n")
    click.echo("-- variables, as a sample has them")
    for name, value in facts.items():
        click.echo(f"{name:18} {_in_short(value)}")


def _in_short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} to loop over" + (f": {', '.join(value[0])}" if value else "")
    if isinstance(value, dict):
        return "values as they were handed over: " + ", ".join(f".{name}" for name in value)
    return str(value) if value != "" else "–"


@click.command()
@tenant_option
@click.argument("key")
@click.option("-l", "--language", "code", type=click.Choice(LANGUAGES), required=True, help="The mail's language.")
@click.option("--subject", help='The subject; "" follows the product again, as with every part.')
@click.option("--preheader", help="What inboxes show beside the subject.")
@click.option("--title", help="The heading.")
@click.option(
    "--text-file",
    type=click.Path(allow_dash=True),
    help='A file with the text, of one or more paragraphs; "-" reads it.',
)
@click.option("--button", help="What stands on the button.")
@click.option("--default", "as_default", is_flag=True, help="Follow the product in every part again.")
@json_option
@pass_context
def edit(
    context: Context, /, slug: str, key: str, code: str, text_file: str | None, as_default: bool, as_json: bool,
    **parts: str | None,
) -> None:  # fmt: skip
    """Say something else in template KEY; what is not given stays. Holds from the tenant's next message on."""
    _need(key)
    given = {part: text for part, text in parts.items() if text is not None}
    if text_file is not None:
        with click.open_file(text_file, encoding="utf-8") as file:
            given["text"] = file.read(100_000).strip("\n")
    changes = dict.fromkeys(PARTS, "") if as_default else given
    if not changes:
        raise click.UsageError("say what to change; see --help")
    own = _read(context, slug)
    texts = {other: texts_of(own.settings, key, other) for other in LANGUAGES}
    texts[code] = {part: text for part, text in (texts[code] | changes).items() if text}
    with _worker(context) as pool:
        warnings = _run(pool, try_texts, key, code, own.brand, texts, seconds=context.config.workers.render_seconds)
    context.write(change_texts, own.tenant.id, key, code, changes)
    if not as_json:
        for one in warnings:
            if one.where in changes:
                click.echo(f"note, {one.where}: {one.text}", err=True)
    names = ", ".join(part for part in PARTS if part in changes)
    text = f"{key} ({code}) follows the product again" if as_default else f"changed {names} of {key} ({code})"
    told(as_json, text, template=key, language=code, changed=sorted(changes), texts=texts[code], warnings=warnings)


@click.command()
@tenant_option
@click.argument("key")
@language_option
@click.option("--format", "form", type=click.Choice(FORMATS), default="html", show_default=True, help="What to write.")
@click.option("-o", "--output", default="-", help='The file to write; "-" is standard output.')
@click.option("--document", "name", default="", help="A file in JSON, or TYPE/ID of a document; else a sample.")
@click.option("--dark", is_flag=True, help="png: in dark mode.")
@click.option("--width", type=click.IntRange(240, 2000), default=700, show_default=True, help="png: in pixels.")
@pass_context
def preview(
    context: Context, slug: str, key: str, code: str, form: str, output: str, name: str, dark: bool, width: int
) -> None:
    """Write the mail of template KEY as it would go, to look at; nothing is sent, and no server need run."""
    _need(key)
    own = _read(context, slug)
    code = code or own.tenant.language
    document = _document(context, own.tenant, name) if name else None
    with_pdf = form == "pdf" or choice_of(key, own.settings).attach_pdf
    draw = form in ("pdf", "eml") or (form == "png" and not find_chromium())
    today = utc_now().astimezone(ZoneInfo(own.tenant.timezone)).date()
    texts = texts_of(own.settings, key, code)
    with _worker(context) as pool:
        rendered = _run(
            pool, preview_mail, key, code, own.brand, document, today, with_pdf, texts, draw,
            seconds=context.config.workers.render_seconds,
        )  # fmt: skip
    data = _written(context, rendered, own.brand, form, dark, width)
    with click.open_file(output, "wb") as file:
        file.write(data)
    if output != "-":
        click.echo(f"wrote {output}: {rendered.subject}")


def _written(context: Context, rendered: Rendered, brand: Brand, form: str, dark: bool, width: int) -> bytes:
    if form == "html":
        return page_of(rendered).encode()
    if form == "text":
        return f"{rendered.subject}\n\n{rendered.text}".encode()
    pdf = next((one.data for one in rendered.attachments if one.media_type == "application/pdf"), b"")
    if form == "pdf":
        return pdf
    if form == "png" and not find_chromium() and pdf:
        click.echo("there is no Chromium (apt-get install chromium): this is the first page of the PDF", err=True)
        return first_page(pdf)
    if form == "png":
        return picture(page_of(rendered), width=width, dark=dark)
    author = parse_address(context.config.shared_address)
    return message_of(rendered, brand, author, Mailbox("", author), utc_now())


@click.command()
@click.option("-t", "--tenant", "slug", default="", help="The tenant whose texts and colours are looked at; else ours.")
@click.argument("key", required=False, default="")
@json_option
@pass_context
def lint(context: Context, slug: str, key: str, as_json: bool) -> None:
    """Look for what is wrong with template KEY, or with all: texts, links, contrast, size, what mail clients lack.

    Exit status 1 when there is an error; a warning breaks no mail by itself.
    """
    if key:
        _need(key)
    own = _read(context, slug) if slug else None
    rows = []
    with _worker(context if slug else None) as pool:
        for one in [key] if key else templates():
            texts = {code: texts_of(own.settings, one, code) for code in LANGUAGES} if own else {}
            brand = own.brand if own else None
            for code, found in _run(pool, lint_template, one, brand, texts, seconds=LINT_SECONDS):
                rows.append(
                    {"template": one, "language": code, "level": found.level, "rule": found.rule, "where": found.where,
                     "text": found.text}
                )  # fmt: skip
    show_rows(rows, as_json, empty="nothing is wrong")
    if any(row["level"] == "error" for row in rows):
        sys.exit(1)


def _need(key: str) -> None:
    if key not in templates():
        raise click.ClickException(f"there is no template {key!r}; there are {', '.join(templates())}")


def _read(context: Context, slug: str) -> _Own:
    tenant = context.tenant(slug)

    def read(tx: Transaction) -> _Own:
        return _Own(tenant, list_settings(tx, tenant.id), tenant_brand(tenant, get_logo(tx, tenant.id)))

    return context.read(read)


def _document(context: Context, tenant: Tenant, name: str) -> Document:
    """A document by its file, or by TYPE/ID of the tenant."""
    if name == "-" or Path(name).is_file():
        with click.open_file(name, "rb") as file:
            return read_document(file.read(25 * 10**6))
    type, _, document_id = name.partition("/")
    stored = context.read(get_document, tenant.id, type, document_id)
    if stored is None:
        raise click.ClickException(f"there is no file and no document {name!r}; see `gateway document list`")
    if stored.body.startswith(COMPOSED):
        raise click.ClickException(f"{name} came as a composed mail; of its document only the number is known")
    return read_document(stored.body)


@contextlib.contextmanager
def _worker(context: Context | None) -> Iterator[WorkerPool]:
    """One confined process, for what tenants wrote."""
    memory = context.config.workers.memory if context else 512 * 2**20
    pool = WorkerPool(1, memory, preload=("gateway.outbound.previews",))
    try:
        yield pool
    finally:
        pool.close()


def _run(pool: WorkerPool, function: Any, *args: object, seconds: float) -> Any:
    try:
        return pool.run_sync(function, *args, seconds=seconds)
    except WorkerFailed as failure:
        raise click.ClickException(
            f"it could not be done within its limits ({failure}); make the text simpler"
        ) from None

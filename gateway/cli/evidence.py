"""`gateway evidence`: everything that proves how a document or a conversation was mailed, as one ZIP."""

import asyncio
import hashlib
from functools import partial
from pathlib import Path

import click

from gateway.cli.common import Context, json_option, pass_context, tenant_option, told, utc_now, working
from gateway.inbox.evidence import Evidence, read_evidence
from gateway.inbox.evidence_file import Packed, file_name, pack
from gateway.outbound.printing import print_evidence
from gateway.web.evidence_words import teller
from gateway.wire.workers import WorkerFailed, WorkerPool


@click.command("evidence")
@tenant_option
@click.argument("name", metavar="DOCUMENT|THREAD")
@click.option("-o", "--output", default="", type=click.Path(), help="The file to write, or the folder to write it to.")
@click.option("--language", type=click.Choice(("ro", "ru", "en")), help="Of the timeline; the tenant's when left out.")
@json_option
@pass_context
def evidence(context: Context, slug: str, name: str, output: str, language: str | None, as_json: bool) -> None:
    """Write a ZIP with all that proves how DOCUMENT (type/id), or THREAD, was mailed.

    It holds the mails as they left and came, the PDFs, every attempt, a timeline as PDF, and a manifest with the
    SHA-256 of each file.
    """
    tenant = context.tenant(slug)
    found = context.read(read_evidence, utc_now(), tenant, name, "admin")
    path = Path(output or ".")
    path = path / file_name(found) if path.is_dir() else path
    with working("Packing the evidence"):
        packed = _write(context, found, path, language or tenant.language)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    missing = f"; {len(packed.left_out)} files did not fit" if packed.left_out else ""
    told(
        as_json, f"wrote {path} ({len(packed.entries)} files, {size} bytes{missing})\nSHA-256 {sha256}",
        thread=found.view.thread.id, file=str(path), size=size, sha256=sha256,
        files=[one.name for one in packed.entries], left_out=[one.name for one in packed.left_out],
    )  # fmt: skip


def _write(context: Context, found: Evidence, path: Path, language: str) -> Packed:
    """Write beside the file and rename, so that a half of one never stands there."""
    limits = context.config.workers
    pool = WorkerPool(1, limits.memory)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            draw = partial(pool.run, print_evidence, seconds=limits.render_seconds)
            packed = asyncio.run(pack(context.database, found, file, teller(found.tenant, language), draw))
        part.replace(path)
    except WorkerFailed as failure:
        raise click.ClickException(f"the timeline could not be drawn: {failure}") from None
    finally:
        pool.close()
        part.unlink(missing_ok=True)
    return packed

"""`gateway validate`: what the gateway makes of documents before they are sent. Needs no configuration or database.

Files may be anybody's: each is read in a worker process, in at most 30 seconds and 512 MiB, and what takes more is an
error of that file. Promises a line (`--json`) or a few for each file, in their order, each as soon as it is known.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click

from gateway.cli.common import json_option
from gateway.outbound.documents import Document, explain, read_document
from gateway.outbound.documents.sums import Complaint
from gateway.outbound.einvoice import explain_einvoice, recognise
from gateway.wire.workers import WorkerFailed, WorkerPool

MAX_BYTES = 25 * 2**20  # as the largest mail
SECONDS = 30.0
MEMORY = 512 * 2**20
LOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one file: a document, or what is wrong with it."""

    path: str
    document: Document | None
    errors: tuple[Complaint, ...]
    lost: tuple[str, ...] = ()


@click.command()
@json_option
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
def validate(as_json: bool, files: tuple[str, ...]) -> None:
    """Check FILES: documents in JSON, e-invoices in UBL or CII, and PDFs that embed one; "-" reads standard input.

    Says for each what is wrong, and which parts of an e-invoice a document has no place for.
    """
    wrong = False
    with _worker() as judge:
        for name in files:
            verdict = _judge(name, judge)
            wrong |= verdict.document is None
            click.echo(_to_json(verdict) if as_json else _to_text(verdict))
    if wrong:
        sys.exit(1)


@contextlib.contextmanager
def _worker() -> Iterator[Callable[[str, bytes], Verdict]]:
    """Judges data in a process with limits, while the context lasts."""
    pool = WorkerPool(1, MEMORY, preload=(judge_data.__module__,))

    def judge(name: str, data: bytes) -> Verdict:
        try:
            return pool.run_sync(judge_data, name, data, seconds=SECONDS)
        except WorkerFailed as failure:
            words = {
                "timeout": f"takes more than {SECONDS:g} seconds to read",
                "memory": "takes too much memory to read",
            }
            return Verdict(
                name, None, (("", f"the file {words.get(failure.kind, 'cannot be read: its reader died')}"),)
            )

    try:
        yield judge
    finally:
        pool.close()


def _judge(name: str, judge: Callable[[str, bytes], Verdict]) -> Verdict:
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        with click.open_file(name, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return Verdict(shown, None, (("", f"cannot be read: {error.strerror or type(error).__name__}"),))
    if len(data) > MAX_BYTES:
        return Verdict(shown, None, (("", f"the file has more than {MAX_BYTES} bytes"),))
    return judge(shown, data)


def judge_data(name: str, data: bytes) -> Verdict:
    """What becomes of the content of one file. Runs in a worker process."""
    kind = recognise(data)
    if kind == "json":
        errors = tuple(explain(data))
        return Verdict(name, None if errors else read_document(data), errors)
    if kind:
        reading = explain_einvoice(data)
        return Verdict(name, reading.document, reading.errors, reading.lost)
    return Verdict(name, None, (("", "this is no document: neither JSON, nor XML (UBL, CII), nor a PDF"),))


def _to_json(verdict: Verdict) -> str:
    """One line for a program."""
    values: dict[str, object] = {"path": verdict.path, "ok": verdict.document is not None}
    if verdict.document is not None:
        values["document"] = json.loads(verdict.document.canonical())
    else:
        values["errors"] = [{"field": field, "message": message} for field, message in verdict.errors]
    return json.dumps(values | {"lost": list(verdict.lost)}, ensure_ascii=False)


def _to_text(verdict: Verdict) -> str:
    """A few lines for a person."""
    document = verdict.document
    if document is None:
        lines = [f"{verdict.path}: not a document that can be sent"]
        lines += [f"  {field} {message}" if field else f"  {message}" for field, message in verdict.errors]
    else:
        due = f", due {document.due_date}" if document.due_date else ""
        amount = f", {document.totals.total} {document.currency}" if document.totals else ""
        name = document.type.replace("_", " ")
        lines = [f"{verdict.path}: {name} {document.number} to {document.customer.name}{amount}{due}"]
    if verdict.lost:
        lines.append(f"  not carried over ({len(verdict.lost)}; --json lists all):")
        lines += [f"    {path}" for path in verdict.lost[:LOST_SHOWN]]
    return "\n".join(lines)

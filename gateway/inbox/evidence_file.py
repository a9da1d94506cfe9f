"""The ZIP of an evidence: mails as they left and came, PDFs, every attempt, the timeline, and a manifest of it all.

`pack` is called by the pages, the CLI and the HTTP API with an open file on disk: mails are read and written one after
the other, on a thread, so a ZIP of any size needs the memory of its largest mail. What does not fit into the sum is
left out and named. Names are ours and ASCII. The manifest says of each file where its bytes come from.
"""

import asyncio
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import IO, Any
from zoneinfo import ZoneInfo

from gateway import __version__
from gateway.inbox.evidence import Evidence
from gateway.inbox.parts import leaves
from gateway.inbox.spreadsheet import write_rows
from gateway.inbox.views import AttemptView, DeliveryView, MessageView
from gateway.mail.message import decode, read_head
from gateway.outbound.attachments import ascii_filename
from gateway.store.database import Database
from gateway.store.documents import get_pdf
from gateway.store.messages import get_content

MOST_BYTES = 512 * 2**20  # of all files together, before they are compressed
MANIFEST, README, TIMELINE = "manifest.json", "README.txt", "timeline.pdf"
ATTEMPTS, EVENTS = "attempts.csv", "events.json"
# Where a file's bytes come from.
AS_SENT, AS_RECEIVED, TAKEN_OUT, KEPT, MADE = "as sent", "as received", "from the mail", "kept", "made for this file"
REPORTS = ("bounce", "delay", "success")
_ATTEMPT_COLUMNS = (
    "message", "number", "recipient", "attempt", "time_utc", "time_local", "milliseconds", "server", "tls",
    "tls_policy", "stage", "outcome", "code", "status", "words", "no_answer_after_final_dot",
)  # fmt: skip
_SIGNATURE = re.compile(r"\b([ds])=([^;\s]+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in it. `what`: sent, report, reply, pdf, attempts, events, timeline, readme; `message_id`: its mail."""

    name: str
    what: str
    origin: str
    size: int
    sha256: str
    message_id: str = ""
    at: datetime | None = None
    filename: str = ""  # as the mail calls it
    note: str = ""
    signed: tuple[str, ...] = ()  # domain/selector of each DKIM signature


@dataclass(frozen=True, slots=True)
class Packed:
    """What was written: the files in order, and what was left out because of the sum."""

    entries: tuple[Entry, ...]
    left_out: tuple[Entry, ...]


# What is said in a language, from the evidence and the files so far: (the README's text, the timeline's page).
Tell = Callable[[Evidence, Packed], tuple[str, str]]
Draw = Callable[[str], Awaitable[bytes]]  # a page as PDF


async def pack(database: Database, found: Evidence, file: IO[bytes], tell: Tell, draw: Draw) -> Packed:
    """Write the ZIP into an open file. Raises what `draw` raises, and OSError for a disk that is full."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        packing = _Packing(archive, database, found)
        await asyncio.to_thread(packing.take_mails)
        text, page = await asyncio.to_thread(tell, found, packing.packed())
        pdf = await draw(page)
        await asyncio.to_thread(packing.end, text, pdf)
    return packing.packed()


class _Packing:
    """One ZIP in the making."""

    def __init__(self, archive: zipfile.ZipFile, database: Database, found: Evidence) -> None:
        self._archive, self._database, self._found = archive, database, found
        self._entries: list[Entry] = []
        self._left_out: list[Entry] = []
        self._sum = 0

    def packed(self) -> Packed:
        return Packed(tuple(self._entries), tuple(self._left_out))

    def take_mails(self) -> None:
        """Mail that left with its PDFs, mail that came, and PDFs of the document that no mail has."""
        tenant_id = self._found.tenant.id
        for number, made in enumerate(self._found.sent(), 1):
            raw = self._database.read_now(get_content, tenant_id, made.message.id)
            if raw:
                self._take_sent(number, made, raw)
        counts = dict.fromkeys(("report", "reply"), 0)
        for made in self._found.came():
            raw = self._database.read_now(get_content, tenant_id, made.message.id)
            what = "report" if made.message.kind in REPORTS else "reply"
            counts[what] += 1
            name = f"{'reports' if what == 'report' else 'replies'}/{_numbered(counts[what], made)}.eml"
            self._put(Entry(name, what, AS_RECEIVED, 0, "", made.message.id, made.message.created_at), raw)
        about = self._found.view.thread
        for kept in self._found.pdfs:
            key = (about.document_type, about.document_id, kept.key)
            data = self._database.read_now(get_pdf, tenant_id, key)
            if data is not None:
                self._put_pdf(Entry("", "pdf", KEPT, 0, "", "", kept.created_at, kept.filename), data[1])

    def _take_sent(self, number: int, made: MessageView, raw: bytes) -> None:
        message = made.message
        fields = read_head(raw).texts("dkim-signature")
        signed = tuple("{d}/{s}".format_map({"d": "?", "s": "?"} | dict(_SIGNATURE.findall(one))) for one in fields)
        entry = Entry(
            f"sent/{_numbered(number, made)}.eml", "sent", AS_SENT, 0, "", message.id, message.created_at,
            note=self._sent_note(made), signed=signed,
        )  # fmt: skip
        if not self._put(entry, raw):
            return
        for part in leaves(raw):
            if part.content_type == "application/pdf":
                one = Entry("", "pdf", TAKEN_OUT, 0, "", message.id, message.created_at, part.filename)
                self._put_pdf(one, decode(raw, part))

    def _sent_note(self, made: MessageView) -> str:
        """What must be said beside "as sent"."""
        again = self._found.rerouted_at(made.message.id)
        if again is not None:
            return (
                f"framed and signed anew at {_utc(again)}, to leave from the shared address; attempts before that "
                "were made with an earlier form, which is not kept"
            )
        tried = any(one.attempts or one.accepted_at for one in made.deliveries)
        return "" if tried else "no attempt to send it was made yet; these are the bytes that wait, or waited"

    def _put_pdf(self, entry: Entry, data: bytes) -> None:
        """Keep a PDF once, whichever mails carry it."""
        sha256 = hashlib.sha256(data).hexdigest()
        for at, known in enumerate(self._entries):
            if known.what == "pdf" and known.sha256 == sha256:
                if entry.message_id:
                    note = f"{known.note}, also in {entry.message_id}".lstrip(", ")
                    self._entries[at] = replace(known, note=note)
                return
        number = sum(1 for one in self._entries if one.what == "pdf") + 1
        stem = re.sub(r"\.pdf\Z", "", entry.filename, flags=re.I)[:80] or "document"
        self._put(replace(entry, name=f"pdf/{number:03}-{ascii_filename(stem, 'pdf')}"), data)

    def _put(self, entry: Entry, data: bytes) -> bool:
        """Write a file, or note that it is left out."""
        entry = replace(entry, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        if self._sum + len(data) > MOST_BYTES:
            self._left_out.append(entry)
            return False
        self._sum += len(data)
        self._write(entry.name, data, entry.at)
        self._entries.append(entry)
        return True

    def _write(self, name: str, data: bytes, at: datetime | None) -> None:
        moment = (at or self._found.at).astimezone(UTC)
        info = zipfile.ZipInfo(name, (max(moment.year, 1980), *moment.timetuple()[1:6]))  # a ZIP begins in 1980
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        self._archive.writestr(info, data)

    def end(self, readme: str, timeline: bytes) -> None:
        """What is made of the rest: attempts, events, the timeline, the README; the manifest of all, last."""
        made = (
            (ATTEMPTS, "attempts", attempts_csv(self._found).encode("utf-8-sig")),
            (EVENTS, "events", _json([asdict(line) for line in self._found.lines])),
            (TIMELINE, "timeline", timeline),
            (README, "readme", readme.replace("\n", "\r\n").encode("utf-8-sig")),
        )
        for name, what, data in made:
            entry = Entry(name, what, MADE, len(data), hashlib.sha256(data).hexdigest(), at=self._found.at)
            self._write(name, data, None)
            self._entries.append(entry)
        self._write(MANIFEST, _json(manifest(self._found, self.packed())), None)


def file_name(found: Evidence) -> str:
    """What the ZIP is called: `evidence-2026-0117-20261124.zip`, by the tenant's day."""
    day = found.at.astimezone(ZoneInfo(found.tenant.timezone or "UTC"))
    return f"evidence-{ascii_filename(found.name)[:60]}-{day:%Y%m%d}.zip"


def _numbered(number: int, made: MessageView) -> str:
    return f"{number:03}-{made.message.created_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{made.message.id}"


# -- what is made


def attempts_csv(found: Evidence) -> str:
    """Every attempt, a line each, safe for spreadsheets."""
    text = io.StringIO()
    write_rows(text, [_ATTEMPT_COLUMNS])
    write_rows(text, _attempt_rows(found))
    return text.getvalue()


def _attempt_rows(found: Evidence) -> Iterator[Sequence[str]]:
    zone = ZoneInfo(found.tenant.timezone or "UTC")
    for delivery, one in attempts_of(found):
        yield (
            delivery.message_id, str(delivery.number), delivery.recipient, str(one.number), _utc(one.at),
            one.at.astimezone(zone).isoformat(timespec="seconds"), str(one.milliseconds), one.host, one.tls or "none",
            one.policy, one.stage, _OUTCOMES.get(one.action, one.action), str(one.code or ""), one.status, one.text,
            "yes" if one.unclear else "",
        )  # fmt: skip


_OUTCOMES = {"relayed": "accepted by the server", "failed": "refused for good", "delayed": "not taken yet"}


def attempts_of(found: Evidence) -> list[tuple[DeliveryView, AttemptView]]:
    """Every attempt with its delivery, in the order of time."""
    every = [(d, one) for made in found.sent() for d in made.deliveries for one in d.attempts]
    return sorted(every, key=lambda pair: pair[1].at)


def manifest(found: Evidence, packed: Packed) -> dict[str, Any]:
    """What the ZIP holds, as plain data: the files, where their bytes come from, and how far each copy came."""
    thread, document = found.view.thread, found.view.document
    return {
        "format": "gateway-evidence/1",
        "made_at": found.at,
        "made_by": found.by,
        "gateway": __version__,
        "tenant": {"slug": found.tenant.slug, "company": found.tenant.company, "timezone": found.tenant.timezone},
        "thread": {"id": thread.id, "subject": found.view.subject(), "customer": found.view.customer()},
        "document": asdict(document) if document else None,
        "complete": not (packed.left_out or found.cut),
        "origins": _ORIGINS,
        "files": [_told(one) for one in packed.entries],
        "left_out": [_told(one) for one in packed.left_out],
        "deliveries": [_delivery(one) for made in found.sent() for one in made.deliveries],
        "not_written_yet": [
            made.message.id for made in found.sent() if made.message.content_state == "pending"
        ],
    }  # fmt: skip


_ORIGINS = {
    AS_SENT: "The bytes that the gateway signed and kept, and gave to every server that took them, the same for each "
    "recipient. The envelope and SMTP's dot-stuffing are not part of them.",
    AS_RECEIVED: "The bytes as a server, or a mailbox, handed them over; nothing was added or taken away.",
    TAKEN_OUT: "The attachment of the mail that is named, decoded from its transfer encoding.",
    KEPT: "Drawn and kept by the gateway for a state of the document; no mail of this thread carries it.",
    MADE: "Made when this file was made, from what the gateway keeps.",
}


def _told(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in asdict(entry).items() if value not in ("", None, ())}


def _delivery(one: DeliveryView) -> dict[str, Any]:
    names = ("message_id", "number", "recipient", "progress", "reason", "words", "at", "accepted_at", "accepted_by",
             "accepted_words")  # fmt: skip
    return {name: getattr(one, name) for name in names}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2, default=_plain).encode()


def _plain(value: Any) -> Any:
    return _utc(value) if isinstance(value, datetime) else dict(value) if hasattr(value, "keys") else str(value)


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"

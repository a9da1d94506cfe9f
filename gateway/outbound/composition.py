"""A document becomes a mail when it is due: render, frame, sign, keep; then it is bytes for ever.

Called by delivery for a message that has no bytes yet. Rendering runs in a worker process with limits; the first
recipient that is due causes it, the others wait for the same result. When it fails, the message is held and its
thread opens with the reason: it is neither dropped nor sent bare. The PDF is kept: the download is the same bytes (S5).
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from gateway.mail.address import parse_address
from gateway.mail.header import date as date_field
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.reply import Refused
from gateway.outbound.automation import COMPOSED
from gateway.outbound.branding import frame_fields
from gateway.outbound.desk import Desk, Desks
from gateway.outbound.documents import Document, read_document
from gateway.outbound.documents.model import File
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.queue import Booked, find_deliveries, hold, unbook, with_content
from gateway.outbound.rendering import Brand, Rendered, render_mail
from gateway.outbound.rendering import compose as compose_mail
from gateway.outbound.texts import language_of
from gateway.outbound.triggers import choice_of
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.documents import (
    DOCUMENT_TYPES,
    find_documents,
    get_document,
    get_pdf,
    mark_sent,
    put_pdf,
)
from gateway.store.events import add_event
from gateway.store.messages import OWN_SERVER, Message, get_content, get_message, put_content
from gateway.store.threads import name_thread, open_thread
from gateway.wire.workers import WorkerFailed

log = structlog.get_logger()

RENDER_FAILED = "render_failed"
BUNDLED = ("receipt", "refund")  # their PDF holds the paid invoices too
CRASHES = 3  # tries of a document whose worker dies under it, before it is held
Key = tuple[str, str]


class _Lost(Exception):
    """The message or its document is not there any more."""


@dataclass(frozen=True, slots=True)
class Composition:
    """What composing needs of the house. `run` runs a function in a worker process."""

    database: Database
    desks: Desks
    letterhead: Letterhead
    run: Callable[..., Awaitable[Any]]
    clock: Callable[[], datetime]
    under_way: dict[Key, asyncio.Task[None]] = field(default_factory=dict)


async def compose(composition: Composition, made: Booked) -> Booked | None:
    """The delivery with its message's bytes, rendered first when need be; None when the message is held instead."""
    ready = await composition.database.read(_load, made)
    if ready is None:
        await _render_once(composition, made)
        ready = await composition.database.read(_load, made)
    return ready


def _load(tx: Transaction, made: Booked) -> Booked | None:
    raw = get_content(tx, made.tenant_id, made.message_id)
    message = get_message(tx, made.tenant_id, made.message_id) if raw else None
    return with_content(made, raw, message.flags) if message else None


async def _render_once(composition: Composition, made: Booked) -> None:
    key = (made.tenant_id, made.message_id)
    task = composition.under_way.get(key)
    if task is None:
        task = composition.under_way[key] = asyncio.ensure_future(_render(composition, made))
        task.add_done_callback(lambda _: composition.under_way.pop(key, None))
    await asyncio.shield(task)


async def _render(composition: Composition, made: Booked) -> None:
    """Render and keep; a failure holds the message and opens its thread."""
    try:
        message, document, related = await composition.database.read(_read, made)
        desk = await composition.desks.get(made.tenant_id, fresh=True)
        if desk is None:
            raise _Lost
        now = composition.clock()
        brand = brand_of(desk)
        drawn = await composition.database.read(_with_pdf, made.tenant_id, document, brand, related)
        rendered = await composition.run(
            render_mail,
            message.template,
            drawn,
            brand,
            day_of(desk, now),
            bool(message.detail.get("attach_pdf", choice_of(message.template, desk.settings).attach_pdf)),
            str(message.detail.get("personal", "")),
            related,
        )
        raw = await asyncio.to_thread(_finish, composition, desk, message, rendered, now)
        await composition.database.write(
            _keep, now, replace(message, flags=message.flags | OWN_SERVER * desk.own_server), document,
            drawn_from(document, brand, rendered.language, related), rendered, raw,
        )  # fmt: skip
    except (WorkerFailed, Refused, _Lost) as error:
        if _may_pass(error) and made.attempts < CRASHES:
            raise  # its delivery is tried again later
        why = str(error) or type(error).__name__
        log.warning("composition.failed", tenant=made.tenant_id, message=made.message_id, why=why[:200])
        await composition.database.write(_hold, composition.clock(), made, why)


def _may_pass(error: Exception) -> bool:
    """Whether the worker's death may have had nothing to do with the document: memory ran out, we are stopping."""
    return isinstance(error, WorkerFailed) and error.kind == "crashed"


def _read(tx: Transaction, made: Booked) -> tuple[Message, Document, tuple[Document, ...]]:
    message = get_message(tx, made.tenant_id, made.message_id)
    if message is None:
        raise _Lost
    stored = get_document(tx, made.tenant_id, message.document_type, message.document_id)
    if stored is None:
        raise _Lost
    document = read_document(stored.body)
    return message, document, _related(tx, made.tenant_id, document)


def _related(tx: Transaction, tenant_id: str, document: Document) -> tuple[Document, ...]:
    """The documents that a receipt or refund is about, as far as they were handed over: they go with it (S35)."""
    if document.type not in BUNDLED:
        return ()
    found = []
    for one in document.related:
        type = one.type if one.type in DOCUMENT_TYPES else "invoice"  # else it is what people call an invoice
        stored = get_document(tx, tenant_id, type, one.id) if one.id else None
        if stored is None:
            stored = next((s for s in find_documents(tx, tenant_id, one.number) if s.type == type), None)
        if stored is not None and not stored.body.startswith(COMPOSED):
            found.append(read_document(stored.body))
    return tuple(found)


def brand_of(desk: Desk) -> Brand:
    """What a rendered mail shows of the company."""
    tenant = desk.tenant
    known = {name: str(value) for name, value in tenant.brand.items()}
    return Brand(
        company=tenant.company,
        contact_email=tenant.contact_email,
        phone=known.get("phone", ""),
        address=known.get("address", ""),
        idno=known.get("idno", ""),
        vat=known.get("vat", ""),
        colour=known.get("colour", ""),
        language=tenant.language,
    )


def _finish(composition: Composition, desk: Desk, message: Message, rendered: Rendered, now: datetime) -> bytes:
    """The whole signed message. It names the recipients that the door said it may name; others stay unnamed."""
    frame = composition.letterhead.frame(
        desk.tenant,
        desk.author,
        message.id,
        message.thread_id,
        now,
        template=message.template,
        language=rendered.language,
    )
    to, cc = ([Mailbox(name, parse_address(a)) for name, a in message.detail.get(kind, [])] for kind in ("to", "cc"))
    raw = compose_mail(rendered, to, cc, [*frame_fields(frame), date_field(now)])
    return desk.signer.sign(raw, now) if desk.signer else raw


def _keep(
    tx: Transaction,
    now: datetime,
    message: Message,
    document: Document,
    digest: str,
    rendered: Rendered,
    raw: bytes,
) -> None:
    now_ms = to_ms(now)
    kept = put_content(
        tx, message.tenant_id, message.id, raw,
        subject=rendered.subject, body_text=rendered.text, language=rendered.language, flags=message.flags,
        detail=json.dumps(dict(message.detail) | {"html": True, "attachments": _listed(rendered)}, ensure_ascii=False),
    )  # fmt: skip
    if not kept:  # another node was faster; its bytes count
        return
    mark_sent(tx, now_ms, message.tenant_id, document.type, document.id)  # an automatic mail is sent when it is due
    name_thread(tx, message.tenant_id, message.thread_id, rendered.subject)
    pdf = next((one for one in rendered.attachments if one.media_type == "application/pdf"), None)
    if pdf is not None:
        key = (document.type, document.id, digest)
        put_pdf(tx, now_ms, message.tenant_id, key, pdf.filename, pdf.data)
    data = {"template": message.template, "language": rendered.language, "size": len(raw)}
    add_event(
        tx, now_ms, message.tenant_id, "message.rendered", thread_id=message.thread_id, message_id=message.id, data=data
    )


def _listed(rendered: Rendered) -> list[dict[str, Any]]:
    """The attachments as the inbox lists them."""
    return [
        {
            "filename": one.filename,
            "content_type": one.media_type,
            "size": len(one.data),
            "sha256": hashlib.sha256(one.data).hexdigest(),
        }
        for one in rendered.attachments
    ]


def _with_pdf(
    tx: Transaction, tenant_id: str, document: Document, brand: Brand, related: tuple[Document, ...]
) -> Document:
    """The document with the PDF that was drawn of just this state before, so that it is drawn once (S5)."""
    key = (document.type, document.id, drawn_from(document, brand, language_of(document, brand.language), related))
    found = get_pdf(tx, tenant_id, key)
    if found is None or related or any(file.role == "pdf" for file in document.files):
        return document
    content = base64.b64encode(found[1]).decode("ascii")
    known = File(filename=found[0], content_type="application/pdf", role="pdf", content=content)
    return document.model_copy(update={"files": (known, *document.files)})


def drawn_from(document: Document, brand: Brand, language: str, related: tuple[Document, ...] = ()) -> str:
    """The hash of all that a PDF shows: the same hash, the same bytes."""
    facts = [getattr(brand, name) for name in Brand.__dataclass_fields__ if name != "logo"]
    seen = [json.dumps([language, *facts], ensure_ascii=False).encode(), brand.logo or b"", document.canonical()]
    return hashlib.sha256(b"\n".join([*seen, *(one.canonical() for one in related)])).hexdigest()


def _hold(tx: Transaction, now: datetime, made: Booked, why: str) -> None:
    now_ms = to_ms(now)
    found = find_deliveries(tx, made.tenant_id, made.message_id)
    unbook(tx, now_ms, found)  # nobody was dialled
    for one in found:
        hold(tx, now_ms, one.tenant_id, (one.message_id, one.number), f"it could not be rendered: {why}")
    open_thread(tx, now_ms, made.tenant_id, made.thread_id, RENDER_FAILED, why=why[:200])


def day_of(desk: Desk, now: datetime) -> date:
    """Today, where the tenant is."""
    return now.astimezone(ZoneInfo(desk.tenant.timezone)).date()

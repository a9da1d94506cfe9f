"""A document becomes a mail when it is due: render, frame, sign, keep; then it is bytes for ever.

Called by delivery for a message that has no bytes yet. Rendering runs in a worker process with limits; the first
recipient that is due causes it, the others wait for the same result. When it fails, the message is held and its
thread opens with the reason: it is neither dropped nor sent bare. The PDF is kept: the download is the same bytes (S5).
"""

import asyncio
import contextlib
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
from gateway.outbound.attachments import Attachment, other_files
from gateway.outbound.branding import frame_fields
from gateway.outbound.customers import name_customer
from gateway.outbound.desk import Desk, Desks, Stale
from gateway.outbound.filling import texts_of
from gateway.outbound.ingredients import Ingredients, read_ingredients, without_files
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.oversize import Linked, left_behind, link
from gateway.outbound.queue import Booked, find_deliveries, hold, unbook, with_content
from gateway.outbound.rendering import Rendered, render_mail
from gateway.outbound.rendering import compose as compose_mail
from gateway.outbound.texts import language_of
from gateway.outbound.triggers import choice_of
from gateway.store.database import Database, Transaction, to_ms
from gateway.store.documents import mark_sent, put_pdf
from gateway.store.events import add_event
from gateway.store.messages import OWN_SERVER, Message, get_content, get_message, put_content
from gateway.store.preferences import is_optional
from gateway.store.shared_files import put_shared_file
from gateway.store.threads import name_thread, open_thread
from gateway.wire.workers import WorkerFailed

log = structlog.get_logger()

RENDER_FAILED = "render_failed"
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
    max_message: int = 20 * 2**20  # bytes of a mail: files that would make it larger become links
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
        desk, work = await _gather(composition, made)
        now = composition.clock()
        rendered = await _draw(composition, desk, work, now)
        pdf = rendered.attachments[0] if _attaches(desk, work.message) else None
        large = left_behind(rendered, composition.max_message)
        linked = link(large, composition.letterhead.public_url, composition.max_message)
        if linked:
            rendered = await _draw(composition, desk, work, now, rendered, linked)
        raw = await asyncio.to_thread(_finish, composition, desk, work.message, rendered, now)
        message = replace(work.message, flags=work.message.flags | OWN_SERVER * desk.own_server)
        work = replace(work, message=message)
        await composition.database.write(_keep, now, work, rendered, raw, pdf, linked)
    except (WorkerFailed, Refused, _Lost) as error:
        if _may_pass(error) and made.attempts < CRASHES:
            raise  # its delivery is tried again later
        why = str(error) or type(error).__name__
        log.warning("composition.failed", tenant=made.tenant_id, message=made.message_id, why=why[:200])
        await composition.database.write(_hold, composition.clock(), made, why)


async def _gather(composition: Composition, made: Booked) -> tuple[Desk, Ingredients]:
    """The tenant's desk, prepared again when its settings have changed, and what the message is made of."""
    for fresh in (False, True, True):
        desk = await composition.desks.get(made.tenant_id, fresh=fresh)
        with contextlib.suppress(Stale):
            work = await composition.database.read(read_ingredients, made, desk) if desk else None
            if desk is None or work is None:
                raise _Lost
            return desk, work
    raise Refused(451, "4.3.2", "the tenant's settings are being changed; release the message in a moment")


async def _draw(
    composition: Composition,
    desk: Desk,
    work: Ingredients,
    now: datetime,
    drawn: Rendered | None = None,
    linked: tuple[Linked, ...] = (),
) -> Rendered:
    """The mail with its files. `drawn` has them all when some are to stay behind, `linked`: none is drawn again.

    A worker draws a PDF only when there is none of this state of the document; what is at hand does not travel to it.
    """
    message, document = work.message, work.document
    attach = _attaches(desk, message)
    at_hand = drawn is not None or work.pdf is not None or not attach
    behind = {id(one.file): (one.file.filename, one.url, len(one.file.data)) for one in linked}
    pdf = behind.get(id(drawn.attachments[0])) if drawn is not None and attach else None
    rendered: Rendered = await composition.run(
        render_mail,
        message.template,
        without_files(document) if at_hand else document,
        work.brand,
        day_of(desk, now),
        attach,
        str(message.detail.get("personal", "")),
        tuple(without_files(one) for one in work.related),
        texts_of(desk.settings, message.template, language_of(document, work.brand.language)),
        _preferences(composition, desk, message),
        pdf[1:] if pdf else None,
        str(message.detail.get("button", "")),
        tuple(facts for facts in behind.values() if facts is not pdf),
        not at_hand,
    )
    if drawn is not None:
        return replace(rendered, attachments=tuple(one for one in drawn.attachments if id(one) not in behind))
    if not at_hand:
        return rendered
    others = await asyncio.to_thread(other_files, document)
    return replace(rendered, attachments=(work.pdf, *others) if work.pdf and attach else others)


def _attaches(desk: Desk, message: Message) -> bool:
    """Whether the PDF goes along: as this message was asked for, else as the tenant has its template."""
    return bool(message.detail.get("attach_pdf", choice_of(message.template, desk.settings).attach_pdf))


def _may_pass(error: Exception) -> bool:
    """Whether the worker's death may have had nothing to do with the document: memory ran out, we are stopping."""
    return isinstance(error, WorkerFailed) and error.kind == "crashed"


def _preferences(composition: Composition, desk: Desk, message: Message) -> str:
    """The link by which a mail's customer turns such mail off; "" for mail that it needs."""
    if not is_optional(message.template, message.detail):
        return ""
    return composition.letterhead.preferences_url(desk.tenant, message.thread_id)


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
        optional=is_optional(message.template, message.detail),
    )
    to, cc = ([Mailbox(name, parse_address(a)) for name, a in message.detail.get(kind, [])] for kind in ("to", "cc"))
    raw = compose_mail(rendered, to, cc, [*frame_fields(frame), date_field(now)])
    return desk.signer.sign(raw, now) if desk.signer else raw


def _keep(
    tx: Transaction, now: datetime, work: Ingredients, rendered: Rendered, raw: bytes, pdf: Attachment | None,
    linked: tuple[Linked, ...],
) -> None:  # fmt: skip
    """Keep the mail, the document's PDF, and the files that stayed behind."""
    now_ms, message = to_ms(now), work.message
    kept = put_content(
        tx, message.tenant_id, message.id, raw,
        subject=rendered.subject, body_text=rendered.text, language=rendered.language, flags=message.flags,
        detail=json.dumps(dict(message.detail) | {"html": True, "attachments": _listed(rendered)}, ensure_ascii=False),
    )  # fmt: skip
    if not kept:  # another node was faster; its bytes count
        return
    document = work.document
    mark_sent(tx, now_ms, message.tenant_id, document.type, document.id)  # an automatic mail is sent when it is due
    if is_optional(message.template, message.detail):
        name_customer(tx, now_ms, message.tenant_id, document)
    name_thread(tx, message.tenant_id, message.thread_id, rendered.subject)
    if pdf is not None and not work.kept:
        put_pdf(tx, now_ms, message.tenant_id, (document.type, document.id, work.digest), pdf.filename, pdf.data)
    source = "" if pdf is None else "kept" if work.kept else "given" if work.pdf else "drawn"
    data = {"template": message.template, "language": rendered.language, "size": len(raw), "pdf": source}
    _note(tx, now_ms, message, "message.rendered", data)
    for one in linked:
        file = (one.file.filename, one.file.media_type, one.file.data)
        until = put_shared_file(tx, now_ms, message.tenant_id, one.token, message.id, message.thread_id, file)
        data = {"filename": one.file.filename, "size": len(one.file.data), "until": f"{until:%Y-%m-%d}"}
        _note(tx, now_ms, message, "message.linked", data)


def _note(tx: Transaction, now_ms: int, message: Message, type: str, data: dict[str, Any]) -> None:
    add_event(tx, now_ms, message.tenant_id, type, thread_id=message.thread_id, message_id=message.id, data=data)


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

"""A document's mail before it is sent, and a document's PDF: what may be looked at without sending anything.

Called by what clerks do with documents, and by the HTTP API for PDFs. The template, the recipients and the words are
those that sending would choose (`document_mail`, `rendering`), so what is refused here would be refused there.
Rendering and drawing run in a worker.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.mail.address import parse_address
from gateway.mail.message import read_head
from gateway.mail.reply import Refused
from gateway.outbound.automation import COMPOSED
from gateway.outbound.control import Control
from gateway.outbound.customers import known_customer
from gateway.outbound.document_mail import address_document
from gateway.outbound.document_pdf import DocumentPdf, draw
from gateway.outbound.documents import read_document
from gateway.outbound.filling import texts_of
from gateway.outbound.ingredients import brand_of, without_files
from gateway.outbound.previews import page_of, preview_mail
from gateway.outbound.submission import Door
from gateway.outbound.texts import language_of, templates
from gateway.store.documents import get_document
from gateway.wire.workers import WorkerFailed

Render = Callable[..., Awaitable[Any]]
_NO_HEAD = read_head(b"Subject:\r\n\r\n")


@dataclass(frozen=True, slots=True)
class Preview:
    """A mail as it would be. `page` is its HTML as a browser shows it, `html` as it travels."""

    template: str
    language: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str
    page: str


async def preview(
    door: Door, render: Render, tenant_id: str, name: tuple[str, str], to: tuple[str, ...], now: datetime, *,
    template: str = "", language: str = "", attach_pdf: bool | None = None, personal: str = "",
) -> Preview:  # fmt: skip
    """The mail of a stored document, (type, id), with a personal message. Raises Refused as sending it would."""
    desk = await door.desks.current(tenant_id)
    stored = await door.database.read(get_document, tenant_id, *name)
    shown = "/".join(name)[:200]
    if stored is None or desk is None:
        raise Refused(550, "5.1.1", f"there is no document {shown!r}; hand it over first")
    if stored.body.startswith(COMPOSED):
        raise Refused(554, "5.6.0", f"{shown} came as a composed mail; hand it over as data, then it can be sent again")
    if template and template not in templates():
        raise Refused(554, "5.6.0", f"the template {template!r} is unknown; known are {', '.join(templates())}")
    document = await asyncio.to_thread(read_document, stored.body)
    known = await door.database.read(known_customer, tenant_id, document)
    today = now.astimezone(ZoneInfo(desk.tenant.timezone)).date()
    letter = address_document(
        door.letterhead, document, _NO_HEAD, [parse_address(one) for one in to], Control(template=template),
        stored.sent_at is not None, today, known, desk.uses,
    )  # fmt: skip
    code = language or language_of(document, letter.language or desk.tenant.language)
    texts = texts_of(desk.settings, letter.template, code)
    rendered = await within_limits(
        render, preview_mail, letter.template, code, brand_of(desk), without_files(document), today, attach_pdf, texts,
        False, personal,
    )  # fmt: skip
    addresses = tuple(str(one) for one in letter.recipients)
    page = page_of(rendered)
    return Preview(letter.template, code, addresses, rendered.subject, rendered.text, rendered.html, page)


async def drawn(render: Render, found: DocumentPdf) -> bytes:
    """The bytes of a PDF, drawn when need be. Raises Refused when that takes too much."""
    if found.to_draw is None:
        return found.data
    made: bytes = await within_limits(render, draw, found.to_draw)
    return made


async def within_limits(render: Render, *task: Any) -> Any:
    """Run a task in a worker. Raises Refused when it takes too much."""
    try:
        return await render(*task)
    except WorkerFailed as error:
        if error.kind == "crashed":
            raise
        raise Refused(554, "5.6.0", "the document is too large to be rendered in time") from None

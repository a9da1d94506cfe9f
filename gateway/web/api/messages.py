"""Messages over HTTP: hand one over, report an event, look at one beforehand, cancel it, try it again, read it.

Each route parses, calls what SMTP and the commands call, and says what came of it. 202 is said after the commit.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.inbox.parts import read_attachment, read_source
from gateway.inbox.reading import read_message
from gateway.mail.reply import Reply
from gateway.outbound.beforehand import foresee
from gateway.outbound.handed_document import JSON_TYPES, XML_TYPES
from gateway.outbound.message_acts import cancel_message, retry_message
from gateway.outbound.queue_list import Filter, page_deliveries
from gateway.outbound.requests import MAIL, Piece, Wanted, take
from gateway.web.api import listed, shapes, template_shapes
from gateway.web.api.asked import AskedEvent, AskedMessage, to_json
from gateway.web.api.bodies import JSON, body_of, decode_file, digest_of, media_type, read_body, read_json
from gateway.web.api.callers import ApiError, Caller, api_of, need
from gateway.web.api.routing import KEY_HEADER, PROBLEMS, Limit, gives_file, idempotency_key, page, takes, took
from gateway.web.api.shapes import answer
from gateway.web.files import download

router = APIRouter(tags=["messages"], responses=PROBLEMS)
Writing = Annotated[Caller, Depends(need("messages:write"))]
Reading = Annotated[Caller, Depends(need("messages:read"))]
_FIELDS = (
    "event template number amount balance issued due status customer customer_name view_url pay_url language send_at "
    "delay expires attach_pdf button run thread test"
).split()
_MAILS = {JSON: "AskedMessage", MAIL: "", **dict.fromkeys(XML_TYPES, "")}
To = Annotated[list[str], Query(description="of message/rfc822: whom it goes to; left out: its To, Cc and Bcc")]


@router.post(
    "/messages", status_code=202, response_model=shapes.ReceiptShown, openapi_extra=takes(_MAILS, [KEY_HEADER])
)
async def send_message(request: Request, caller: Writing, to: To = []) -> Response:  # noqa: B006 FastAPI copies it
    """Hand a mail over: about a document, composed, or as it is (message/rfc822); an e-invoice is a document."""
    async with _asked(request, caller, to) as wanted:
        api = api_of(request)
        return took(await take(api.door, wanted, api.clock()))


@router.post("/messages:preview", response_model=template_shapes.PreviewShown, openapi_extra=takes(_MAILS))
async def preview_message(request: Request, caller: Writing, to: To = []) -> Response:  # noqa: B006 FastAPI copies it
    """What `POST /v1/messages` would send and answer, or why it would refuse; nothing is stored or sent."""
    async with _asked(request, caller, to) as wanted:
        api = api_of(request)
        return answer(template_shapes.PreviewShown, await foresee(api.door, api.render, wanted, api.clock()))


@asynccontextmanager
async def _asked(request: Request, caller: Caller, to: Sequence[str]) -> AsyncIterator[Wanted]:
    """What is to be sent; its bytes count as held until the context ends."""
    kind = media_type(request, (JSON, MAIL, *XML_TYPES))
    async with body_of(request) as raw:
        if kind == JSON:
            yield _wanted(request, caller, await read_body(raw, AskedMessage))
        else:
            pieces = () if kind == MAIL else (Piece(kind, raw),)
            yield Wanted(
                caller.tenant.id, caller.key.name, caller.peer, digest_of(kind, raw, to),
                idempotency_key(request), tuple(to), pieces=pieces, raw=raw if kind == MAIL else b"",
            )  # fmt: skip


def _wanted(request: Request, caller: Caller, body: AskedMessage) -> Wanted:
    """A JSON request in the words of the door."""
    document, pieces = _document(body)
    composed = not (document or pieces)
    fields = [("X-AR-" + name.replace("_", "-"), _said(value)) for name in _FIELDS
              if (value := getattr(body, name)) is not None]  # fmt: skip
    fields += [("X-AR-Tag", tag) for tag in body.tags]
    fields += [(f"X-AR-Meta-{name}", value) for name, value in body.meta.items()]
    fields += [("X-AR-Force", ", ".join(body.force))] if body.force else []
    if composed and isinstance(body.document, str) and body.document:
        fields.append(("X-AR-Document", body.document))
    pieces = (*pieces, *_texts(body, composed), *(
        Piece(one.content_type, decode_file(one.filename, one.content), one.filename) for one in body.attachments
    ))  # fmt: skip
    return Wanted(
        caller.tenant.id, caller.key.name, caller.peer, digest_of(body.model_dump()),
        (*idempotency_key(request), *fields), tuple(body.to), tuple(body.cc), tuple(body.bcc), body.sender,
        body.subject, document, pieces, composed,
    )  # fmt: skip


def _document(body: AskedMessage) -> tuple[tuple[str, str] | None, tuple[Piece, ...]]:
    """The document that is to be sent: by its name, or as data. A mail with words of its own only speaks of one."""
    if isinstance(body.document, dict):
        return None, (Piece(JSON_TYPES[0], to_json(body.document)),)
    if not body.document or body.html or (body.text and body.subject):
        return None, ()
    return split_name(body.document), ()


def split_name(name: str) -> tuple[str, str]:
    """(type, id) of `type/id`. Raises ApiError 422."""
    type, slash, id = name.partition("/")
    if not slash or not type or not id:
        raise ApiError(422, Reply(501, "5.5.4", f"document {name[:100]!r} is not type/id; write invoice/inv_8812"))
    return type, id


def _texts(body: AskedMessage, composed: bool) -> tuple[Piece, ...]:
    """The words: of a composed mail its body, beside a document the personal message."""
    text = (Piece("text/plain", body.text.encode("utf-8", "replace")),) if body.text or composed else ()
    html = (Piece("text/html", body.html.encode("utf-8", "replace")),) if body.html else ()
    return (*(text if body.text or not body.html else ()), *html)


def _said(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


@router.post(
    "/events", status_code=202, response_model=shapes.ReceiptShown,
    openapi_extra=takes({JSON: "AskedEvent"}, [KEY_HEADER]),
)  # fmt: skip
async def report_event(request: Request, caller: Writing) -> Response:
    """Say what happened to a document that was handed over; the tenant's triggers decide whether mail goes."""
    body = await read_json(request, AskedEvent)
    fields = [*idempotency_key(request), ("X-AR-Event", body.type)]
    fields += [("X-AR-Test", _said(body.test))] if body.test is not None else []
    fields += [("X-AR-Run", body.run)] if body.run is not None else []
    wanted = Wanted(
        caller.tenant.id, caller.key.name, caller.peer, digest_of("event", body.model_dump()), tuple(fields),
        document=split_name(body.document),
    )  # fmt: skip
    api = api_of(request)
    return took(await take(api.door, wanted, api.clock()))


@router.get("/messages/{message_id:gwid}", response_model=shapes.MessageShown)
async def get_one(request: Request, caller: Reading, message_id: str) -> Response:
    """A mail with each recipient's delivery and attempts."""
    found = await api_of(request).door.database.read(read_message, caller.tenant.id, message_id)
    if found is None:
        raise ApiError(404)
    return answer(shapes.MessageShown, found)


@router.get("/messages/{message_id:gwid}:source", responses=gives_file(MAIL), response_class=Response)
async def get_source(request: Request, caller: Reading, message_id: str) -> Response:
    """A mail as it left or came, byte for byte; 404 too while a document is not rendered yet."""
    raw = await api_of(request).door.database.read(read_source, caller.tenant.id, message_id)
    if raw is None:
        raise ApiError(404)
    return download(raw, f"{message_id}.eml", MAIL)


@router.get(
    "/messages/{message_id:gwid}/attachments/{number}",
    responses=gives_file("application/octet-stream"), response_class=Response,
)  # fmt: skip
async def get_attachment(request: Request, caller: Reading, message_id: str, number: int) -> Response:
    """A mail's n-th file."""
    found = await api_of(request).door.database.read(read_attachment, caller.tenant.id, message_id, number)
    if found is None:
        raise ApiError(404)
    return download(found[1], found[0] or f"{message_id}-{number}", "application/octet-stream")


@router.post("/messages/{message_id:gwid}:cancel", response_model=shapes.Changed)
async def cancel_one(request: Request, caller: Writing, message_id: str) -> Response:
    """End what is still queued or held of a mail."""
    api = api_of(request)
    done = await api.door.database.write(cancel_message, api.clock(), caller.tenant.id, message_id, caller.by)
    return answer(shapes.Changed, {"changed": done})


@router.post("/messages/{message_id:gwid}:retry", response_model=shapes.Changed)
async def retry_one(request: Request, caller: Writing, message_id: str) -> Response:
    """Try again what waits, failed or was cancelled; never what a server accepted."""
    api = api_of(request)
    done = await api.door.database.write(
        retry_message, api.clock(), caller.tenant.id, message_id, caller.by, api.door.retry
    )
    return answer(shapes.Changed, {"changed": done})


@router.get("/deliveries", response_model=listed.Deliveries)
async def list_deliveries(
    request: Request,
    caller: Reading,
    state: Annotated[str, Query(pattern="^(queued|relayed|delivered|failed|cancelled|unclear)?$")] = "",
    recipient: Annotated[str, Query(max_length=320, description="part of the address; @client.test: the domain")] = "",
    after: Annotated[str, Query(pattern=r"^([0-9a-z]{20}\.[0-9]{1,6})?$", description="a cursor")] = "",
    limit: Limit = 50,
) -> Response:
    """Deliveries in the order in which their mail was accepted."""
    key = (after[:20], int(after[21:] or 0))
    wanted = Filter(state=state, recipient=recipient)
    found = await api_of(request).door.database.read(page_deliveries, caller.tenant.id, wanted, key, limit + 1)
    return answer(listed.Deliveries, page(found, limit, attrgetter("id")))

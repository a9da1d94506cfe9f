"""Documents over HTTP: hand one over as JSON or as an e-invoice, list them, read one, its PDF.

Each route parses, calls what SMTP and the commands call, and says what came of it.
"""

import json
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.inbox.documents import Filter, list_documents
from gateway.outbound.document_pdf import find_pdf
from gateway.outbound.handed_document import JSON_TYPES, XML_TYPES
from gateway.outbound.request_preview import drawn
from gateway.outbound.requests import Wanted, store
from gateway.store.documents import StoredDocument, get_document
from gateway.store.reminding import COMPOSED
from gateway.web.api import listed, shapes
from gateway.web.api.bodies import body_of, digest_of, media_type
from gateway.web.api.callers import ApiError, Caller, api_of, need
from gateway.web.api.routing import (
    KEY_HEADER,
    PROBLEMS,
    DocumentId,
    DocumentType,
    Limit,
    gives_file,
    idempotency_key,
    takes,
    took,
)
from gateway.web.api.shapes import answer
from gateway.web.files import download

router = APIRouter(tags=["documents"], responses=PROBLEMS)
Writing = Annotated[Caller, Depends(need("documents:write"))]
Reading = Annotated[Caller, Depends(need("documents:read"))]
_BODIES = {**dict.fromkeys(JSON_TYPES, "Document"), **dict.fromkeys(XML_TYPES, "")}


@router.get("/documents", response_model=listed.Documents)
async def list_some(
    request: Request,
    caller: Reading,
    state: Annotated[Literal["", "unpaid", "overdue", "unsent", "paid", "draft", "voided"], Query()] = "",
    type: Annotated[str, Query(max_length=20)] = "",
    customer: Annotated[str, Query(max_length=200, description="a customer's key")] = "",
    words: Annotated[str, Query(max_length=200, description="part of a number, or of a customer's name")] = "",
    after: Annotated[str, Query(max_length=400, description="a cursor: `next` of the page before")] = "",
    limit: Limit = 50,
) -> Response:
    """Documents, the newest first; what is unpaid or overdue by the day that it is due."""
    api = api_of(request)
    today = api.clock().astimezone(ZoneInfo(caller.tenant.timezone)).date()
    wanted = Filter(state, type, customer, words)
    found = await api.door.database.read(list_documents, caller.tenant.id, wanted, today, after=after, limit=limit)
    return answer(listed.Documents, {"data": found.lines, "next": found.cursor or None})


@router.get("/documents/{type}/{document_id:path}:pdf", responses=gives_file("application/pdf"),
            response_class=Response)  # fmt: skip
async def get_pdf(request: Request, caller: Reading, type: DocumentType, document_id: DocumentId) -> Response:
    """A document's PDF: the one that was mailed, byte for byte, else the one that would be."""
    api = api_of(request)
    found = await api.door.database.read(find_pdf, caller.tenant, type, document_id)
    return download(await drawn(api.render, found), found.filename, "application/pdf")


@router.put("/documents/{type}/{document_id:path}", response_model=shapes.ReceiptShown,
            openapi_extra=takes(_BODIES, [KEY_HEADER]))  # fmt: skip
async def put_document(
    request: Request,
    caller: Writing,
    type: DocumentType,
    document_id: DocumentId,
    event: Annotated[str, Query(max_length=60, description="what happened to it, as X-AR-Event; needs the scope "
                                "messages:write")] = "",
    run: Annotated[str, Query(max_length=100, description="the batch that its mail belongs to")] = "",
) -> Response:  # fmt: skip
    """Hand a document over, or its new state; nothing is sent, unless an event asks for it."""
    caller.check("messages:write" if event else "")
    kind = media_type(request, tuple(_BODIES))
    async with body_of(request) as raw:
        said = [("X-AR-Event", event) if event else ("X-AR-Template", "none")]
        said += [("X-AR-Run", run)] if run else []
        wanted = Wanted(
            caller.tenant.id, caller.key.name, caller.peer, digest_of("put", type, document_id, event, kind, raw),
            (*idempotency_key(request), *said),
        )  # fmt: skip
        api = api_of(request)
        return took(await store(api.door, wanted, (type, document_id), kind, raw, api.clock()), 200)


@router.get("/documents/{type}/{document_id:path}", response_model=shapes.DocumentShown)
async def get_one(request: Request, caller: Reading, type: DocumentType, document_id: DocumentId) -> Response:
    """A document as it was handed over last."""
    found = await api_of(request).door.database.read(get_document, caller.tenant.id, type, document_id)
    if found is None:
        raise ApiError(404)
    return answer(shapes.DocumentShown, _shown(found))


def _shown(found: StoredDocument) -> shapes.DocumentShown:
    made = shapes.DocumentShown.model_validate(found, from_attributes=True)
    return made if found.body.startswith(COMPOSED) else made.model_copy(update={"document": json.loads(found.body)})

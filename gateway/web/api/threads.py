"""Threads of the A/R inbox over HTTP: the views, one thread, and what people do with it.

The same functions as the pages', within the key's tenant: what is another's is not found.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.inbox.acting import Done, close, mark_spam, reopen, wait
from gateway.inbox.deciding import move
from gateway.inbox.evidence import read_evidence
from gateway.inbox.listing import SCHEDULED, list_page
from gateway.inbox.listing import VIEWS as ALL_VIEWS
from gateway.inbox.reading import read_thread
from gateway.mail.reply import Refused, Reply
from gateway.outbound.printing import print_evidence
from gateway.web.api import listed, shapes
from gateway.web.api.asked import AskedMove
from gateway.web.api.bodies import JSON, body_of, media_type, read_body
from gateway.web.api.callers import ApiError, Caller, api_of, need
from gateway.web.api.routing import PROBLEMS, Limit, gives_file, takes
from gateway.web.api.shapes import answer
from gateway.web.evidence import zipped

VIEWS = tuple(view for view in ALL_VIEWS if view not in ("mine", SCHEDULED))  # a key is no person; see /deliveries
router = APIRouter(tags=["threads"], responses=PROBLEMS)
Reading = Annotated[Caller, Depends(need("threads:read"))]
Writing = Annotated[Caller, Depends(need("threads:write"))]
Cursor = Annotated[str, Query(pattern=r"^([0-9-]{1,15}\.[0-9a-z]{20})?$", description="a cursor: `next` of a page")]


@router.get("/threads", response_model=listed.Threads)
async def list_threads(
    request: Request,
    caller: Reading,
    view: Annotated[str, Query(json_schema_extra={"enum": list(VIEWS)})] = "todo",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Response:
    """A view's threads, the latest first."""
    if view not in VIEWS:
        raise ApiError(422, Reply(501, "5.5.4", f"view {view[:40]!r} is none of {', '.join(VIEWS)}"))
    page = await api_of(request).door.database.read(
        list_page, caller.tenant.id, view=view, cursor=cursor, limit=limit
    )  # fmt: skip
    return answer(listed.Threads, {"data": page.lines, "next": page.cursor or None, "counts": page.counts})


@router.get("/threads/{thread_id:gwid}", response_model=shapes.WholeThread)
async def get_one(request: Request, caller: Reading, thread_id: str) -> Response:
    """A thread with its mail, deliveries and events."""
    found = await api_of(request).door.database.read(read_thread, caller.tenant.id, thread_id)
    if found is None:
        raise ApiError(404)
    return answer(shapes.WholeThread, found)


@router.get("/threads/{thread_id:gwid}/evidence", responses=gives_file("application/zip"), response_class=Response)
async def get_evidence(
    request: Request,
    caller: Reading,
    thread_id: str,
    language: Annotated[Literal["ro", "ru", "en"] | None, Query(description="of the timeline; the tenant's")] = None,
) -> Response:
    """All that proves how the thread's mail went, as a ZIP: mails, PDFs, attempts, a timeline, a manifest."""
    api, tenant = api_of(request), caller.tenant
    try:
        found = await api.door.database.read(read_evidence, api.clock(), tenant, thread_id, caller.by)
    except Refused:
        raise ApiError(404) from None
    async with api.packing:
        draw = partial(api.render, print_evidence)
        return await zipped(api.door.database, found, language or tenant.language, draw)


@router.post("/threads/{thread_id:gwid}:close", response_model=shapes.Changed)
async def close_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Be done with a thread; 0 changed when it was closed already."""
    return await _do(request, caller, close, thread_id)


@router.post("/threads/{thread_id:gwid}:reopen", response_model=shapes.Changed)
async def reopen_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Put a thread back on the list; 0 changed when it is there already."""
    return await _do(request, caller, reopen, thread_id)


@router.post("/threads/{thread_id:gwid}:wait", response_model=shapes.Changed)
async def wait_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """The customer is to answer; the thread opens by itself when mail comes."""
    return await _do(request, caller, wait, thread_id)


@router.post("/threads/{thread_id:gwid}:spam", response_model=shapes.Changed)
async def spam_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Mail that comes to it is kept and opens nothing; `:reopen` takes that back."""
    return await _do(request, caller, mark_spam, thread_id)


@router.post("/threads:move", response_model=shapes.Changed, openapi_extra=takes({JSON: "AskedMove"}))
async def move_one(request: Request, caller: Writing) -> Response:
    """Put a mail that came into the thread that it belongs to."""
    media_type(request, (JSON,))
    async with body_of(request) as raw:
        body = await read_body(raw, AskedMove)
    api = api_of(request)
    await api.door.database.write(move, api.clock(), caller.tenant.id, body.message_id, body.thread_id, caller.by)
    return answer(shapes.Changed, {"changed": 1})


async def _do(request: Request, caller: Caller, act: Callable[..., Done], thread_id: str) -> Response:
    api = api_of(request)
    done = await api.door.database.write(act, api.clock(), caller.tenant.id, [thread_id], caller.by)
    return answer(shapes.Changed, {"changed": len(done.threads)})

"""Threads of the A/R inbox over HTTP: the views, one thread; `thread_acts` has what people do with them.

The same functions as the pages', within the key's tenant: what is another's is not found.
"""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.inbox.evidence import read_evidence
from gateway.inbox.listing import SCHEDULED, list_page
from gateway.inbox.listing import VIEWS as ALL_VIEWS
from gateway.inbox.reading import read_thread
from gateway.inbox.search import search
from gateway.inbox.search_grammar import LONGEST
from gateway.mail.reply import Refused, Reply
from gateway.outbound.printing import print_evidence
from gateway.web.api import listed, shapes
from gateway.web.api.callers import ApiError, Caller, api_of, need
from gateway.web.api.routing import PROBLEMS, Limit, gives_file
from gateway.web.api.shapes import answer
from gateway.web.evidence import zipped

VIEWS = tuple(view for view in ALL_VIEWS if view not in ("mine", SCHEDULED))  # a key is no person; see /deliveries
router = APIRouter(tags=["threads"], responses=PROBLEMS)
Reading = Annotated[Caller, Depends(need("threads:read"))]
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


@router.get("/search", response_model=listed.Found)
async def search_threads(
    request: Request,
    caller: Reading,
    q: Annotated[str, Query(min_length=1, max_length=LONGEST, description="words and operators: docs/operations.md")],
    cursor: Annotated[str, Query(pattern=r"^[0-9]{0,18}$", description="a cursor: `next` of a page")] = "",
    limit: Limit = 50,
) -> Response:
    """The threads that a query finds, the latest first; the language of the page's search and of the commands."""
    api = api_of(request)
    page = await api.door.database.read(search, api.clock(), caller.tenant.id, q, cursor=cursor, limit=limit)
    return answer(listed.Found, {"data": page.lines, "next": page.cursor or None, "behind": page.behind,
                                 "complete": page.complete})  # fmt: skip


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

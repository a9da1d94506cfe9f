"""The feed of events over HTTP: complete, in order, replayable from any cursor."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.store.event_feed import public_event, read_feed
from gateway.web.api import listed
from gateway.web.api.callers import Caller, api_of, need
from gateway.web.api.routing import PROBLEMS, Id, Limit
from gateway.web.api.shapes import answer

router = APIRouter(tags=["events"], responses=PROBLEMS)
Reading = Annotated[Caller, Depends(need("events:read"))]
Types = Annotated[list[Annotated[str, Query(max_length=60)]], Query(max_length=50, description="only these types")]


@router.get("/events", response_model=listed.Events)
async def list_events(
    request: Request, caller: Reading, after: Id = "", limit: Limit = 100, type: Types = []  # noqa: B006 it is copied
) -> Response:  # fmt: skip
    """Every event after a cursor. Keep `next` and ask again: nothing is missed and nothing comes twice."""
    page = await read_feed(api_of(request).door.database, caller.tenant.id, after, limit, frozenset(type))
    found = [public_event(one) for one in page.events]
    return answer(listed.Events, {"data": found, "next": page.cursor, "more": page.more})

"""Suppressions over HTTP: the addresses that mail no longer goes to, and a person's word on them."""

from operator import attrgetter
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.mail.address import parse_address
from gateway.mail.reply import Reply
from gateway.outbound.suppression import Entry, get_entry, list_suppressed, put_suppressed, unsuppress
from gateway.store.database import to_ms
from gateway.web.api import listed, shapes
from gateway.web.api.asked import AskedSuppression
from gateway.web.api.bodies import JSON, read_json
from gateway.web.api.callers import ApiError, Caller, api_of, need
from gateway.web.api.routing import PROBLEMS, Limit, page, takes
from gateway.web.api.shapes import answer

router = APIRouter(tags=["suppressions"], responses=PROBLEMS)
Reading = Annotated[Caller, Depends(need("suppressions:read"))]
Writing = Annotated[Caller, Depends(need("suppressions:write"))]


@router.get("/suppressions", response_model=listed.Suppressions)
async def list_some(
    request: Request,
    caller: Reading,
    part: Annotated[str, Query(max_length=320, description="part of the address, or a reason")] = "",
    after: Annotated[str, Query(max_length=320, description="a cursor: `next` of the page before")] = "",
    limit: Limit = 50,
) -> Response:
    """The list by address; allowed ones too."""
    found = await api_of(request).door.database.read(
        list_suppressed, caller.tenant.id, after=after, limit=limit + 1, part=part
    )
    return answer(listed.Suppressions, page(found, limit, attrgetter("address")))


@router.get("/suppressions/{address}", response_model=shapes.SuppressionShown)
async def get_one(request: Request, caller: Reading, address: str) -> Response:
    """What is known of an address; 404 when nothing is, and mail goes there."""
    found = await api_of(request).door.database.read(get_entry, caller.tenant.id, address)
    if found is None:
        raise ApiError(404)
    return answer(shapes.SuppressionShown, found)


@router.put(
    "/suppressions/{address}", response_model=shapes.SuppressionShown,
    openapi_extra=takes({JSON: "AskedSuppression"}),
)  # fmt: skip
async def put_one(request: Request, caller: Writing, address: str) -> Response:
    """Stop mail to an address, or let it go whatever servers say."""
    body = await read_json(request, AskedSuppression)
    if body.expires_at is not None and body.expires_at.tzinfo is None:
        raise ApiError(422, Reply(501, "5.5.4", "expires_at has no zone; write 2026-12-08T09:00:00+02:00"))
    api, key = api_of(request), parse_address(address).key
    entry = Entry(key, body.reason, body.note or caller.by, expires_at=body.expires_at)
    await api.door.database.write(put_suppressed, to_ms(api.clock()), caller.tenant.id, entry)
    return answer(shapes.SuppressionShown, await api.door.database.read(get_entry, caller.tenant.id, key))


@router.delete("/suppressions/{address}", response_model=shapes.Changed)
async def delete_one(request: Request, caller: Writing, address: str) -> Response:
    """Forget what is known of an address; the next permanent fault suppresses it again."""
    if not await api_of(request).door.database.write(unsuppress, caller.tenant.id, address):
        raise ApiError(404)
    return answer(shapes.Changed, {"changed": 1})

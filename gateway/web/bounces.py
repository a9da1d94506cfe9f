"""The worklist of bounces on a page: address by address, corrected in one step with all that it missed, or put aside.

A line of it is `gateway.inbox.worklist`'s, a correction `gateway.inbox.correcting`'s; what cannot be done is said on a
page of its own. The list leaves as CSV that is safe for spreadsheets.
"""

import io
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from gateway.inbox.correcting import correct
from gateway.inbox.worklist import dismiss, list_bounced, write_csv
from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.store.database import Database
from gateway.web.pages import render
from gateway.web.site import Visit, need_change, need_visit, need_workshop, site_of

router = APIRouter()
Looking = Annotated[Visit, Depends(need_visit)]
Form = Annotated[dict[str, str], Depends(need_change)]
CSV_PAGE = 200  # addresses that are read at once
CSV_PAGES = 500  # at most: what is beyond that nobody works through in a spreadsheet


@router.get("/bounces")
async def show(
    request: Request, visit: Looking, after: str = "", done: str = "", sent: str = "", left: str = ""
) -> Response:
    """A page of addresses; `done`, `sent` and `left` tell of the one that was just corrected or put aside."""
    page = await site_of(request).database.read(list_bounced, visit.tenant.id, after=after[:320])
    counts = [int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0 for text in (sent, left)]
    return render(request, "bounces.html", page=page, first=not after, done=done[:320], sent=counts[0], left=counts[1])


@router.post("/bounces")
async def change(request: Request, visit: Looking, form: Form) -> Response:
    """Correct an address and send what it missed, or put it aside."""
    site, old, by = site_of(request), form.get("old", "").strip(), visit.session.user.email
    told = {"done": old}
    try:
        if form.get("action") == "dismiss":
            await site.database.write(dismiss, site.clock(), visit.tenant.id, old, by)
        else:
            new = str(parse_address(form.get("new", "").strip()))
            made = await correct(need_workshop(request).door, visit.tenant.id, old, new, by, site.clock())
            told |= {"sent": str(len(made.sent)), "left": str(len(made.left))}
    except Refused as refused:
        if refused.reply.code == 404:
            raise HTTPException(404) from None
        return render(request, "refused.html", 409, why=refused)
    return RedirectResponse(f"/bounces?{urlencode(told)}", 303)


@router.get("/bounces.csv")
async def export(request: Request, visit: Looking) -> Response:
    """The whole list, a page after the other."""
    lines = _csv(site_of(request).database, visit.tenant.id)
    headers = {"content-disposition": 'attachment; filename="bounces.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def _csv(database: Database, tenant_id: str) -> Iterator[str]:
    """Read on the threads of the response, not on the event loop."""
    after = ""
    for number in range(CSV_PAGES):
        page = database.read_now(list_bounced, tenant_id, after=after, limit=CSV_PAGE)
        text = io.StringIO()
        write_csv(text, page.lines, header=number == 0)
        yield text.getvalue()
        if not (after := page.cursor):
            return

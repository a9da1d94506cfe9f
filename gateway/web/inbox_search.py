"""Searching the inbox on a page: the query, what it found with the words that matched, and searches that are kept.

The grammar and the answers are those of `gateway.inbox.search`, as in the CLI; a query that makes no sense is explained
beside its field, never an error page.
"""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.listing import count_views
from gateway.inbox.search import search
from gateway.inbox.search_grammar import WrongQuery
from gateway.inbox.searches import keep_search
from gateway.mail.reply import Refused
from gateway.store.saved_searches import delete_search, list_searches
from gateway.web.pages import render
from gateway.web.site import Visit, need_change, need_visit, site_of

router = APIRouter()
Looking = Annotated[Visit, Depends(need_visit)]
Form = Annotated[dict[str, str], Depends(need_change)]

QUERY_LENGTH = 500  # characters that the page's field takes


@router.get("/inbox/search")
async def show(request: Request, visit: Looking, q: str = "", cursor: str = "") -> Response:
    """What a query finds, the latest first; without one, the searches that are kept and what can be asked for."""
    site, tenant_id, user_id = site_of(request), visit.tenant.id, visit.session.user.id
    page, wrong, text = None, None, q.strip()[:QUERY_LENGTH]
    if text:
        try:
            page = await site.database.read(search, site.clock(), tenant_id, text, cursor=cursor, user=user_id)
        except WrongQuery as error:
            wrong = error
    return render(
        request,
        "search.html",
        400 if wrong else 200,
        q=text,
        page=page,
        wrong=wrong,
        first=not cursor,
        saved=await site.database.read(list_searches, tenant_id, user_id),
        counts=await site.database.read(count_views, tenant_id, user_id),
    )


@router.post("/inbox/search")
async def change(request: Request, visit: Looking, form: Form) -> Response:
    """Keep the search under a name, for oneself or everybody, or forget one."""
    site, tenant_id, user_id = site_of(request), visit.tenant.id, visit.session.user.id
    if forgotten := form.get("forget", ""):
        if not await site.database.write(delete_search, tenant_id, user_id, forgotten):
            raise HTTPException(404)
        return RedirectResponse("/inbox/search", 303)
    name, query, shared = form.get("name", ""), form.get("q", "")[:QUERY_LENGTH], form.get("shared") == "1"
    try:
        await site.database.write(keep_search, site.clock(), tenant_id, name, query, user=user_id, shared=shared)
    except Refused as refused:
        return render(request, "refused.html", 409, why=refused)
    return RedirectResponse(f"/inbox/search?{urlencode({'q': query})}", 303)

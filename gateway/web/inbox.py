"""The inbox's pages: the list of threads and a thread; a mail that belongs elsewhere, an author who is known.

Each route reads one view of `gateway.inbox` within the visitor's tenant and renders it. A thread that is not the
tenant's is not found. What clerks do with threads is `web.inbox_acts`.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.deciding import add_author, move
from gateway.inbox.listing import NEWS_MOST, VIEWS, count_news, count_views, list_page
from gateway.inbox.reading import look_at, read_thread
from gateway.inbox.timeline import timeline
from gateway.mail.reply import Refused
from gateway.store.database import Database, from_ms, to_ms
from gateway.store.presence import LOOKING, be_present, who_is_present
from gateway.store.threads import get_thread
from gateway.web.pages import render
from gateway.web.site import Visit, find_visit, need_change, need_visit, site_of

router = APIRouter()
PAGE = 50  # threads on a page

Looking = Annotated[Visit, Depends(need_visit)]
Form = Annotated[dict[str, str], Depends(need_change)]


@router.get("/")
async def start(request: Request) -> Response:
    """The inbox is the first page; of who runs the gateway, their own."""
    visit = await find_visit(request)
    return RedirectResponse(visit.home if visit else "/inbox", 303)


@router.get("/inbox")
async def show_list(
    request: Request, visit: Looking, view: str = "todo", cursor: str = "", did: str = "", one: str = "", undo: str = ""
) -> Response:
    """A view's threads, the latest first. `did`, `one` and `undo` tell of what was just done, to offer it back."""
    database, tenant_id = site_of(request).database, visit.tenant.id
    user_id = visit.session.user.id
    page = await database.read(list_page, tenant_id, view=view, cursor=cursor, limit=PAGE, user_id=user_id)
    thread = await database.read(get_thread, tenant_id, one) if did and one else None
    read_at = to_ms(site_of(request).clock())
    return render(request, "list.html", page=page, first=not cursor, did=did, one=thread, undo=undo, read_at=read_at)


@router.get("/inbox/news")
async def show_news(request: Request, visit: Looking, view: str = "todo", since: str = "") -> Response:
    """What happened in a list after its page was read: a line that leads to it. 204, and no change, for nothing."""
    after = from_ms(int(since)) if since.isascii() and since.isdecimal() and len(since) < 15 else None
    if after is None:
        raise HTTPException(400)
    database, user_id = site_of(request).database, visit.session.user.id
    count = await database.read(count_news, visit.tenant.id, view, after, user_id)
    if not count:
        return Response(status_code=204)
    return render(request, "news.html", count=count, most=NEWS_MOST, view=view if view in VIEWS else "todo")


@router.get("/inbox/{thread_id}")
async def show_thread(
    request: Request,
    visit: Looking,
    thread_id: str,
    view: str = "",
    images: str = "",
    did: str = "",
    undo: str = "",
    sent: str = "",
    back: str = "",
) -> Response:
    """A thread with all that belongs to it; what was new in it has now been seen."""
    site, tenant_id, user_id = site_of(request), visit.tenant.id, visit.session.user.id
    found = await site.database.read(read_thread, tenant_id, thread_id)
    if found is None:
        raise HTTPException(404)
    if found.thread.unread and visit.may_change:
        await site.database.write(look_at, tenant_id, thread_id)
    return render(
        request,
        "thread.html",
        found=found,
        lines=timeline(found),
        back=view if view in VIEWS else "todo",
        sent=sent[:20],
        sent_undo=back[:2000],
        counts=await site.database.read(count_views, tenant_id, user_id),
        others=await _others(request, visit, thread_id),
        images=images,
        did=did,
        undo=undo,
    )


@router.get("/inbox/{thread_id}/presence")
async def show_presence(request: Request, visit: Looking, thread_id: str) -> Response:
    """Who else has the thread open: a part of its page, asked for again while that is open."""
    await _need_thread(site_of(request).database, visit.tenant.id, thread_id)
    others = await _others(request, visit, thread_id)
    return render(request, "presence.html", thread_id=thread_id, others=others)


async def _others(request: Request, visit: Visit, thread_id: str) -> tuple[Any, ...]:
    """Say that the visitor has the thread open; who else has."""
    site, user_id = site_of(request), visit.session.user.id
    await site.database.write(be_present, site.clock(), visit.tenant.id, thread_id, user_id, LOOKING)
    found = await site.database.read(who_is_present, site.clock(), visit.tenant.id, [thread_id], user_id)
    return found.get(thread_id, ())


@router.post("/inbox/{thread_id}/move")
async def move_it(request: Request, visit: Looking, form: Form, thread_id: str) -> Response:
    """A mail of this thread belongs to another one."""
    to = form.get("to", "")
    await _decide(request, visit, thread_id, move, form.get("message", ""), to)
    return RedirectResponse(f"/inbox/{to}?view={_view(form)}", 303)


@router.post("/inbox/{thread_id}/contact")
async def add_it(request: Request, visit: Looking, form: Form, thread_id: str) -> Response:
    """The author of a mail is one of the customer's people."""
    await _decide(request, visit, thread_id, add_author, form.get("message", ""))
    return RedirectResponse(f"/inbox/{thread_id}?view={_view(form)}", 303)


async def _decide(request: Request, visit: Visit, thread_id: str, what: Callable[..., Any], *values: str) -> None:
    """Do it as the visitor; what is not the tenant's is not found, and what is done already stays."""
    site = site_of(request)
    await _need_thread(site.database, visit.tenant.id, thread_id)
    try:
        await site.database.write(what, site.clock(), visit.tenant.id, *values, visit.session.user.email)
    except Refused as refused:
        if refused.reply.code == 404:
            raise HTTPException(404) from None


async def _need_thread(database: Database, tenant_id: str, thread_id: str) -> None:
    if await database.read(get_thread, tenant_id, thread_id) is None:
        raise HTTPException(404)


def _view(form: dict[str, str]) -> str:
    view = form.get("view", "")
    return view if view in VIEWS else "todo"

"""The inbox's pages: the list of threads, a thread, closing and reopening it.

Each route reads one view of `gateway.inbox` within the visitor's tenant and renders it. A thread that is not the
tenant's is not found.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.acting import close, reopen
from gateway.inbox.deciding import add_author, move
from gateway.inbox.listing import VIEWS, count_views, list_page
from gateway.inbox.reading import look_at, read_thread
from gateway.inbox.timeline import timeline
from gateway.mail.reply import Refused
from gateway.store.database import Database, Transaction
from gateway.store.threads import Thread, get_thread
from gateway.web.pages import render
from gateway.web.site import Visit, need_change, need_visit, site_of

router = APIRouter()
PAGE = 50  # threads on a page

Looking = Annotated[Visit, Depends(need_visit)]
Form = Annotated[dict[str, str], Depends(need_change)]


@router.get("/")
async def start() -> Response:
    """The inbox is the first page."""
    return RedirectResponse("/inbox", 303)


@router.get("/inbox")
async def show_list(
    request: Request, visit: Looking, view: str = "todo", cursor: str = "", closed: str = ""
) -> Response:
    """A view's threads, the latest first. `closed` names a thread that was just closed, to offer it back."""
    database, tenant_id = site_of(request).database, visit.tenant.id
    page = await database.read(
        list_page, tenant_id, view=view, cursor=cursor, limit=PAGE, user_id=visit.session.user.id
    )
    done = await database.read(_closed, tenant_id, closed) if closed else None
    return render(request, "list.html", page=page, done=done, first=not cursor)


def _closed(tx: Transaction, tenant_id: str, thread_id: str) -> Thread | None:
    found = get_thread(tx, tenant_id, thread_id)
    return found if found and found.state == "closed" else None


@router.get("/inbox/{thread_id}")
async def show_thread(request: Request, visit: Looking, thread_id: str, view: str = "", images: str = "") -> Response:
    """A thread with all that belongs to it; what was new in it has now been seen."""
    database, tenant_id = site_of(request).database, visit.tenant.id
    found = await database.read(read_thread, tenant_id, thread_id)
    if found is None:
        raise HTTPException(404)
    if found.thread.unread and visit.may_change:
        await database.write(look_at, tenant_id, thread_id)
    counts = await database.read(count_views, tenant_id, visit.session.user.id)
    back = view if view in VIEWS else "todo"
    return render(request, "thread.html", found=found, lines=timeline(found), back=back, counts=counts, images=images)


@router.post("/inbox/{thread_id}/close")
async def close_it(request: Request, visit: Looking, form: Form, thread_id: str) -> Response:
    """A person is done with the thread."""
    site = site_of(request)
    await _need_thread(site.database, visit.tenant.id, thread_id)
    by = visit.session.user.email
    await site.database.write(close, site.clock(), visit.tenant.id, [thread_id], by)
    return RedirectResponse(f"/inbox?view={_view(form)}&closed={thread_id}", 303)


@router.post("/inbox/{thread_id}/reopen")
async def reopen_it(request: Request, visit: Looking, form: Form, thread_id: str) -> Response:
    """A person wants the thread back on the list."""
    site = site_of(request)
    await _need_thread(site.database, visit.tenant.id, thread_id)
    by = visit.session.user.email
    await site.database.write(reopen, site.clock(), visit.tenant.id, [thread_id], by)
    return RedirectResponse(f"/inbox/{thread_id}?view={_view(form)}", 303)


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

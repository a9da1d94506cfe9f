"""What clerks do with threads on the inbox's pages: one or many at once, a note, a promise, what is scheduled; undo.

Each form is one call of `gateway.inbox`; where it was sent from is shown again, with what was done and the way back.
What `gateway.inbox` refuses is said on a page of its own; what is not the tenant's is not found.
"""

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox import acting, noting, promising
from gateway.inbox.acting import Done
from gateway.inbox.listing import VIEWS
from gateway.mail.reply import Refused
from gateway.outbound.queue import cancel, release
from gateway.store.database import Transaction, to_ms
from gateway.store.messages import get_message
from gateway.web.pages import render
from gateway.web.site import Visit, need_change, need_visit, site_of

router = APIRouter()
Looking = Annotated[Visit, Depends(need_visit)]
Form = Annotated[dict[str, str], Depends(need_change)]

PICKED = "t."  # a ticked thread is the field "t.<its id>"
MORNING = time(8)  # when what was put off until a day comes back, in the tenant's zone
_PLAIN: dict[str, Callable[..., Done]] = {
    "close": acting.close, "reopen": acting.reopen, "wait": acting.wait, "spam": acting.mark_spam,
}  # fmt: skip
_WITH: dict[str, tuple[Callable[..., Done], str]] = {  # action -> (what does it, the field that it needs)
    "assign": (acting.assign, "to"), "tag": (acting.tag, "tag"), "untag": (acting.untag, "tag"),
}  # fmt: skip
_STAY = ("reopen", "assign", "tag", "untag")  # after these a thread's page is shown again, after others the list


@router.post("/inbox/act")
async def act(request: Request, visit: Looking, form: Form) -> Response:
    """Close, reopen, let wait, put off, assign, tag or call spam the threads that were ticked."""
    threads = [name.removeprefix(PICKED) for name in form if name.startswith(PICKED)]
    action = form.get("action", "")
    if not threads:
        return _to(form, action)

    def work(tx: Transaction, now: datetime, tenant_id: str, by: str) -> Done:
        if action in _PLAIN:
            return _PLAIN[action](tx, now, tenant_id, threads, by)
        if action in _WITH:
            what, field = _WITH[action]
            return what(tx, now, tenant_id, threads, by, form.get(field, ""))
        if action == "snooze":
            until = datetime.combine(_day(form.get("until", "")), MORNING, visit.reader.zone)
            return acting.snooze(tx, now, tenant_id, threads, by, until)
        raise Refused(501, "5.5.4", f"{action[:20]!r} is nothing that can be done with a thread")

    done = await _do(request, visit, work)
    if isinstance(done, Response):
        return done
    return _to(form, action, done, stay=action in _STAY)


@router.post("/inbox/undo")
async def undo(request: Request, visit: Looking, form: Form) -> Response:
    """Bring back how the threads stood before."""

    def work(tx: Transaction, now: datetime, tenant_id: str, by: str) -> tuple[str, ...]:
        return acting.undo(tx, now, tenant_id, form.get("undo", ""), by)

    done = await _do(request, visit, work)
    return done if isinstance(done, Response) else _to(form, "undo", stay=True)


@router.post("/inbox/{thread_id}/note")
async def note(request: Request, visit: Looking, form: Form, thread_id: str) -> Response:
    """A note for the others; it never leaves."""

    def work(tx: Transaction, now: datetime, tenant_id: str, by: str) -> str:
        return noting.add_note(tx, now, tenant_id, thread_id, form.get("text", ""), by)

    done = await _do(request, visit, work)
    return done if isinstance(done, Response) else _to(form | {"here": thread_id}, "", stay=True)


@router.post("/inbox/{thread_id}/promise")
async def promise(request: Request, visit: Looking, form: Form, thread_id: str) -> Response:
    """The customer promised to pay by a day, or the promise holds no more."""

    def work(tx: Transaction, now: datetime, tenant_id: str, by: str) -> Done | bool:
        if form.get("forget"):
            return promising.forget_promise(tx, now, tenant_id, thread_id, by)
        on, amount = _day(form.get("on", "")), _amount(form.get("amount", ""))
        return promising.promise(tx, now, tenant_id, thread_id, on, by, amount=amount)

    done = await _do(request, visit, work)
    return done if isinstance(done, Response) else _to(form | {"here": thread_id}, "", stay=True)


@router.post("/inbox/scheduled")
async def scheduled(request: Request, visit: Looking, form: Form) -> Response:
    """Send now what is held or goes later, or cancel it."""
    what = {"send": release, "cancel": cancel}.get(form.get("action", ""))

    def work(tx: Transaction, now: datetime, tenant_id: str, by: str) -> int:
        message_id = form.get("message", "")
        if what is None or get_message(tx, tenant_id, message_id) is None:
            raise Refused(404, "5.1.1", "there is no such mail")
        return what(tx, to_ms(now), tenant_id, (message_id, 0), by)

    done = await _do(request, visit, work)
    return done if isinstance(done, Response) else _to(form | {"view": "scheduled"}, form["action"])


async def _do(request: Request, visit: Visit, work: Callable[[Transaction, datetime, str, str], Any]) -> Any:
    """Do it in one transaction as the visitor; the page of a refusal when it cannot be done."""
    site = site_of(request)
    try:
        return await site.database.write(work, site.clock(), visit.tenant.id, visit.session.user.email)
    except Refused as refused:
        if refused.reply.code == 404:
            raise HTTPException(404) from None
        return render(request, "refused.html", 409, why=refused)


def _to(form: dict[str, str], did: str, done: Done | None = None, *, stay: bool = False) -> Response:
    view = form.get("view", "")
    query = {"view": view if view in VIEWS else "todo", "did": did}
    if done and done.undo:
        query["undo"] = done.undo
        if len(done.threads) == 1:
            query["one"] = done.threads[0]
    here = form.get("here", "")
    path = f"/inbox/{here}" if stay and here.isalnum() and here.isascii() else "/inbox"
    return RedirectResponse(f"{path}?{urlencode({key: value for key, value in query.items() if value})}", 303)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise Refused(501, "5.5.4", f"{text[:20]!r} is no day; write it as 2026-12-31") from None


def _amount(text: str) -> str:
    """A decimal as people write it, `1.200,50` or `1200.50`; "" stays."""
    plain = "".join(text.split())
    if "," in plain:
        plain = plain.replace(".", "").replace(",", ".")
    try:
        return str(Decimal(plain)) if plain else ""
    except InvalidOperation:
        raise Refused(501, "5.5.4", f"{text[:20]!r} is no amount; write 1200.50") from None

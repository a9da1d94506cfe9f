"""A clerk answers on a page: the form with recipients, quote and canned answers filled in, sending, and taking it back.

What is sent, to whom and when is `gateway.inbox.replying`'s; a draft that was taken back fills the form again. A thread
that changed since its page was read is said on the form, with what was written still in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.addressing import Addressed, addressed
from gateway.inbox.canning import fill_canned, language_for
from gateway.inbox.correcting import correct
from gateway.inbox.reading import read_thread
from gateway.inbox.replying import Reply, reply, take_back
from gateway.inbox.views import ThreadView
from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.outbound.submission import Door
from gateway.store.canned import Canned, list_canned
from gateway.store.database import Transaction
from gateway.store.drafts import get_draft
from gateway.store.presence import ANSWERING, be_present
from gateway.web.pages import render
from gateway.web.site import Visit, need_change, need_visit, need_workshop, site_of

router = APIRouter()
Looking = Annotated[Visit, Depends(need_visit)]
Form = Annotated[dict[str, str], Depends(need_change)]
HOW = ("one", "all", "forward")  # whom an answer is for


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The form before it is filled: the thread, whom the mail named, what was written before, canned answers."""

    found: ThreadView
    named: Addressed
    draft: Mapping[str, Any]
    canned: tuple[Canned, ...]
    said: str


def _lay(tx: Transaction, door: Door, visit: Visit, thread_id: str, message_id: str, how: str, canned: str) -> _Sheet:
    """Raises Refused 404 for what is not the tenant's."""
    tenant_id = visit.tenant.id
    found = read_thread(tx, tenant_id, thread_id)
    if found is None:
        raise Refused(404, "5.1.1", "there is no such thread")
    language = language_for(tx, tenant_id, found.thread)
    named = addressed(
        tx, door.letterhead, tenant_id, found.thread, message_id,
        everyone=how == "all", forward=how == "forward", language=language,
    )  # fmt: skip
    said = fill_canned(tx, tenant_id, canned, thread_id) if canned else ""
    draft = get_draft(tx, tenant_id, thread_id, visit.session.user.id) or {}
    return _Sheet(found, named, draft, tuple(list_canned(tx, tenant_id, language)), said)


@router.get("/inbox/{thread_id}/reply")
async def write(
    request: Request, visit: Looking, thread_id: str, message: str = "", how: str = "one", canned: str = ""
) -> Response:
    """The form of an answer to a mail of the thread, to all whom it named, or to somebody else."""
    if not visit.may_change:
        raise HTTPException(403, "role")
    site, how = site_of(request), how if how in HOW else "one"
    door = need_workshop(request).door
    try:
        sheet = await site.database.read(_lay, door, visit, thread_id, message, how, canned)
    except Refused:
        raise HTTPException(404) from None
    await site.database.write(be_present, site.clock(), visit.tenant.id, thread_id, visit.session.user.id, ANSWERING)
    draft = {} if canned else sheet.draft
    filled = {
        "to": ", ".join(draft.get("to") or [str(one.address) for one in sheet.named.to]),
        "cc": ", ".join(draft.get("cc") or [str(one.address) for one in sheet.named.cc]),
        "subject": draft.get("subject") or sheet.named.subject,
        "text": sheet.said or draft.get("text", ""),
        "seen": sheet.found.seen,
        "message": sheet.named.message_id,
    }
    return render(request, "reply.html", sheet=sheet, filled=filled, how=how, wrong="", changed=False)


@router.post("/inbox/{thread_id}/reply")
async def send(request: Request, visit: Looking, form: Form, thread_id: str) -> Response:
    """Queue the answer; it leaves in ten seconds, until when it may be taken back."""
    site, door, how = site_of(request), need_workshop(request).door, form.get("how", "one")
    wanted = Reply(
        tenant_id=visit.tenant.id, thread_id=thread_id, by=visit.session.user.email, user_id=visit.session.user.id,
        message_id=form.get("message", ""), everyone=how == "all", forward=how == "forward",
        to=_addresses(form.get("to", "")), cc=_addresses(form.get("cc", "")), subject=form.get("subject", ""),
        text=form.get("text", ""), seen=form.get("seen", ""), anyway=form.get("anyway") == "1",
        then=form.get("then", ""),
    )  # fmt: skip
    try:
        sent = await reply(door, site.clock(), wanted)
    except Refused as refused:
        if refused.reply.code == 404:
            raise HTTPException(404) from None
        sheet = await site.database.read(_lay, door, visit, thread_id, wanted.message_id, how, "")
        filled = {name: form.get(name, "") for name in ("to", "cc", "subject", "text", "message")}
        filled["seen"] = sheet.found.seen
        changed = refused.reply.code == 409
        return render(request, "reply.html", 409, sheet=sheet, filled=filled, how=how, wrong=refused, changed=changed)
    query = {"sent": sent.message_id, "back": sent.undo}
    return RedirectResponse(f"/inbox/{thread_id}?{urlencode({k: v for k, v in query.items() if v})}", 303)


@router.post("/inbox/{thread_id}/unsend")
async def unsend(request: Request, visit: Looking, form: Form, thread_id: str) -> Response:
    """Take an answer back: its words are in the form again."""
    site, user = site_of(request), visit.session.user
    try:
        await site.database.write(
            take_back, site.clock(), visit.tenant.id, form.get("message", ""), user.email,
            user_id=user.id, undo=form.get("back", ""),
        )  # fmt: skip
    except Refused as refused:
        if refused.reply.code == 404:
            raise HTTPException(404) from None
        return render(request, "refused.html", 409, why=refused)
    return RedirectResponse(f"/inbox/{thread_id}/reply", 303)


@router.post("/inbox/{thread_id}/correct")
async def correct_address(request: Request, visit: Looking, form: Form, thread_id: str) -> Response:
    """A wrong address becomes the right one, and all that it missed goes to that."""
    site, door = site_of(request), need_workshop(request).door
    if await site.database.read(read_thread, visit.tenant.id, thread_id) is None:
        raise HTTPException(404)
    try:
        old, new = parse_address(form.get("old", "").strip()), parse_address(form.get("new", "").strip())
        await correct(door, visit.tenant.id, str(old), str(new), visit.session.user.email, site.clock())
    except Refused as refused:
        if refused.reply.code == 404:
            raise HTTPException(404) from None
        return render(request, "refused.html", 409, why=refused)
    return RedirectResponse(f"/inbox/{thread_id}?did=correct", 303)


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.replace(";", ",").split(",") if one.strip())

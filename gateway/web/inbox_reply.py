"""A clerk answers on a page: the form with recipients, quote and canned answers filled in, sending, and taking it back.

What is sent, to whom and when is `gateway.inbox.replying`'s; a draft that was taken back fills the form again. A thread
that changed since its page was read is said on the form, with what was written still in it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.addressing import Addressed, addressed
from gateway.inbox.attaching import MOST_FILES, attach, most_bytes
from gateway.inbox.canning import fill_canned, language_for
from gateway.inbox.correcting import correct
from gateway.inbox.reading import read_attachments, read_thread
from gateway.inbox.replying import Reply, reply, signature, take_back
from gateway.inbox.views import ThreadView
from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.outbound.submission import Door
from gateway.store.canned import Canned, list_canned
from gateway.store.database import Transaction
from gateway.store.drafts import get_draft
from gateway.store.messages import get_message
from gateway.store.presence import ANSWERING, be_present
from gateway.web.answer_form import AnswerForm, TooLarge, read_answer
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
    signed: tuple[str, ...]
    kept: tuple[tuple[str, str, int], ...]  # files that go with it: "message:number", name, size
    most_bytes: int
    most_files: int = MOST_FILES


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a form is laid for."""

    thread_id: str
    message_id: str
    how: str
    canned: str = ""
    kept: tuple[str, ...] = ()


def _lay(tx: Transaction, door: Door, visit: Visit, asked: _Asked) -> _Sheet:
    """Raises Refused 404 for what is not the tenant's."""
    tenant_id, thread_id, user = visit.tenant.id, asked.thread_id, visit.session.user
    found = read_thread(tx, tenant_id, thread_id)
    if found is None:
        raise Refused(404, "5.1.1", "there is no such thread")
    language = language_for(tx, tenant_id, found.thread)
    named = addressed(
        tx, door.letterhead, tenant_id, found.thread, asked.message_id,
        everyone=asked.how == "all", forward=asked.how == "forward", language=language,
    )  # fmt: skip
    said = fill_canned(tx, tenant_id, asked.canned, thread_id) if asked.canned else ""
    draft = get_draft(tx, tenant_id, thread_id, user.id) or {}
    files = asked.kept or tuple(f"{one[0]}:{one[1]}" for one in draft.get("files_of", ()))
    kept = tuple(one for file in files if (one := _kept(tx, tenant_id, thread_id, file)))
    signed = signature(tx, tenant_id, user.id, language)
    canned = tuple(list_canned(tx, tenant_id, language))
    return _Sheet(found, named, draft, canned, said, signed, kept, most_bytes(door))


def _kept(tx: Transaction, tenant_id: str, thread_id: str, file: str) -> tuple[str, str, int] | None:
    """A file of a mail of the thread, as the form names it."""
    message_id, number = _file(file)
    made = get_message(tx, tenant_id, message_id)
    if made is None or made.thread_id != thread_id:
        return None
    noted = next((one for one in read_attachments(made) if one.number == number), None)
    return (f"{message_id}:{number}", noted.filename, noted.size) if noted else None


def _file(text: str) -> tuple[str, int]:
    message_id, _, number = text.partition(":")
    return message_id, int(number) if number.isdecimal() and len(number) < 5 else 0


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
        sheet = await site.database.read(_lay, door, visit, _Asked(thread_id, message, how, canned))
    except Refused:
        raise HTTPException(404) from None
    await site.database.write(be_present, site.clock(), visit.tenant.id, thread_id, visit.session.user.id, ANSWERING)
    draft = {} if canned else sheet.draft
    filled = {
        "to": ", ".join(draft.get("to") or [str(one.address) for one in sheet.named.to]),
        "cc": ", ".join(draft.get("cc") or [str(one.address) for one in sheet.named.cc]),
        "subject": draft.get("subject") or sheet.named.subject,
        "text": sheet.said or draft.get("text", ""),
        "then": "",
        "seen": sheet.found.seen,
        "message": sheet.named.message_id,
    }
    return render(request, "reply.html", sheet=sheet, filled=filled, how=how, wrong="", changed=False, lost=())


@router.post("/inbox/{thread_id}/reply")
async def send(request: Request, visit: Looking, thread_id: str) -> Response:
    """Queue the answer with its files; it leaves in ten seconds, until when it may be taken back."""
    site, door = site_of(request), need_workshop(request).door
    try:
        form = await read_answer(request, visit, most_bytes(door))
    except TooLarge:
        return render(request, "too_large.html", 413, most=most_bytes(door))
    try:
        async with site.attaching:
            wanted = replace(_wanted(visit, thread_id, form), files=await asyncio.to_thread(attach, await form.read()))
            sent = await reply(door, site.clock(), wanted)
    except Refused as refused:
        return await _again(request, visit, thread_id, form, refused)
    query = {"sent": sent.message_id, "back": sent.undo}
    to = f"/inbox/{thread_id}?{urlencode({k: v for k, v in query.items() if v})}"
    if "hx-request" in request.headers:  # the form was sent by htmx, to show how far the files are
        return Response(headers={"hx-redirect": to})
    return RedirectResponse(to, 303)


def _wanted(visit: Visit, thread_id: str, form: AnswerForm) -> Reply:
    said, how = form.fields, form.fields.get("how", "one")
    return Reply(
        tenant_id=visit.tenant.id, thread_id=thread_id, by=visit.session.user.email, user_id=visit.session.user.id,
        message_id=said.get("message", ""), everyone=how == "all", forward=how == "forward",
        to=_addresses(said.get("to", "")), cc=_addresses(said.get("cc", "")), subject=said.get("subject", ""),
        text=said.get("text", ""), seen=said.get("seen", ""), anyway=said.get("anyway") == "1",
        then=said.get("then", ""), files_of=tuple(_file(one) for one in form.kept),
    )  # fmt: skip


async def _again(request: Request, visit: Visit, thread_id: str, form: AnswerForm, refused: Refused) -> Response:
    """The form with all that was written, and why it did not go; a browser gives files only once: they are named."""
    if refused.reply.code == 404:
        raise HTTPException(404)
    how = form.fields.get("how", "one")
    asked = _Asked(thread_id, form.fields.get("message", ""), how if how in HOW else "one", kept=form.kept)
    try:
        sheet = await site_of(request).database.read(_lay, need_workshop(request).door, visit, asked)
    except Refused:
        raise HTTPException(404) from None
    filled = {name: form.fields.get(name, "") for name in ("to", "cc", "subject", "text", "message", "then")}
    filled["seen"] = sheet.found.seen
    return render(
        request, "reply.html", 409, sheet=sheet, filled=filled, how=asked.how, wrong=refused,
        changed=refused.reply.code == 409, lost=tuple(one.filename for one in form.files),
    )  # fmt: skip


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
    draft = await site.database.read(get_draft, visit.tenant.id, thread_id, user.id) or {}
    return RedirectResponse(f"/inbox/{thread_id}/reply{'?how=forward' * bool(draft.get('forward'))}", 303)


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

"""Documents on pages: the list with its two icons, a document with its mail, sending by hand with a preview, the PDF.

What is shown is `gateway.inbox.documents`', what is sent `gateway.inbox.sending`'s. The form is a page; with htmx it
opens over the list. After sending, the page that it was opened from is shown, with ten seconds to take the mail
back. A document that is not the tenant's is not found.
"""

import re
import secrets
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import escape

from gateway.inbox.documents import STATES, Filter, list_documents, read_document
from gateway.inbox.sending import Sending, Sheet, lay_out, look_ahead, note_sent, send_document, take_back
from gateway.inbox.timeline import timeline
from gateway.mail.reply import Refused
from gateway.outbound.document_pdf import find_pdf
from gateway.outbound.request_preview import drawn
from gateway.store.messages import get_message
from gateway.store.reminders import pause_reminders, resume_reminders
from gateway.web import document_words
from gateway.web.files import download
from gateway.web.pages import render, say
from gateway.web.safety import MAIL_POLICY, PICTURE_POLICY
from gateway.web.settings.template_names import NAMES
from gateway.web.site import Visit, need_change, need_visit, need_workshop, own_path, site_of

router = APIRouter()
Looking = Annotated[Visit, Depends(need_visit)]
Form = Annotated[dict[str, str], Depends(need_change)]
_OWN = ("sent", "did")  # what a page's address says of what was just done
# what a mail client decides by its own mode is light here, as the page around it may be
_BODY = re.compile(r"<body[^>]*>")
_DARK = re.compile(r"@media\s*\(prefers-color-scheme:\s*dark\)")


@router.get("/documents")
async def show_list(
    request: Request, visit: Looking, state: str = "", type: str = "", customer: str = "", q: str = "",
    cursor: str = "", did: str = "", sent: str = "",
) -> Response:  # fmt: skip
    """A page of documents; `did` and `sent` tell of what was just done."""
    site = site_of(request)
    wanted = Filter(state if state in STATES else "", type[:20], customer[:200], q.strip()[:200])
    page = await site.database.read(list_documents, visit.tenant.id, wanted, _today(request, visit), after=cursor[:400])
    asked = {"state": wanted.state, "type": wanted.type, "customer": wanted.customer, "q": wanted.words}
    return render(
        request, "documents.html", page=page, wanted=wanted, first=not cursor, said=document_words, did=did,
        query=urlencode({name: value for name, value in asked.items() if value}),
        sent=await _sent(request, visit, sent),
    )  # fmt: skip


def _today(request: Request, visit: Visit) -> Any:
    return site_of(request).clock().astimezone(visit.reader.zone).date()


async def _sent(request: Request, visit: Visit, message_id: str) -> Any:
    """The mail that was just sent."""
    if not message_id:
        return None
    return await site_of(request).database.read(get_message, visit.tenant.id, message_id[:20])


# -- sending


@router.get("/documents/send")
async def show_form(request: Request, visit: Looking, document: str = "", back: str = "") -> Response:
    """The form, filled with what is stored on the document: a page, or what opens over one."""
    if not visit.may_change:
        raise HTTPException(403, "role")
    name, site = _name(document), site_of(request)
    try:
        sheet = await lay_out(need_workshop(request).door, visit.tenant.id, name, site.clock())
    except Refused as refused:
        return _refused(request, refused)
    filled = {
        "to": ", ".join(sheet.to), "cc": ", ".join(sheet.cc), "bcc": ", ".join(sheet.bcc), "template": sheet.template,
        "language": sheet.language, "personal": "", "key": secrets.token_urlsafe(16),
    }  # fmt: skip
    return _form(request, sheet, filled, own_path(back) if back else _path(*name))


def _form(request: Request, sheet: Sheet, filled: dict[str, str], back: str, wrong: str = "") -> Response:
    over = "hx-request" in request.headers
    return render(
        request, "document_sheet.html" if over else "document_send.html", 409 if wrong else 200, sheet=sheet,
        filled=filled, back=back, wrong=wrong, names=NAMES, said=document_words, over=over,
        seen=urlencode({"document": sheet.line.name, "template": filled["template"], "language": filled["language"]}),
    )  # fmt: skip


def _refused(request: Request, refused: Refused) -> Response:
    """The page of a refusal, in the reader's language; what is not the tenant's is not found."""
    if refused.reply.code == 404:
        raise HTTPException(404) from None
    return render(
        request, "document_refused.html", 409, why=say(request, refused), over="hx-request" in request.headers
    )


@router.post("/documents/send")
async def send(request: Request, visit: Looking, form: Form) -> Response:
    """Queue the mail; it leaves in ten seconds, until when it may be taken back."""
    site, door, wanted = site_of(request), need_workshop(request).door, _wanted(visit, form)
    back = own_path(form.get("back", "") or _path(*wanted.name))
    try:
        sent = await send_document(door, wanted, site.clock())
    except Refused as refused:
        if refused.reply.code == 404:
            raise HTTPException(404) from None
        try:
            sheet = await lay_out(door, visit.tenant.id, wanted.name, site.clock())
        except Refused:  # it cannot be sent at all
            return _refused(request, refused)
        names = ("to", "cc", "bcc", "template", "language", "personal", "key")
        return _form(request, sheet, {name: form.get(name, "") for name in names}, back, say(request, refused))
    return _to(back, sent=sent.message_id, did="again" if sent.again else "sent")


def _wanted(visit: Visit, form: dict[str, str]) -> Sending:
    return Sending(
        tenant_id=visit.tenant.id, by=visit.session.user.email, name=_name(form.get("document", "")),
        to=_addresses(form.get("to", "")), cc=_addresses(form.get("cc", "")), bcc=_addresses(form.get("bcc", "")),
        template=form.get("template", ""), language=form.get("language", ""),
        personal=form.get("personal", "").replace("\r\n", "\n"), key=form.get("key", "")[:60],
    )  # fmt: skip


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.replace(";", ",").split(",") if one.strip())


def _name(text: str) -> tuple[str, str]:
    """(type, id) of `type/id`. Raises HTTPException 404: there is no document of another name."""
    type, _, document_id = text.partition("/")
    if not type or not document_id:
        raise HTTPException(404)
    return type, document_id


def _path(type: str, document_id: str) -> str:
    return f"/documents/{quote(type, safe='')}/{quote(document_id, safe='')}"


def _to(back: str, **said: str) -> Response:
    """To a page of ours that says what was done."""
    parts = urlsplit(own_path(back))
    query = {name: value for name, value in parse_qsl(parts.query) if name not in _OWN} | said
    return RedirectResponse(f"{parts.path}?{urlencode(query)}", 303)


@router.get("/documents/preview")
async def show_preview(
    request: Request, visit: Looking, document: str = "", template: str = "", language: str = ""
) -> Response:
    """The mail as it would be, for the sandboxed frame of the form."""
    said = {"document": document, "template": template, "language": language}
    return await _preview(request, visit, said)


@router.post("/documents/preview")
async def try_out(request: Request, visit: Looking, form: Form) -> Response:
    """The same with what the form says; nothing is kept or sent."""
    return await _preview(request, visit, form)


async def _preview(request: Request, visit: Visit, form: dict[str, str]) -> Response:
    workshop, wanted = need_workshop(request), _wanted(visit, form)
    try:
        seen = await look_ahead(workshop.door, workshop.run, wanted, site_of(request).clock())
    except Refused as refused:
        if refused.reply.text.startswith("there is no document"):
            raise HTTPException(404) from None
        page, policy = f"<p>{escape(say(request, refused))}</p>", MAIL_POLICY
        page = f'<!doctype html><meta charset="utf-8"><body style="font-family:sans-serif;margin:12px">{page}'
    else:
        subject = f'<p style="margin:0;padding:10px 14px;font:600 14px sans-serif">{escape(seen.subject)}</p>'
        page = _BODY.sub(lambda body: body[0] + subject, _DARK.sub("@media not all", seen.page), count=1)
        policy = PICTURE_POLICY
    return Response(page, media_type="text/html; charset=utf-8", headers={"content-security-policy": policy})


@router.post("/documents/unsend")
async def unsend(request: Request, visit: Looking, form: Form) -> Response:
    """Take a mail back that has not left."""
    site = site_of(request)
    try:
        name = await site.database.write(
            take_back, site.clock(), visit.tenant.id, form.get("message", ""), visit.session.user.email
        )
    except Refused as refused:
        return _refused(request, refused)
    return _to(form.get("back", "") or _path(*name), did="back")


@router.post("/documents/act")
async def act(request: Request, visit: Looking, form: Form) -> Response:
    """Note that it was sent another way; turn its reminders off, and on again."""
    site, name, action = site_of(request), _name(form.get("document", "")), form.get("action", "")
    whose = (site.clock(), visit.tenant.id, name)
    by = visit.session.user.email
    try:
        if action == "sent":
            await site.database.write(note_sent, *whose, by)
        elif action == "pause":
            await site.database.write(pause_reminders, *whose, form.get("why", ""), by)
        else:
            await site.database.write(resume_reminders, *whose, by)
    except Refused as refused:
        if "there is no document" in refused.reply.text:
            raise HTTPException(404) from None
        return _refused(request, refused)
    return _to(_path(*name), did={"sent": "noted", "pause": "paused"}.get(action, "resumed"))


# -- one document


@router.get("/documents/{type}/{name:path}")
async def show_one(request: Request, visit: Looking, type: str, name: str, did: str = "", sent: str = "") -> Response:
    """A document with its mail and what happened; below `….pdf` its PDF."""
    found = await site_of(request).database.read(read_document, visit.tenant.id, type, name, _today(request, visit))
    if found is None and name.endswith(".pdf"):
        return await _pdf(request, visit, type, name.removesuffix(".pdf"))
    if found is None:
        raise HTTPException(404)
    return render(
        request, "document.html", found=found, said=document_words, did=did, names=NAMES,
        lines=timeline(found.thread) if found.thread else (), sent=await _sent(request, visit, sent),
    )  # fmt: skip


async def _pdf(request: Request, visit: Visit, type: str, document_id: str) -> Response:
    """A document's PDF, byte for byte the one that was mailed (S5), else the one that would be."""
    workshop = site_of(request).workshop
    try:
        found = await site_of(request).database.read(find_pdf, visit.tenant, type, document_id)
        if found.to_draw is not None and workshop is None:
            raise HTTPException(503)
        data = found.data if workshop is None else await drawn(workshop.run, found)
    except Refused as refused:
        if refused.reply.enhanced == "5.1.1":
            raise HTTPException(404) from None
        return _refused(request, refused)
    return download(data, found.filename or f"{document_id}.pdf", "application/pdf")

"""E-mails: templates with their switches, their texts in three languages, previews and a test mail.

A preview is a document of its own in a sandboxed frame, with the policy of foreign mail; a form that is not saved yet
is posted into that frame, so nobody needs a script to see what they write.
"""

import re
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from markupsafe import escape

from gateway.mail.reply import Refused
from gateway.outbound.texts import LANGUAGES, templates
from gateway.settings import templates as texts
from gateway.store.template_settings import change_setting
from gateway.web.files import download_headers
from gateway.web.pages import say
from gateway.web.safety import MAIL_POLICY, PICTURE_POLICY
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.settings.template_names import NAMES, PARTS, WHEN
from gateway.web.site import Visit, need_workshop, site_of

router = APIRouter()
HOME = "/settings/templates"
LOOKS = ("desktop", "phone", "dark", "text")
_DARK = re.compile(r"@media\s*\(prefers-color-scheme:\s*dark\)")


@router.get("/settings")
async def start(visit: Looking) -> Response:
    """The first page of the settings."""
    return again(HOME, "")


@router.get("/settings/templates")
async def show_templates(request: Request, visit: Looking) -> Response:
    """All templates: on or off, with PDF or not, whose texts."""
    found = await site_of(request).database.read(texts.list_templates, visit.tenant.id)
    return show(request, "templates", found=found, names=NAMES, when=WHEN, able=_able())


def _able() -> set[str]:
    """Templates about a document that has a PDF."""
    without = ("payment_plan", "subscription")
    return {key for key, one in templates().items() if one.fits[0] not in without}


@router.post("/settings/templates")
async def switch(request: Request, visit: Looking, form: Form) -> Response:
    """On or off; with the PDF or without (S36)."""
    key = _need(form.get("template", ""))
    changes: dict[str, Any] = {"enabled": form.get("enabled") == "on"}
    if key in _able():
        changes["attach_pdf"] = form.get("attach_pdf") == "on"
    await site_of(request).database.write(change_setting, visit.tenant.id, key, "", changes)
    return again(HOME)


def _need(key: str) -> str:
    if key not in templates():
        raise HTTPException(404)
    return key


def _language(visit: Visit, code: str) -> str:
    return code if code in LANGUAGES else visit.tenant.language


@router.get("/settings/templates/{key}")
async def edit(request: Request, visit: Looking, key: str, language: str = "") -> Response:
    """A template's texts in one language."""
    return await _page(request, visit, key, language)


async def _page(
    request: Request, visit: Visit, key: str, language: str, *, said: dict[str, str] | None = None,
    problem: Refused | None = None, warnings: Any = (),
) -> Response:  # fmt: skip
    code = _language(visit, language)
    found = await site_of(request).database.read(texts.read_texts, visit.tenant, _need(key), code)
    values = {part.name: (said or {}).get(part.name) or part.own or part.ours for part in found.parts}
    return show(
        request, "template", found=found, values=values, names=NAMES, parts=PARTS, when=WHEN, looks=LOOKS,
        variables=texts.variables(found), warnings=warnings, problem=problem, able=_able(),
    )  # fmt: skip


@router.post("/settings/templates/{key}")
async def change(request: Request, visit: Looking, form: Form, key: str) -> Response:
    """Keep what the form says, go back to the product's texts, or mail a test to whoever asks."""
    workshop, site = need_workshop(request), site_of(request)
    code = _language(visit, form.get("language", ""))
    found = await site.database.read(texts.read_texts, visit.tenant, _need(key), code)
    here, action = f"{HOME}/{key}?language={code}", form.get("action", "save")
    if action == "default":
        await texts.keep(workshop, visit.tenant.id, found, dict.fromkeys((part.name for part in found.parts), ""))
        return again(here, "default")
    said = texts.read_parts(found, form)
    try:
        warnings = await texts.keep(workshop, visit.tenant.id, found, said)
        if action == "test":
            kept = await site.database.read(texts.read_texts, visit.tenant, key, code)
            await texts.send_test(workshop, visit.tenant, kept, visit.session.user.email, site.clock())
            return again(here, "sent")
    except Refused as refused:
        return await _page(request, visit, key, code, said=said, problem=refused)
    return await _page(request, visit, key, code, warnings=warnings) if warnings else again(here)


@router.get("/settings/templates/{key}/mail")
async def see(request: Request, visit: Looking, key: str, language: str = "", look: str = "desktop") -> Response:
    """The mail about a sample, as it is kept."""
    found = await site_of(request).database.read(
        texts.read_texts, visit.tenant, _need(key), _language(visit, language)
    )  # fmt: skip
    return await _preview(request, visit, found, found.all[found.code], look)


@router.post("/settings/templates/{key}/mail")
async def try_out(request: Request, visit: Looking, form: Form, key: str) -> Response:
    """The same with the texts of the form; nothing is kept."""
    code = _language(visit, form.get("language", ""))
    found = await site_of(request).database.read(texts.read_texts, visit.tenant, _need(key), code)
    said = texts.read_parts(found, form)
    return await _preview(request, visit, found, said, form.get("look", "desktop"))


async def _preview(request: Request, visit: Visit, found: texts.Texts, said: Any, look: str) -> Response:
    try:
        rendered = await texts.preview(need_workshop(request), found, said)
    except Refused as refused:
        return _framed(f"<p>{escape(say(request, refused))}</p>", MAIL_POLICY)
    subject = f'<title>{escape(rendered.subject)}</title><p style="font:600 14px sans-serif">{escape(rendered.subject)}'
    if look == "text":
        return _framed(f'{subject}<pre style="white-space:pre-wrap">{escape(rendered.text)}</pre>', MAIL_POLICY)
    # what a mail client decides by its own mode is decided here by what is asked for
    page = _DARK.sub("@media all" if look == "dark" else "@media not all", texts.page_of(rendered))
    return Response(page, media_type="text/html; charset=utf-8", headers={"content-security-policy": PICTURE_POLICY})


def _framed(body: str, policy: str) -> Response:
    page = f'<!doctype html><meta charset="utf-8"><body style="font-family:sans-serif;margin:12px">{body}'
    return Response(page, media_type="text/html; charset=utf-8", headers={"content-security-policy": policy})


@router.get("/settings/templates/{key}/mail.pdf")
async def see_pdf(request: Request, visit: Looking, key: str, language: str = "") -> Response:
    """The PDF that goes with the mail about a sample."""
    code = _language(visit, language)
    found = await site_of(request).database.read(texts.read_texts, visit.tenant, _need(key), code)
    try:
        rendered = await texts.preview(need_workshop(request), found, found.all[code], draw=True)
    except Refused as refused:  # an e-invoice that lacks something of the company's, say
        return _framed(f"<p>{escape(say(request, refused))}</p>", MAIL_POLICY)
    pdf = next((one for one in rendered.attachments if one.media_type == "application/pdf"), None)
    if pdf is None:
        raise HTTPException(404)
    return Response(pdf.data, media_type="application/pdf", headers=download_headers(pdf.filename))

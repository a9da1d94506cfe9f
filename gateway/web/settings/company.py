"""The company as its customers see it: name, contact address, numbers, language, colour and logo."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.mail.reply import Refused
from gateway.store.assets import MAX_BYTES, get_logo, put_logo, remove_logo
from gateway.store.database import to_ms
from gateway.store.settings import REPLY_SIGNATURE
from gateway.store.tenants import set_tenant
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.settings.uploads import read_upload
from gateway.web.site import Visit, site_of
from gateway.web.translation import LANGUAGES

router = APIRouter()
HOME = "/settings/company"
BRAND = ("colour", "phone", "address", "idno", "vat", "country")
ZONES = ("Europe/Chisinau", "Europe/Bucharest", "Europe/Kyiv", "Europe/Moscow", "Europe/London", "UTC")


@router.get("/settings/company")
async def show_company(request: Request, visit: Looking) -> Response:
    """What mails and PDFs show of the company."""
    return await _page(request, visit)


async def _page(
    request: Request, visit: Visit, problem: Refused | None = None, typed: dict[str, str] | None = None
) -> Response:
    logo = await site_of(request).database.read(get_logo, visit.tenant.id)
    tenant = visit.tenant
    kept = {name: str(tenant.brand.get(name, "")) for name in BRAND}
    kept |= {"company": tenant.company, "contact_email": tenant.contact_email, "language": tenant.language}
    kept |= {"timezone": tenant.timezone, "einvoice": str(tenant.options.get("einvoice", ""))}
    kept["reply_signature"] = "" if tenant.options.get(REPLY_SIGNATURE) == "off" else "on"
    values = kept | {name: text for name, text in (typed or {}).items() if name in kept}
    return show(request, "company", values=values, zones=ZONES, has_logo=logo is not None, problem=problem)


@router.post("/settings/company")
async def change(request: Request, visit: Looking, form: Form) -> Response:
    """Change it; from the next message on."""
    values = {name: form.get(name, "").strip() for name in ("company", "contact_email", "timezone")}
    language = form.get("language", "")
    if language not in LANGUAGES:
        raise HTTPException(400)
    brand = {name: form.get(name, "").strip() for name in BRAND}
    einvoice = "factur-x" if form.get("einvoice") else None
    options = {"einvoice": einvoice, REPLY_SIGNATURE: None if form.get(REPLY_SIGNATURE) else "off"}
    try:
        await site_of(request).database.write(
            set_tenant, visit.tenant.id, **values, language=language, brand=brand, options=options
        )
    except Refused as refused:
        return await _page(request, visit, refused, form)
    return again(HOME)


@router.post("/settings/company/logo")
async def change_logo(request: Request, visit: Looking) -> Response:
    """Another logo."""
    upload, site = await read_upload(request, visit, MAX_BYTES + 100_000), site_of(request)
    try:
        await site.database.write(put_logo, to_ms(site.clock()), visit.tenant.id, upload.content)
    except Refused as refused:
        return await _page(request, visit, refused)
    return again(HOME)


@router.post("/settings/company/logo/remove")
async def drop_logo(request: Request, visit: Looking, form: Form) -> Response:
    """The company's name in its place again."""
    await site_of(request).database.write(remove_logo, visit.tenant.id)
    return again(HOME, "removed")


@router.get("/settings/company/logo")
async def see_logo(request: Request, visit: Looking) -> Response:
    """The picture, for the page."""
    logo = await site_of(request).database.read(get_logo, visit.tenant.id)
    if logo is None:
        raise HTTPException(404)
    kind = "image/png" if logo.startswith(b"\x89PNG") else "image/jpeg"  # no other is kept
    return Response(logo, media_type=kind)

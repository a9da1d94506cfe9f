"""Where a customer turns reminders off, and on again: the page behind List-Unsubscribe and the link in a mail's footer.

No login: the token in the address is the proof. Looking changes nothing, since scanners follow links; a POST does, at
once, without cookies, redirects or questions (RFC 8058 §3.2), whether a mail program sent it (One-Click, as a form of
either kind) or a person pressed the button. A wrong token is not found and says nothing. Changes are few per link and
per address; a body is small and quick, or refused.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import FormData, Headers
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from gateway.mail.preferences import ONE_CLICK, read_preferences_token
from gateway.outbound.queue import cancel
from gateway.store.database import Transaction, to_ms
from gateway.store.messages import list_messages
from gateway.store.preferences import (
    BY_ONE_CLICK,
    ON_THE_PAGE,
    customer_of_thread,
    resume_reminders,
    stop_reminders,
)
from gateway.store.tenants import get_tenant
from gateway.web.pages import environment
from gateway.web.site import site_of
from gateway.web.translation import LANGUAGES

router = APIRouter()
BODY_LIMIT = 4096  # bytes: a pair of words, in either kind of form
BODY_TIME = 15.0  # seconds for it to arrive
STOP, RESUME = "stop", "resume"


@dataclass(frozen=True)
class _Wish:
    """What the holder of a link sees: whose reminders they are, and whether they are off."""

    tenant_id: str
    thread_id: str
    company: str
    language: str
    off: bool


@router.get("/preferences/{token}")
async def show(request: Request, token: str) -> Response:
    """The page. Changes nothing."""
    return _page(await _need(request, token), "")


@router.post("/preferences/{token}")
async def change(request: Request, token: str) -> Response:
    """Turn reminders off, or on again. Raises HTTPException 400, 404, 408, 413 or 415."""
    site, wish = site_of(request), await _need(request, token)
    form = await _read(request)
    one_click = form.get(ONE_CLICK[0]) == ONE_CLICK[1]
    wanted = STOP if one_click else form.get("reminders")
    if wanted not in (STOP, RESUME):
        raise HTTPException(400)
    if (wanted == STOP) != wish.off:
        address = request.client.host if request.client else ""
        if wait := site.wishes.take(address, token, site.clock()):
            page = _page(wish, "often", 429)
            page.headers["retry-after"] = str(wait)
            return page
        how = BY_ONE_CLICK if one_click else ON_THE_PAGE
        await site.database.write(_change, to_ms(site.clock()), wish, wanted, how)
    return _page(await _need(request, token), wanted)


def _change(tx: Transaction, now_ms: int, wish: _Wish, wanted: str, how: str) -> None:
    if wanted == STOP:
        stop_reminders(tx, now_ms, wish.tenant_id, wish.thread_id, how, cancel)
    else:
        resume_reminders(tx, now_ms, wish.tenant_id, wish.thread_id, how)


async def _need(request: Request, token: str) -> _Wish:
    """What a token stands for. Raises HTTPException 404, without a look into the database for one that is forged."""
    site = site_of(request)
    tenant_id, thread_id = read_preferences_token(site.preferences_key, token)
    wish = await site.database.read(_find, tenant_id, thread_id) if tenant_id else None
    if wish is None:
        raise HTTPException(404)
    return wish


def _find(tx: Transaction, tenant_id: str, thread_id: str) -> _Wish | None:
    tenant, customer = get_tenant(tx, tenant_id), customer_of_thread(tx, tenant_id, thread_id)
    if tenant is None or customer is None:
        return None
    sent = [one.language for one in list_messages(tx, tenant_id, thread_id) if one.direction == "out"]
    spoken = (*reversed(sent), customer.language, tenant.language)  # that of the mail which they hold, most likely
    language = next((one for one in spoken if one in LANGUAGES), "ro")
    return _Wish(tenant_id, thread_id, tenant.company, language, customer.opted_out_at is not None)


async def _read(request: Request) -> FormData:
    """The form of a POST: RFC 8058 §3.1 asks for multipart/form-data and allows the usual kind."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise HTTPException(415)
    body = await _body(request)

    async def stream() -> AsyncIterator[bytes]:
        yield body
        yield b""

    headers = Headers({"content-type": request.headers["content-type"]})
    try:
        if kind == "multipart/form-data":
            return await MultiPartParser(headers, stream(), max_files=0, max_fields=10).parse()  # type: ignore[arg-type]
        return await FormParser(headers, stream(), max_fields=10).parse()  # type: ignore[arg-type]
    except (MultiPartException, KeyError, ValueError, LookupError):
        raise HTTPException(400) from None


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIME):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408) from None
    return bytes(body)


def _page(wish: _Wish, done: str, code: int = 200) -> HTMLResponse:
    """The page in the language of the customer's mail: no cookie, no link that leaves it."""
    template = environment(wish.language).get_template("preferences.html")
    html = template.render(language=wish.language, company=wish.company, off=wish.off, done=done)
    return HTMLResponse(html, code, {"referrer-policy": "no-referrer", "x-robots-tag": "noindex"})

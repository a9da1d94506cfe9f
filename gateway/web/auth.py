"""Logging in and out, and the language of the pages.

The answer to an unknown e-mail and to a wrong password is one and the same, in words and in time (argon2id is computed
for both, off the event loop, two at once). Tries are limited per address and per e-mail. A login is always a new
session; the one before it ends.
"""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.store.database import Transaction
from gateway.store.tenants import verify_password
from gateway.store.users import SESSION_TIME, User, end_session, find_user, set_language, start_session
from gateway.web.pages import drop_cookie, render, set_cookie
from gateway.web.site import LANGUAGE_COOKIE, Site, Visit, find_visit, need_form, own_path, site_of
from gateway.web.translation import LANGUAGES

router = APIRouter()
_YEAR = 365 * 24 * 3600
_PASSWORD_LIMIT = 1000  # characters


@router.get("/login")
async def show_login(request: Request, next: str = "/inbox") -> Response:
    """The page to log in."""
    if await find_visit(request):
        return RedirectResponse(own_path(next), 303)
    return render(request, "login.html", wanted=own_path(next), email="", problem="", minutes=0)


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Log in, or say that it is not right."""
    site = site_of(request)
    try:
        form = await need_form(request)
    except HTTPException as error:
        if error.detail != "form":
            raise
        return render(request, "login.html", 403, wanted="/inbox", email="", problem="stale", minutes=0)
    email, password = form.get("email", "").strip()[:320], form.get("password", "")[:_PASSWORD_LIMIT]
    wanted = own_path(form.get("next", "/inbox"))
    address = request.client.host if request.client else ""
    wait = site.limits.take(address, email, site.clock())
    if wait:
        minutes = -(-wait // 60)
        page = render(request, "login.html", 429, wanted=wanted, email=email, problem="often", minutes=minutes)
        page.headers["retry-after"] = str(wait)
        return page
    user = await verify(site, email, password)
    if user is None:
        return render(request, "login.html", 401, wanted=wanted, email=email, problem="wrong", minutes=0)
    site.limits.give_back(address, email)
    old = request.cookies.get(site.session_cookie, "")
    cookie = await site.database.write(_renew, site.clock(), user, old)
    response = RedirectResponse(wanted, 303)
    set_cookie(request, response, site.session_cookie, cookie, int(SESSION_TIME.total_seconds()))
    drop_cookie(request, response, site.form_cookie)
    if user.language:
        set_cookie(request, response, LANGUAGE_COOKIE, user.language, _YEAR)
    return response


async def verify(site: Site, email: str, password: str) -> User | None:
    """The user with this e-mail and password, or None."""
    found = await site.database.read(find_user, email)
    async with site.verifying:
        right = await asyncio.to_thread(verify_password, found[1] if found else "", password)
    return found[0] if found and right else None


def _renew(tx: Transaction, now: datetime, user: User, old: str) -> str:
    if old:
        end_session(tx, old)
    return start_session(tx, now, user)[0]


@router.post("/logout")
async def log_out(request: Request, form: Annotated[dict[str, str], Depends(need_form)]) -> Response:
    """End the session."""
    site = site_of(request)
    cookie = request.cookies.get(site.session_cookie, "")
    if cookie:
        await site.database.write(end_session, cookie)
    response = RedirectResponse("/login", 303)
    drop_cookie(request, response, site.session_cookie)
    return response


@router.post("/language")
async def choose_language(request: Request, form: Annotated[dict[str, str], Depends(need_form)]) -> Response:
    """Show the pages in another language from now on."""
    language = form.get("language", "")
    if language not in LANGUAGES:
        raise HTTPException(400)
    visit: Visit | None = getattr(request.state, "visit", None)
    if visit:
        user = visit.session.user
        await site_of(request).database.write(set_language, user.tenant_id, user.id, language)
    response = RedirectResponse(own_path(form.get("back", "/inbox")), 303)
    set_cookie(request, response, LANGUAGE_COOKIE, language, _YEAR)
    return response

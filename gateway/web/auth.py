"""Logging in and out, and the language of the pages.

The answer to an unknown e-mail and to a wrong password is one and the same, in words and in time (argon2id is computed
for both, off the event loop, two at once). Tries are limited per address and per e-mail. A login is always a new
session (`web.entering`), after a code where somebody has a second step; the one before it ends.
"""

import asyncio
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.store.tenants import verify_password
from gateway.store.users import User, end_session, find_user, set_language
from gateway.web.entering import YEAR, address_of, admit
from gateway.web.oidc.leaving import forget, way_out
from gateway.web.pages import drop_cookie, render, set_cookie
from gateway.web.site import LANGUAGE_COOKIE, Site, Visit, find_visit, need_form, own_path, site_of
from gateway.web.translation import LANGUAGES

log = structlog.get_logger()
router = APIRouter()
PASSWORD_LIMIT = 1000  # characters
OF_A_PROVIDER = ("away", "provider", "unknown", "stale")  # problems that `web.oidc.login` sends here


@router.get("/login")
async def show_login(request: Request, next: str = "/inbox", problem: str = "") -> Response:
    """The page to log in; `problem` is why an identity provider's answer was not taken."""
    if visit := await find_visit(request):
        return RedirectResponse(visit.way_to(own_path(next)), 303)
    return login_page(request, wanted=own_path(next), problem=problem if problem in OF_A_PROVIDER else "")


def login_page(
    request: Request, code: int = 200, *, wanted: str = "/inbox", email: str = "", problem: str = "", minutes: int = 0
) -> Response:
    """The page to log in, saying what was not right."""
    provider = site_of(request).provider
    return render(
        request, "login.html", code, wanted=wanted, email=email, problem=problem, minutes=minutes,
        provider=provider.terms.label if provider else "",
    )  # fmt: skip


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Log in, or say that it is not right."""
    site = site_of(request)
    try:
        form = await need_form(request)
    except HTTPException as error:
        if error.detail != "form":
            raise
        return login_page(request, 403, problem="stale")
    email, password = form.get("email", "").strip()[:320], form.get("password", "")[:PASSWORD_LIMIT]
    wanted = own_path(form.get("next", "/inbox"))
    address = address_of(request)
    wait = site.limits.take(address, email, site.clock())
    if wait:
        page = login_page(request, 429, wanted=wanted, email=email, problem="often", minutes=-(-wait // 60))
        page.headers["retry-after"] = str(wait)
        return page
    user = await verify(site, email, password)
    if user is None:
        log.warning("web.login_refused", address=address, why="password")
        return login_page(request, 401, wanted=wanted, email=email, problem="wrong")
    site.limits.give_back(address, email)
    return await admit(request, user, wanted)


async def verify(site: Site, email: str, password: str) -> User | None:
    """The user with this e-mail and password, or None."""
    found = await site.database.read(find_user, email)
    right = await is_password(site, found[1] if found else "", password)
    return found[0] if found and right else None


async def is_password(site: Site, password_hash: str, password: str) -> bool:
    """Whether the password is right, computed beside the event loop, two at once."""
    async with site.verifying:
        return await asyncio.to_thread(verify_password, password_hash, password)


@router.post("/logout")
async def log_out(request: Request, form: Annotated[dict[str, str], Depends(need_form)]) -> Response:
    """End the session; who came by an identity provider logs out there too, when it has a page for that."""
    site = site_of(request)
    cookie = request.cookies.get(site.session_cookie, "")
    if cookie:
        await site.database.write(end_session, cookie)
    there = await way_out(request)
    response: Response = RedirectResponse("/login", 303)
    if site.provider is not None and there:  # by a page of ours: a form's answer must not lead to another origin
        request.state.visit = None
        response = render(request, "logged_out.html", there=there, provider=site.provider.terms.label)
        response.headers["refresh"] = f"0; url={there}"
    drop_cookie(request, response, site.session_cookie)
    forget(request, response)
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
    set_cookie(request, response, LANGUAGE_COOKIE, language, YEAR)
    return response

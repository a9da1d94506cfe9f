"""The second step of a login: asking for the code, and setting it up, renewing or removing it in one's own account.

Wrong codes count against the person and the network address, and a code is right once. Setting up asks for the password
again and shows the secret as a picture made here; recovery codes are shown in the answer that made them, and nowhere
else. Where the tenant demands a second step, whoever has none comes to no other page first.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated

import segno
import structlog
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from gateway.inbox.timeline import msgid
from gateway.store.database import Transaction
from gateway.store.sealed import Seal
from gateway.store.second_factors import (
    Factor,
    begin_factor,
    confirm_factor,
    get_factor,
    pending_secret,
    remove_factor,
    renew_codes,
    use_code,
)
from gateway.store.totp import address_of as otp_address
from gateway.store.totp import readable
from gateway.store.users import get_user
from gateway.web.auth import PASSWORD_LIMIT, is_password, login_page
from gateway.web.entering import address_of, enter, keep, renew, waiting
from gateway.web.pages import render
from gateway.web.site import Site, Visit, need_form, need_person, need_workshop, site_of

log = structlog.get_logger()
router = APIRouter()
HERE = "/account/second-step"
FRESH = timedelta(minutes=10)  # how long ago somebody without a password must have logged in to prove who they are
CODE_LIMIT = 100  # characters
PROBLEMS = {
    "code": msgid("The code is not right, or was used already. Wait for the next one and try again."),
    "password": msgid("The password is not right."),
    "often": msgid("Too many tries. Wait a while, then try again."),
    "fresh": msgid("Log out and in again first: this needs a login that is not older than 10 minutes."),
    "demanded": msgid("Your company demands a second step of everybody; it cannot be turned off."),
}

Person = Annotated[Visit, Depends(need_person)]


async def need_own_form(request: Request, visit: Person) -> dict[str, str]:
    """The form of a change to one's own account, whatever one's role. Raises as `need_person` and `need_form`."""
    return await need_form(request)


OwnForm = Annotated[dict[str, str], Depends(need_own_form)]


# -- at the login


@router.get("/login/code")
async def show_code(request: Request) -> Response:
    """The page that asks for a code."""
    if await waiting(request) is None:
        return RedirectResponse("/login", 303)
    return render(request, "login_code.html", problem="", minutes=0)


@router.post("/login/code")
async def check_code(request: Request) -> Response:
    """Log in when the code is right."""
    try:
        form = await need_form(request)
    except HTTPException as error:
        if error.detail != "form":
            raise
        return login_page(request, 403, problem="stale")
    found = await waiting(request)
    if found is None:
        return login_page(request, 401, problem="stale")
    site = site_of(request)
    wait, right = await try_code(request, site, found.user.tenant_id, found.user.id, form.get("code", ""))
    if right:
        return await enter(request, found.user, found.wanted, second=True)
    if not wait:
        log.warning("web.login_refused", address=address_of(request), why="code")
    page = render(
        request, "login_code.html", 429 if wait else 401, problem="often" if wait else "code", minutes=-(-wait // 60)
    )
    if wait:
        page.headers["retry-after"] = str(wait)
    return page


async def try_code(request: Request, site: Site, tenant_id: str, user_id: str, code: str) -> tuple[int, bool]:
    """(seconds to wait before another try may be made, whether the code was right)."""
    seal, address, now = need_workshop(request).seal, address_of(request), site.clock()
    found = await site.database.read(get_user, tenant_id, user_id)
    if wait := site.codes.take(address, user_id, now):
        return wait, False
    right = found is not None and await site.database.write(use_code, now, seal, found[0], code[:CODE_LIMIT])
    if right:
        site.codes.give_back(address, user_id)
    return 0, right


# -- in one's own account


@router.get(HERE)
async def show_second_step(request: Request, visit: Person) -> Response:
    """How it stands, with the picture while a first code is waited for."""
    return await _page(request, visit)


async def _page(request: Request, visit: Visit, problem: str = "", codes: list[str] | None = None) -> Response:
    site, user = site_of(request), visit.session.user
    factor, secret, password = await site.database.read(_stand, site.clock(), need_workshop(request).seal, visit)
    code = 200 if not problem else 429 if problem == "often" else 422
    picture = await asyncio.to_thread(_picture, otp_address(secret, user.email, visit.tenant.company)) if secret else ""
    return render(
        request, "second_step.html", code, factor=factor, secret=_in_groups(secret), picture=picture,
        has_password=password, codes=codes or [], demanded=bool(visit.tenant.options.get("second_step")),
        unfinished=visit.unfinished and not codes, problem=PROBLEMS.get(problem, ""),
    )  # fmt: skip


def _stand(tx: Transaction, now: datetime, seal: Seal, visit: Visit) -> tuple[Factor | None, bytes | None, bool]:
    user = visit.session.user
    found = get_user(tx, user.tenant_id, user.id)
    return get_factor(tx, user.tenant_id, user.id), pending_secret(tx, now, seal, user), bool(found and found[1])


def _picture(text: str) -> Markup:
    """The text as a QR code: SVG that stands in the page, since it is a secret that has no address of its own."""
    return Markup(segno.make(text, error="m").svg_inline(scale=4, border=3, light="#fff"))  # noqa: S704 ours


def _in_groups(secret: bytes | None) -> str:
    text = readable(secret) if secret else ""
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


async def prove(request: Request, visit: Visit, password: str) -> str:
    """What is missing for a change of how one logs in (of PROBLEMS); "" when the password is right.

    Whoever has none, since an identity provider vouches for them, must have logged in a moment ago.
    """
    site, user = site_of(request), visit.session.user
    found = await site.database.read(get_user, user.tenant_id, user.id)
    if found is not None and not found[1]:
        return "" if site.clock() - visit.session.started_at <= FRESH else "fresh"
    if site.limits.take(address_of(request), user.email, site.clock()):
        return "often"
    if found is None or not await is_password(site, found[1], password[:PASSWORD_LIMIT]):
        return "password"
    site.limits.give_back(address_of(request), user.email)
    return ""


@router.post(f"{HERE}/begin")
async def begin(request: Request, visit: Person, form: OwnForm) -> Response:
    """Make a secret, whose picture the page shows until its first code was seen."""
    if problem := await prove(request, visit, form.get("password", "")):
        return await _page(request, visit, problem)
    site = site_of(request)
    await site.database.write(begin_factor, site.clock(), need_workshop(request).seal, visit.session.user)
    return RedirectResponse(HERE, 303)


@router.post(f"{HERE}/confirm")
async def confirm(request: Request, visit: Person, form: OwnForm) -> Response:
    """Ask for codes from now on, if this is one. The recovery codes are in the answer; other sessions end."""
    site, user = site_of(request), visit.session.user
    seal, now = need_workshop(request).seal, site.clock()
    if site.codes.take(address_of(request), user.id, now):
        return await _page(request, visit, "often")
    codes = await site.database.write(confirm_factor, now, seal, user, form.get("code", "")[:CODE_LIMIT])
    if codes is None:
        return await _page(request, visit, "code")
    site.codes.give_back(address_of(request), user.id)
    cookie, session = await renew(request, user, second=True, alone=True)
    request.state.visit = visit = replace(visit, session=session)
    page = await _page(request, visit, codes=codes)
    keep(request, page, cookie)
    return page


@router.post(f"{HERE}/codes")
async def new_codes(request: Request, visit: Person, form: OwnForm) -> Response:
    """New recovery codes for a code of the app, shown in the answer."""
    site, user = site_of(request), visit.session.user
    wait, right = await try_code(request, site, user.tenant_id, user.id, form.get("code", ""))
    if not right:
        return await _page(request, visit, "often" if wait else "code")
    return await _page(request, visit, codes=await site.database.write(renew_codes, site.clock(), user))


@router.post(f"{HERE}/remove")
async def remove(request: Request, visit: Person, form: OwnForm) -> Response:
    """Ask for no codes any more: for the password and a last one."""
    if visit.tenant.options.get("second_step"):
        return await _page(request, visit, "demanded")
    if problem := await prove(request, visit, form.get("password", "")):
        return await _page(request, visit, problem)
    site, user = site_of(request), visit.session.user
    wait, right = await try_code(request, site, user.tenant_id, user.id, form.get("code", ""))
    if not right:
        return await _page(request, visit, "often" if wait else "code")
    await site.database.write(remove_factor, site.clock(), user, user.email)
    return RedirectResponse("/account?done=off", 303)

"""One's own account: name and language, the password, the sessions, and what was changed about one's login.

Open to every role, auditors too: it changes nothing but one's own. A new password asks for the old one, ends every
session and starts this browser's anew. A session is named by the hash that the table holds, which opens nothing.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.timeline import Line, msgid, tell_events
from gateway.mail.reply import Refused
from gateway.store.database import Transaction
from gateway.store.events import Event, latest_house_events
from gateway.store.oidc_links import Link, list_links, unlink
from gateway.store.second_factors import Factor, get_factor
from gateway.store.tenants import hash_password
from gateway.store.users import (
    Proof,
    Session,
    User,
    end_logins_of,
    get_user,
    list_sessions,
    set_language,
    set_name,
    set_password,
    start_session,
)
from gateway.web.auth import PASSWORD_LIMIT
from gateway.web.browsers import name_browser
from gateway.web.entering import YEAR, keep, proof_of
from gateway.web.pages import environment, render, set_cookie
from gateway.web.refusals import say_refusal
from gateway.web.second_step import PROBLEMS as OF_THE_STEP
from gateway.web.second_step import OwnForm, Person, prove
from gateway.web.site import LANGUAGE_COOKIE, Visit, site_of
from gateway.web.translation import LANGUAGES

router = APIRouter()
DONE = {
    "profile": msgid("Your name and language are saved."),
    "password": msgid("The password is changed. Every other session has ended."),
    "session": msgid("The session has ended."),
    "sessions": msgid("Every other session has ended."),
    "unlinked": msgid("The identity provider does not log you in any more."),
    "off": msgid("The second step is off. Your password alone is enough now."),
}
PROBLEMS = OF_THE_STEP | {
    "needs_password": msgid("Give yourself a password first: without one you could not log in again."),
    "old": msgid("The old password is not right."),
    "again": msgid("The two new passwords are not the same."),
    "same": msgid("The new password is the old one; choose another."),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """All that the page shows of a person."""

    sessions: tuple[tuple[Session, tuple[str, str]], ...]  # (the session, its browser and system)
    factor: Factor | None
    has_password: bool
    links: tuple[Link, ...]
    changes: tuple[Line, ...]


def _look(tx: Transaction, now: datetime, here: Session) -> Shown:
    user = here.user
    found = get_user(tx, user.tenant_id, user.id)
    sessions = list_sessions(tx, now, user.tenant_id, user.id)
    events = [one for one in latest_house_events(tx, user.tenant_id, "user.", 300) if _is_about(one, user)]
    sessions.sort(key=lambda one: one.id != here.id)  # this one first, the others as they came
    return Shown(
        tuple((one, name_browser(one.browser)) for one in sessions),
        get_factor(tx, user.tenant_id, user.id),
        bool(found and found[1]),
        tuple(list_links(tx, user.tenant_id, user.id)),
        tuple(tell_events(events[:10])),
    )


def _is_about(event: Event, user: User) -> bool:
    return event.data.get("user") == user.email


@router.get("/account")
async def show_account(request: Request, visit: Person) -> Response:
    """One's own account."""
    return await _page(request, visit)


async def _page(request: Request, visit: Visit, problem: str = "", said: str = "") -> Response:
    site = site_of(request)
    shown = await site.database.read(_look, site.clock(), visit.session)
    code = 200 if not (problem or said) else 429 if problem == "often" else 422
    done = "" if code != 200 else DONE.get(request.query_params.get("done", ""), "")
    tell = environment(visit.reader.language).filters["say"]
    text = said or (tell(PROBLEMS[problem]) if problem else "")
    return render(request, "account.html", code, shown=shown, problem=text, done=done)


@router.post("/account/profile")
async def save_profile(request: Request, visit: Person, form: OwnForm) -> Response:
    """Another name, another language."""
    language = form.get("language", "")
    try:
        await site_of(request).database.write(_save, visit.session.user, form.get("name", "").strip(), language)
    except Refused as refused:
        return await _refused(request, visit, refused)
    response = _again("profile")
    if language in LANGUAGES:
        set_cookie(request, response, LANGUAGE_COOKIE, language, YEAR)
    return response


def _save(tx: Transaction, user: User, name: str, language: str) -> None:
    set_name(tx, user.tenant_id, user.id, name)
    if language in LANGUAGES:
        set_language(tx, user.tenant_id, user.id, language)


@router.post("/account/password")
async def change_password(request: Request, visit: Person, form: OwnForm) -> Response:
    """A new password for the old one; every session ends and this browser gets a new one."""
    old, new = form.get("old", ""), form.get("new", "")[:PASSWORD_LIMIT]
    if new != form.get("again", "")[:PASSWORD_LIMIT]:
        return await _page(request, visit, "again")
    if problem := await prove(request, visit, old):
        return await _page(request, visit, "old" if problem == "password" else problem)
    if new == old:
        return await _page(request, visit, "same")
    site = site_of(request)
    password_hash = await asyncio.to_thread(hash_password, new)
    proof = proof_of(request, second=visit.session.second)
    try:
        cookie = await site.database.write(_change, site.clock(), visit.session.user, new, password_hash, proof)
    except Refused as refused:
        return await _refused(request, visit, refused)
    response = _again("password")
    keep(request, response, cookie)
    return response


def _change(tx: Transaction, now: datetime, user: User, password: str, password_hash: str, proof: Proof) -> str:
    set_password(tx, now, user.tenant_id, user.email, password, password_hash, by=user.email)
    return start_session(tx, now, user, proof)[0]


@router.post("/account/sessions")
async def end(request: Request, visit: Person, form: OwnForm) -> Response:
    """End one of one's sessions, or all but this one."""
    site, one, here = site_of(request), form.get("end", "")[:64], visit.session
    but = "" if one else here.id
    await site.database.write(end_logins_of, site.clock(), here.user, here.user.email, only=one, but=but)
    if one == here.id:
        return RedirectResponse("/login", 303)
    return _again("session" if one else "sessions")


@router.post("/account/unlink")
async def end_links(request: Request, visit: Person, form: OwnForm) -> Response:
    """Log in by no identity provider any more, for the password; whoever has none would not get in again."""
    site, user = site_of(request), visit.session.user
    found = await site.database.read(get_user, user.tenant_id, user.id)
    if found is None or not found[1]:
        return await _page(request, visit, "needs_password")
    if problem := await prove(request, visit, form.get("password", "")):
        return await _page(request, visit, problem)
    await site.database.write(unlink, site.clock(), user, user.email)
    return _again("unlinked")


async def _refused(request: Request, visit: Visit, refused: Refused) -> Response:
    tell = environment(visit.reader.language).filters["say"]
    return await _page(request, visit, said=say_refusal(refused.reply.text, tell))


def _again(done: str) -> Response:
    return RedirectResponse(f"/account?done={done}", 303)

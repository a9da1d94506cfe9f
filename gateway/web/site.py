"""What every page needs of the house, and who is looking: the site, the visit, and the checks at the door.

Used by every route. A visit is found by the cookie's session and carries its tenant: routes pass that tenant's id to
every read, so what is another tenant's does not exist. A change needs the visit's token, our own origin and (but for
logging out and the language) a role that may change things.
"""

import asyncio
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, HTTPException, Request

from gateway.settings.workshop import Workshop
from gateway.store.database import Database, Transaction
from gateway.store.schema import OPERATOR
from gateway.store.tenants import Tenant, get_tenant
from gateway.store.users import RUNS_IT, SEEN_TIME, Session, User, find_session, note_seen
from gateway.web.login_limits import Limit, LoginLimits
from gateway.web.oidc.provider import Provider
from gateway.web.translation import LANGUAGES, Reader, zone

FORM_LIMIT = 64 * 1024  # bytes
FORM_TIME = 15.0  # seconds for a form's body to arrive
LANGUAGE_COOKIE = "gw_language"
# Customers' reminders turned off and on: a mail provider's one click comes for many of them from few addresses.
_WISHES_OF_ADDRESS = (Limit(300, timedelta(minutes=1)),)
_WISHES_OF_LINK = (Limit(10, timedelta(hours=1)),)
# Of codes at the login, whose tries somebody makes who has the password: few, since three of a million are right.
_CODES_OF_ADDRESS = (Limit(20, timedelta(minutes=10)), Limit(100, timedelta(days=1)))
_CODES_OF_USER = (Limit(5, timedelta(minutes=10)), Limit(20, timedelta(days=1)))
_ARRIVALS = (Limit(60, timedelta(minutes=1)), Limit(1000, timedelta(days=1)))  # at an identity provider, and back
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]{0,2000}\Z")


class SignIn(Exception):
    """Nobody is logged in: the page wanted is shown after the login."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        super().__init__(wanted)


class SetUp(Exception):
    """The tenant demands a second step at the login, and this user has none yet: they set it up first."""


@dataclass(frozen=True)
class Site:
    """The pages' share of the house. `origins` are the ones that may send forms."""

    database: Database
    clock: Callable[[], datetime]
    secure: bool
    origins: frozenset[str]
    operator_language: str
    limits: LoginLimits = field(default_factory=LoginLimits)
    codes: LoginLimits = field(default_factory=lambda: LoginLimits(_CODES_OF_ADDRESS, _CODES_OF_USER))
    wishes: LoginLimits = field(default_factory=lambda: LoginLimits(_WISHES_OF_ADDRESS, _WISHES_OF_LINK))
    preferences_key: bytes = field(default=b"", repr=False)  # of the links in reminders; b"": there are none
    arrivals: LoginLimits = field(default_factory=lambda: LoginLimits(_ARRIVALS, ()))
    provider: Provider | None = None  # by which people may log in, too
    workshop: Workshop | None = None  # what the settings need of a running gateway
    attaching: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))  # answers' files in memory
    verifying: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))  # argon2 at a time: memory, CPU
    packing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))  # ZIPs at a time: disk, workers

    @property
    def session_cookie(self) -> str:
        """The name of the cookie that holds a login."""
        return "__Host-gw_session" if self.secure else "gw_session"

    @property
    def form_cookie(self) -> str:
        """Holds the token of forms that are sent before a login."""
        return "__Host-gw_form" if self.secure else "gw_form"


def origins_of(public_url: str) -> tuple[bool, frozenset[str]]:
    """(https?, the origins of the pages) at `public_url`.

    Raises ValueError for plain http anywhere but on loopback: a session's cookie would travel in the clear.
    """
    parts = urlsplit(public_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if parts.scheme == "https" and host:
        port = f":{parts.port}" if parts.port and parts.port != 443 else ""
        return True, frozenset({f"https://{host}{port}"})
    if parts.scheme == "http" and (host in _LOOPBACK or (host or "").startswith("127.")):
        port = f":{parts.port}" if parts.port and parts.port != 80 else ""
        return False, frozenset(f"http://{name}{port}" for name in {*_LOOPBACK, host})
    raise ValueError(f"the public URL {public_url!r} must be https://…, or http:// on 127.0.0.1 or localhost")


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site


def need_workshop(request: Request) -> Workshop:
    """What tries and sends things for the settings. Raises HTTPException 503 where no gateway runs behind the pages."""
    found = site_of(request).workshop
    if found is None:
        raise HTTPException(503)
    return found


@dataclass(frozen=True)
class Visit:
    """Somebody who is logged in, looking at a page."""

    session: Session
    tenant: Tenant
    reader: Reader

    @property
    def runs_it(self) -> bool:
        """Whether they run the gateway, and belong to no tenant."""
        return self.session.user.role == RUNS_IT and self.tenant.id == OPERATOR

    @property
    def home(self) -> str:
        """Their first page."""
        return "/operator" if self.runs_it else "/inbox"

    def way_to(self, wanted: str) -> str:
        """Where a login leads: to the page wanted; of who runs the gateway, never to a tenant's."""
        return way_to(self.session.user, wanted)

    @property
    def may_change(self) -> bool:
        """Whether they may do more than look."""
        return self.session.user.role != "auditor"

    @property
    def unfinished(self) -> bool:
        """Whether their tenant demands a second step that this login did not have."""
        return bool(self.tenant.options.get("second_step")) and not self.session.second


def way_to(user: User, wanted: str) -> str:
    """Where a user's login leads, who wanted a page."""
    own = wanted.startswith(("/operator", "/account"))
    return wanted if own or user.role != RUNS_IT else "/operator"


_NOBODYS = Tenant(OPERATOR, "", "", "", "UTC", "", "shared", {})  # of who runs the gateway


def _find_visit(tx: Transaction, now: datetime, cookie: str) -> Visit | None:
    session = find_session(tx, now, cookie)
    tenant = _NOBODYS if session and session.user.role == RUNS_IT else None
    if session and tenant is None:
        tenant = get_tenant(tx, session.user.tenant_id)
    if session is None or tenant is None:
        return None
    language = session.user.language or tenant.language
    return Visit(session, tenant, Reader(language if language in LANGUAGES else "ro", zone(tenant.timezone)))


async def find_visit(request: Request) -> Visit | None:
    """Who is logged in, by the cookie; None when nobody is."""
    site = site_of(request)
    known: Visit | None = getattr(request.state, "visit", None)
    cookie = request.cookies.get(site.session_cookie, "")
    if known or not cookie or len(cookie) > 200:
        return known
    now = site.clock()
    visit = await site.database.read(_find_visit, now, cookie)
    if visit and now - visit.session.seen_at > SEEN_TIME:
        await site.database.write(note_seen, now, visit.session)
    request.state.visit = visit
    return visit


async def need_visit(request: Request) -> Visit:
    """Who is logged in for a tenant. Raises SignIn when nobody is, SetUp when a second step is demanded that they do
    not have, HTTPException 404 for who runs the gateway."""
    visit = await need_person(request)
    if visit.runs_it:
        raise HTTPException(404)
    if visit.unfinished:
        raise SetUp
    return visit


async def need_operator(request: Request) -> Visit:
    """Who runs the gateway. Raises SignIn when nobody is logged in, HTTPException 404 for everybody else."""
    if "authorization" in request.headers:  # keys are a tenant's
        raise HTTPException(404)
    visit = await need_person(request)
    if not visit.runs_it:
        raise HTTPException(404)
    return visit


async def need_person(request: Request) -> Visit:
    """Who is logged in, though a second step be missing; for their own account only. Raises SignIn when nobody is."""
    visit = await find_visit(request)
    if visit is None:
        wanted = quote(request.url.path, safe="/") + (f"?{request.url.query}" if request.url.query else "")
        raise SignIn(wanted if request.method == "GET" else "/inbox")
    return visit


async def need_form(request: Request) -> dict[str, str]:
    """The form that a request sends. Raises HTTPException 403, 408, 413 or 415.

    The form must come from our own pages (Origin) and carry the token: of the session, or before a login of a cookie.
    """
    check_origin(request)
    form = await read_form(request)
    visit = await find_visit(request)
    expected = visit.session.csrf if visit else request.cookies.get(site_of(request).form_cookie, "")
    if not same_token(expected, form.get("csrf", "")):
        raise HTTPException(403, "form")
    return form


def same_token(expected: str, given: str) -> bool:
    """Whether a form brings the token that it was given; nobody has an empty one."""
    return bool(expected) and hmac.compare_digest(expected.encode(), given.encode())


async def need_change(request: Request, visit: Annotated[Visit, Depends(need_visit)]) -> dict[str, str]:
    """The form of a change that this visitor may make. Raises SignIn, or HTTPException as `need_form` and 403."""
    form = await need_form(request)
    if not visit.may_change:
        raise HTTPException(403, "role")
    return form


async def need_admin(visit: Annotated[Visit, Depends(need_visit)]) -> Visit:
    """Who is logged in, if they administer the tenant. Raises SignIn, or HTTPException 403."""
    if visit.session.user.role != "admin":
        raise HTTPException(403, "role")
    return visit


async def need_admin_change(
    _: Annotated[Visit, Depends(need_admin)], form: Annotated[dict[str, str], Depends(need_change)]
) -> dict[str, str]:
    """The form of a change that only who administers the tenant may make. Raises as `need_admin` and `need_form`."""
    return form


def check_origin(request: Request) -> None:
    """Raise HTTPException 403 unless the request was sent by one of our own pages (security rule 10)."""
    sent_by = request.headers.get("origin") or request.headers.get("referer", "")
    parts = urlsplit(sent_by)
    if f"{parts.scheme}://{parts.netloc}" not in site_of(request).origins:
        raise HTTPException(403, "origin")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, the last of a name; at most FORM_LIMIT bytes within FORM_TIME."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415)
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_TIME):
            async for chunk in request.stream():
                body += chunk
                if len(body) > FORM_LIMIT:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408) from None
    try:
        fields = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=80)
    except ValueError:
        raise HTTPException(400) from None
    return dict(fields)


def form_token(request: Request) -> tuple[str, bool]:
    """(the token that this page's forms must carry, whether it has to be given to the browser as a cookie)."""
    visit: Visit | None = getattr(request.state, "visit", None)
    if visit:
        return visit.session.csrf, False
    found = request.cookies.get(site_of(request).form_cookie, "")
    return (found, False) if re.fullmatch(r"[\w-]{20,64}", found) else (secrets.token_urlsafe(24), True)


def own_path(path: str) -> str:
    """`path` when it is one of ours, else the inbox: a redirect never leaves the site."""
    return path if _PATH.match(path) else "/inbox"

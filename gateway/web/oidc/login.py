"""Logging in by the identity provider: to it with a state of our own, and back with a code that proves somebody.

What a login began with (state, nonce, verifier, the page wanted) is in a sealed cookie of ten minutes: the answer
counts in the browser that asked. Who comes back is a user that exists (`store.oidc_links`); a second step is still
asked for, unless the provider says that it made one. Nothing that the provider or its page says is shown.
"""

import hmac
import secrets
from datetime import timedelta

import structlog
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.mail.reply import Refused
from gateway.store.oidc_links import Claimed, find_person
from gateway.web.auth import login_page
from gateway.web.entering import address_of, admit, cookie_name, give_sealed, read_sealed
from gateway.web.oidc.claims import NotProven, Person
from gateway.web.oidc.leaving import remember
from gateway.web.oidc.provider import Provider, ProviderAway
from gateway.web.pages import drop_cookie
from gateway.web.site import own_path, site_of

log = structlog.get_logger()
router = APIRouter()
LASTS = timedelta(minutes=10)
_COOKIE = "gw_oidc"


def _need_provider(request: Request) -> Provider:
    site = site_of(request)
    if site.provider is None:
        raise HTTPException(404)
    address = address_of(request)
    if wait := site.arrivals.take(address, address, site.clock()):
        raise HTTPException(429, headers={"retry-after": str(wait)})
    return site.provider


@router.get("/login/oidc")
async def go(request: Request, next: str = "/inbox") -> Response:
    """To the provider's own page."""
    provider = _need_provider(request)
    values = {name: secrets.token_urlsafe(32) for name in ("state", "nonce")} | {"verifier": secrets.token_urlsafe(48)}
    try:
        url = await provider.begin(values["state"], values["nonce"], values["verifier"], site_of(request).clock())
    except ProviderAway as error:
        log.warning("web.provider_failed", issuer=provider.terms.issuer, words=str(error)[:500])
        return login_page(request, 503, wanted=own_path(next), problem="away")
    response = RedirectResponse(url, 303)
    give_sealed(request, response, _COOKIE, {**values, "wanted": own_path(next)}, LASTS)
    return response


@router.get("/login/oidc/callback")
async def come_back(
    request: Request, code: str = "", state: str = "", error: str = "", iss: str = ""
) -> Response:  # fmt: skip
    """Back from the provider, with a code."""
    provider, begun = _need_provider(request), read_sealed(request, _COOKIE)
    if begun is None or not hmac.compare_digest(begun["state"].encode(), state.encode()):
        return _refuse(request, "stale")
    if iss and iss != provider.terms.issuer:  # RFC 9207 §2.4
        log.warning("web.provider_failed", issuer=provider.terms.issuer, words="the answer names another issuer")
        return _refuse(request, "provider")
    if error or not code or len(code) > 4000:
        return _refuse(request, "provider")
    try:
        person = await provider.redeem(code, begun["verifier"], begun["nonce"], site_of(request).clock())
    except (ProviderAway, NotProven) as fault:
        log.warning("web.provider_failed", issuer=provider.terms.issuer, words=str(fault)[:500])
        return _refuse(request, "away" if isinstance(fault, ProviderAway) else "provider")
    return await _let_in(request, provider, person, begun["wanted"])


async def _let_in(request: Request, provider: Provider, person: Person, wanted: str) -> Response:
    site, terms = site_of(request), provider.terms
    email = person.email if person.verified else ""
    claimed = Claimed(person.issuer, person.subject, email, person.name, terms.tenant_of(person), terms.create)
    try:
        user = await site.database.write(find_person, site.clock(), claimed)
    except Refused as refused:
        log.warning("web.login_refused", address=address_of(request), why=refused.reply.text)
        return _refuse(request, "unknown")
    response = await admit(request, user, wanted, second=person.mfa)
    drop_cookie(request, response, cookie_name(site, _COOKIE))
    remember(request, response, person)
    return response


def _refuse(request: Request, problem: str) -> Response:
    """To the login page, so that no code or state stays in the address."""
    response = RedirectResponse(f"/login?problem={problem}", 303)
    drop_cookie(request, response, cookie_name(site_of(request), _COOKIE))
    return response

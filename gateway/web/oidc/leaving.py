"""Logging out at the identity provider as well (RP-Initiated Logout), for a browser that logged in by it.

The ID token of the login, which the provider asks for then, is in a sealed cookie of that browser and nowhere else. The
session here has ended before anybody is sent there: a provider that is away, or has no such page, holds nobody up.
"""

from fastapi import Request
from fastapi.responses import Response

from gateway.store.users import SESSION_TIME
from gateway.web.entering import cookie_name, give_sealed, read_sealed
from gateway.web.oidc.claims import Person
from gateway.web.pages import drop_cookie
from gateway.web.site import site_of

_COOKIE = "gw_came"
MOST_TOKEN = 2400  # characters that a cookie has room for; without it the provider asks the person


def remember(request: Request, response: Response, person: Person) -> None:
    """Note in the browser that it came by the provider."""
    token = person.token if len(person.token) <= MOST_TOKEN else ""
    give_sealed(request, response, _COOKIE, {"token": token}, SESSION_TIME)


def forget(request: Request, response: Response) -> None:
    """Take that note away."""
    drop_cookie(request, response, cookie_name(site_of(request), _COOKIE))


async def way_out(request: Request) -> str:
    """Where a browser that has logged out here logs out of the provider; "" when it did not come by it, or cannot."""
    site = site_of(request)
    if site.provider is None or site.workshop is None or (came := read_sealed(request, _COOKIE)) is None:
        return ""
    back = site.provider.terms.redirect.removesuffix("/oidc/callback")  # the page to log in
    return await site.provider.end(came["token"], back, site.clock())

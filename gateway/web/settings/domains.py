"""The tenant's own domains: what to publish in DNS, ready to copy, and what a look at it finds."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.timeline import msgid
from gateway.mail.reply import Refused
from gateway.outbound.domain_watch import say
from gateway.outbound.server_trial import OK, WARNING, WRONG, Step
from gateway.settings.domains import add_own_domain, read_domain, rotate_own_keys
from gateway.settings.trials import begin
from gateway.store.domains import StoredDomain, get_domain
from gateway.store.trials import get_trial
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.settings.server import RELOAD
from gateway.web.site import need_workshop, site_of

router = APIRouter()
SEVERITY = {
    "error": msgid("wrong"),
    "warning": msgid("look at this"),
    "unknown": msgid("DNS did not answer"),
    "hint": msgid("could be better"),
}
ABOUT = {  # the first word of a finding's code
    "dkim": msgid("The signature (DKIM): without it mail stays on the shared address."),
    "spf": msgid("SPF: which servers may send for the domain."),
    "dmarc": msgid("DMARC: what receivers do with forged mail."),
    "bimi": msgid("BIMI: the logo beside your mail."),
    "dns": msgid("DNS did not answer; it is asked again later."),
}
KEYS = {  # what a key's state means to whoever keeps the DNS
    "pending": msgid("Publish its record: the key signs once it is seen there."),
    "active": msgid("It signs. Leave its record in DNS."),
    "replaced": msgid("It signs no more. Leave its record until the next look at DNS retires the key."),
    "waited": msgid("It signs no more, but mail that it signed is queued: leave its record in DNS."),
    "retired": msgid("Nothing needs it any more: take its record out of DNS."),
}


@router.post("/settings/domains")
async def add(request: Request, visit: Looking, form: Form) -> Response:
    """A domain with signing keys."""
    site, workshop = site_of(request), need_workshop(request)
    try:
        name = await add_own_domain(
            site.database, site.clock(), workshop.seal, workshop.house, visit.tenant.id, form.get("name", "")[:300],
        )  # fmt: skip
    except Refused as refused:
        return show(
            request, "domain", view=None, trial=None, runs=False, problem=refused, severity={}, about={}, keys={}
        )
    return again(f"/settings/domains/{name}", "added")


@router.get("/settings/domains/{name}")
async def show_domain(request: Request, visit: Looking, name: str) -> Response:
    """The records to publish, and what the last look at DNS found."""
    site = site_of(request)
    view = await site.database.read(read_domain, need_workshop(request).house, visit.tenant.id, name)
    if view is None:
        raise HTTPException(404)
    trial = await site.database.read(get_trial, visit.tenant.id, f"domain/{name}")
    runs = trial is not None and trial.runs(site.clock())
    page = show(request, "domain", view=view, trial=trial, runs=runs, severity=SEVERITY, about=ABOUT, keys=KEYS)
    if runs:
        page.headers["refresh"] = RELOAD
    return page


@router.post("/settings/domains/{name}/rotate")
async def rotate(request: Request, visit: Looking, form: Form, name: str) -> Response:
    """New signing keys, pending until DNS has them; at once when one was stolen."""
    site, workshop = site_of(request), need_workshop(request)
    one = await site.database.read(get_domain, visit.tenant.id, name)
    if one is None:
        raise HTTPException(404)
    at_once = form.get("stolen", "") == "yes"
    await rotate_own_keys(site.database, site.clock(), workshop.seal, one, at_once=at_once)
    return again(f"/settings/domains/{name}", "keys")


@router.post("/settings/domains/{name}/check")
async def check(request: Request, visit: Looking, form: Form, name: str) -> Response:
    """Ask DNS now."""
    site, workshop = site_of(request), need_workshop(request)
    one = await site.database.read(get_domain, visit.tenant.id, name)
    if one is None:
        raise HTTPException(404)
    await begin(workshop, visit.tenant.id, f"domain/{name}", visit.session.user.email, site.clock, _look(request, one))
    return RedirectResponse(f"/settings/domains/{name}", 303)


async def _look(request: Request, one: StoredDomain):  # type: ignore[no-untyped-def]
    made = await need_workshop(request).look(one)
    yield Step("dns", {"error": WRONG, "ok": OK}.get(made.state, WARNING), say(made))

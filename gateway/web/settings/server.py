"""The tenant's own SMTP server: set up as in a mail program, by password or OAuth, and really tested.

Secrets come in and never go out again: the page says only that there is one. While a test runs the page reloads itself.
"""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.timeline import msgid
from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.outbound import oauth
from gateway.outbound.queue_list import list_waiting_for_own
from gateway.outbound.server_account import begin_server_consent, keep_server, make_server, with_oauth
from gateway.settings.domains import refuse_ours
from gateway.settings.trials import SERVER, begin
from gateway.store.database import Transaction
from gateway.store.routes import (
    FALLBACK,
    Secret,
    Server,
    drop_server,
    get_server,
    open_secret,
    set_fallback,
)
from gateway.store.tenants import set_tenant
from gateway.store.trials import drop_trial, get_trial
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.site import Visit, need_workshop, site_of

router = APIRouter()
HOME = "/settings/delivery/server"
REDIRECT = "/settings/delivery/oauth"
RELOAD = "2"  # seconds, while a trial runs
SECURITY = {"starttls": msgid("STARTTLS (usual, port 587)"), "tls": msgid("TLS from the start (port 465)")}
FALLBACKS = {
    "off": msgid("It waits, and you see why"),
    "30m": msgid("After 30 minutes it leaves from the shared address"),
    "always": msgid("It leaves from the shared address at once"),
}
STEPS = {
    "connection": msgid("Connection and login"),
    "login": msgid("Login"),
    "mail": msgid("The mail"),
    "arrival": msgid("Arrival in the A/R inbox"),
    "reports": msgid("Reports of undeliverable mail"),
    "server": msgid("The server"),
    "folder": msgid("The folder"),
    "failure": msgid("It did not work"),
    "dns": msgid("DNS"),
}


@router.get("/settings/delivery/server")
async def show_server(request: Request, visit: Looking) -> Response:
    """The server as it is kept, how it fares, and what the last test found."""
    return await server_page(request, visit)


async def server_page(
    request: Request, visit: Visit, problem: Refused | None = None, typed: dict[str, str] | None = None
) -> Response:
    """The server's page; `problem` is why something was refused, `typed` the form that asked for it."""
    site = site_of(request)
    kept, trial, waiting = await site.database.read(_read, visit.tenant.id)
    server = kept.server if kept else None
    values = {
        "host": server.host if server else "", "port": str(server.port) if server else "",
        "security": server.security if server else "starttls", "username": server.username if server else "",
        "address": server.address if server else "", "provider": server.provider if server else "",
        "client_id": server.client_id if server else "", "fallback": server.fallback if server else "off",
    }  # fmt: skip
    values |= {name: text for name, text in (typed or {}).items() if name in values}
    runs = trial is not None and trial.runs(site.clock())
    page = show(
        request, "server", kept=kept, trial=trial, runs=runs, waiting=waiting, values=values, security=SECURITY,
        fallbacks=FALLBACKS, steps=STEPS, redirect=f"{need_workshop(request).public_url}{REDIRECT}", problem=problem,
    )  # fmt: skip
    if runs:
        page.headers["refresh"] = RELOAD
    return page


def _read(tx: Transaction, tenant_id: str):  # type: ignore[no-untyped-def]
    kept = get_server(tx, tenant_id)
    waiting = len(list_waiting_for_own(tx, tenant_id, "", 1000)) if kept else 0
    return kept, get_trial(tx, tenant_id, SERVER), waiting


@router.post("/settings/delivery/server")
async def change(request: Request, visit: Looking, form: Form) -> Response:
    """Keep it; mail goes through it from the next message on. With OAuth a person must allow it first."""
    site, workshop = site_of(request), need_workshop(request)
    try:
        server = _server(form)
        refuse_ours(workshop.house, parse_address(server.address).domain)
        if server.grant == oauth.CODE:
            secret = Secret(client_secret=form.get("client_secret", "").strip()[:1000])
            begun = await site.database.write(
                begin_server_consent, site.clock(), workshop.seal, visit.tenant.id, server, secret,
                f"{workshop.public_url}{REDIRECT}", later=False,
            )  # fmt: skip
            return RedirectResponse(begun.url, 303)
        secret = await _password(request, visit, form, server)
        await site.database.write(
            keep_server, site.clock(), workshop.seal, visit.tenant.id, server, secret, later=False
        )  # fmt: skip
    except Refused as refused:
        return await server_page(request, visit, refused, form)
    return again(HOME)


def _server(form: dict[str, str]) -> Server:
    given = {name: form.get(name, "").strip()[:1000] for name in ("host", "username", "address", "client_id")}
    port, provider, fallback = form.get("port", "").strip(), form.get("provider", ""), form.get("fallback", "off")
    if (
        (provider and provider not in oauth.PROVIDERS)
        or form.get("security") not in SECURITY
        or (port and not port.isdecimal())
    ):
        raise HTTPException(400)
    made = make_server(
        host="" if provider else given["host"], port=int(port[:6] or 0), security="" if provider else form["security"],
        username=given["username"], address=given["address"], provider=provider, fallback=fallback,
    )  # fmt: skip
    if not provider:
        return made
    directory = form.get("directory", "").strip() or "common"
    return with_oauth(made, provider, given["client_id"], directory=directory)


async def _password(request: Request, visit: Visit, form: dict[str, str], server: Server) -> Secret:
    """The password of the form; left empty, the one that is kept, for the same account only."""
    password = form.get("password", "")[:1000]
    if password:
        return Secret(password=password)
    database = site_of(request).database
    kept = await database.read(get_server, visit.tenant.id)
    same = kept is not None and (kept.server.host, kept.server.username, kept.server.auth) == (
        server.host, server.username, "password")  # fmt: skip
    if not same:  # else whoever names another host would be sent the password
        raise Refused(501, "5.5.4", "the password is empty")
    return await database.read(open_secret, need_workshop(request).seal, visit.tenant.id)


@router.post("/settings/delivery/server/test")
async def test(request: Request, visit: Looking, form: Form) -> Response:
    """Really send; the page tells step by step."""
    site, workshop = site_of(request), need_workshop(request)
    if await site.database.read(get_server, visit.tenant.id) is None:
        raise HTTPException(404)
    by = visit.session.user.email
    await begin(workshop, visit.tenant.id, SERVER, by, site.clock, workshop.try_server(visit.tenant.id))
    return RedirectResponse(f"{HOME}#test", 303)


@router.post("/settings/delivery/server/fallback")
async def change_fallback(request: Request, visit: Looking, form: Form) -> Response:
    """When mail may leave from the shared address because the server fails."""
    if form.get("fallback") not in FALLBACK:
        raise HTTPException(400)
    try:
        await site_of(request).database.write(set_fallback, visit.tenant.id, form["fallback"])
    except Refused:
        raise HTTPException(404) from None
    return again(HOME)


@router.post("/settings/delivery/server/remove")
async def remove(request: Request, visit: Looking, form: Form) -> Response:
    """Forget the server and its secret; the next mail leaves from the shared address."""
    if not await site_of(request).database.write(_drop, visit.tenant.id):
        raise HTTPException(404)
    return again("/settings/delivery", "removed")


def _drop(tx: Transaction, tenant_id: str) -> bool:
    gone = drop_server(tx, tenant_id)
    if gone:
        set_tenant(tx, tenant_id, sending="shared")
        drop_trial(tx, tenant_id, SERVER)
    return gone

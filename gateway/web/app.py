"""The pages as one ASGI app: `make_app` puts the routes together, with what happens when there is no page.

Made by `serve`, which runs it, and by tests. It is given what it needs (a database, a clock, its public URL) and knows
no configuration. The HTTP API is an app of its own, mounted at /v1.
"""

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from gateway.settings.workshop import Workshop
from gateway.store.database import Database, StoreUnavailable
from gateway.web import (
    account,
    auth,
    bounces,
    customers,
    documents,
    evidence,
    files,
    inbox,
    inbox_acts,
    inbox_reply,
    inbox_search,
    preferences,
    runs,
    second_step,
    shared_files,
)
from gateway.web.api.app import make_api
from gateway.web.api.callers import Api
from gateway.web.api.problems import problem
from gateway.web.oidc import login as oidc_login
from gateway.web.oidc.provider import Provider
from gateway.web.operator import overview
from gateway.web.operator import queue as operator_queue
from gateway.web.operator import tenants as operator_tenants
from gateway.web.pages import STATIC_TYPES, environment, error_page, static_file
from gateway.web.safety import Wall
from gateway.web.settings import (
    api_keys,
    company,
    consents,
    credentials,
    delivery,
    domains,
    mailboxes,
    server,
    suppressions,
    triggers,
    users,
    webhooks,
)
from gateway.web.settings import templates as mail_templates
from gateway.web.site import SetUp, SignIn, Site, origins_of
from gateway.web.translation import LANGUAGES

log = structlog.get_logger()

ROOMS = (  # in this order: the first route that fits serves
    auth, oidc_login, second_step, account, bounces, runs, inbox_search, inbox, inbox_acts, inbox_reply, evidence,
    files, documents, customers, preferences, shared_files,
)  # fmt: skip
SETTINGS = (
    mail_templates, triggers, delivery, server, domains, mailboxes, consents, company, suppressions, users, credentials,
    api_keys, webhooks,
)  # fmt: skip
OPERATOR = (overview, operator_queue, operator_tenants)


def make_app(
    database: Database,
    *,
    clock: Callable[[], datetime],
    public_url: str,
    operator_language: str = "ro",
    preferences_key: bytes = b"",
    workshop: Workshop | None = None,
    provider: Provider | None = None,
    api: Api | None = None,
) -> FastAPI:
    """The pages at `public_url`. `clock` gives aware UTC; `operator_language` is that of the login page.

    `preferences_key` proves the links by which customers turn reminders off (`mail.preferences`); b"": there are none.
    `workshop` tries and sends things for the settings; `provider` is that by which people may log in, too.
    `api` is served at /v1; None: there is none.

    Raises ValueError for a public URL that is neither https nor loopback.
    """
    secure, origins = origins_of(public_url)
    app = FastAPI(title="A/R inbox", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.site = Site(
        database, clock, secure, origins, operator_language, preferences_key=preferences_key, workshop=workshop,
        provider=provider,
    )  # fmt: skip
    for room in (*ROOMS, *SETTINGS, *OPERATOR):
        app.include_router(room.router)
    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route("/static/{name}", static, methods=["GET"])
    if api is not None:
        app.mount("/v1", make_api(api))
    app.add_exception_handler(SignIn, _sign_in)
    app.add_exception_handler(SetUp, _set_up)
    app.add_exception_handler(HTTPException, _no_page)
    app.add_exception_handler(RequestValidationError, _no_sense)
    app.add_exception_handler(StoreUnavailable, _unavailable)
    app.add_middleware(Wall, secure=secure)
    for language in LANGUAGES:
        environment(language)  # a broken catalogue stops the start, not a page
    return app


async def health() -> Response:
    """Whether the pages are served; for load balancers, without a login."""
    return JSONResponse({"status": "ok"})


async def static(name: str) -> Response:
    """A file that pages load; its URL changes with its content."""
    try:
        content = static_file(name)
    except KeyError:
        raise HTTPException(404) from None
    return Response(
        content, media_type=STATIC_TYPES[name], headers={"cache-control": "public, max-age=31536000, immutable"}
    )


async def _sign_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, SignIn)
    if "hx-request" in request.headers:
        return Response(status_code=401)  # a part of a page: nothing is put in its place, and words being typed stay
    if error.wanted in ("/inbox", "/"):
        return RedirectResponse("/login", 303)
    return RedirectResponse(f"/login?{urlencode({'next': error.wanted})}", 303)


async def _set_up(request: Request, error: Exception) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=401)
    return RedirectResponse("/account/second-step", 303)


async def _no_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if request.url.path.startswith("/v1/"):  # a path with a line end is not even given to the API
        return problem(error.status_code)
    page = error_page(request, error.status_code, error.detail if error.status_code == 403 else "")
    for name, value in (error.headers or {}).items():
        page.headers[name] = value
    return page


async def _no_sense(request: Request, error: Exception) -> Response:
    return error_page(request, 400)


async def _unavailable(request: Request, error: Exception) -> Response:
    log.error("web.store_unavailable", path=request.url.path[:200])
    page = error_page(request, 503)
    page.headers["retry-after"] = "5"
    return page

"""The API as one app: its routers, its OpenAPI document, and one form for every error.

Made by `web.app` and mounted at /v1 there. Promises that each answer is JSON (or a file that was asked for), each error
problem+json, and that the document at /v1/openapi.json says all of it. Knows no cookie and no other origin.
"""

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.mail.reply import OUR_FAULT, Refused
from gateway.store.database import StoreUnavailable
from gateway.web.api import (
    customers,
    documents,
    feed,
    me,
    messages,
    replies,
    runs,
    suppressions,
    templates,
    thread_acts,
    threads,
)
from gateway.web.api.bodies import wrong_fields
from gateway.web.api.callers import WINDOW, Api, ApiError, api_of
from gateway.web.api.description import describe, operation_id
from gateway.web.api.problems import problem, refusal
from gateway.wire.workers import WorkerFailed

log = structlog.get_logger()
ROUTERS = (documents, messages, runs, threads, thread_acts, replies, customers, suppressions, templates, feed, me)


def make_api(api: Api) -> FastAPI:
    """The app."""
    app = bare_api()
    app.state.api = api
    app.add_api_route("/openapi.json", openapi, methods=["GET"], include_in_schema=False)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _no_sense)
    app.add_exception_handler(StoreUnavailable, _unavailable)
    app.add_exception_handler(WorkerFailed, _worker_failed)
    app.add_exception_handler(Exception, _fault)
    app.add_middleware(RateHeaders)
    return app


def bare_api() -> FastAPI:
    """The routes alone, for whoever describes them."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False,
                  generate_unique_id_function=operation_id)  # fmt: skip
    for part in ROUTERS:
        app.include_router(part.router)
    return app


async def openapi(request: Request) -> JSONResponse:
    """The OpenAPI document, for anybody: it is the product's, not a tenant's."""
    if not request.app.openapi_schema:
        request.app.openapi_schema = describe(request.app)
    return JSONResponse(request.app.openapi_schema)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return problem(error.status, error.reply, **error.more)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(error, api_of(request).clock())


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return problem(error.status_code)
    return problem(405, headers={"allow": ", ".join(_allowed(request.scope))})


def _allowed(scope: Scope) -> list[str]:
    """Every method of a URL: its routes stand apart, and each knows its own only (RFC 9110 §15.5.6).

    A path that ends in anything (a customer's key) also matches longer ones, which are not its own: the first counts.
    """
    routes = [route for part in ROUTERS for route in part.router.routes if route.matches(scope)[0] is not Match.NONE]
    path = getattr(routes[0], "path", "") if routes else ""
    return sorted({method for route in routes if getattr(route, "path", "") == path for method in _methods(route)})


def _methods(route: BaseRoute) -> set[str]:
    return getattr(route, "methods", None) or set()


async def _no_sense(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _api_error(request, wrong_fields(error.errors()))


async def _unavailable(request: Request, error: Exception) -> Response:
    log.error("web.store_unavailable", path=request.url.path[:200])
    return problem(503)


async def _worker_failed(request: Request, error: Exception) -> Response:
    log.error("api.worker_failed", path=request.url.path[:200], error=str(error)[:200])
    return problem(503, OUR_FAULT)


async def _fault(request: Request, error: Exception) -> Response:
    return problem(500)  # the wall logs it, with its traceback


class RateHeaders:
    """Says with each answer how many requests the key has left (draft-ietf-httpapi-ratelimit-headers)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""

        async def send_counted(message: Message) -> None:
            rate = scope.get("state", {}).get("rate")
            if message["type"] == "http.response.start" and rate:
                left = f'"requests";r={max(rate["left"], 0)};t={rate["resets"]}'
                policy = f'"requests";q={rate["most"]};w={WINDOW}'
                more = [(b"ratelimit", left.encode()), (b"ratelimit-policy", policy.encode())]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        await self._app(scope, receive, send_counted)

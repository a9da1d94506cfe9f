"""The OpenAPI 3.1 document: what the routes say of themselves, and what holds for all of them.

Made by `web.api.app` when it is asked for, and read by the test that writes docs/api.md. Adds the header fields that
answers carry, the key, and *links*: which answer holds the id that another operation asks for, so that programs (and
tests) find their way from one to the next.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from gateway import __version__
from gateway.web.api.shapes import schemas

DESCRIPTION = """Hand documents and mail over, and follow what became of them.

Each request carries an API key: `Authorization: Bearer gwk_…`. An error is `application/problem+json` (RFC 9457) with
the codes of the SMTP side. `Idempotency-Key` is remembered for 7 days: the same request once more gets the first
answer. Lists give `next`, the cursor of the next page, until it is null. A 202 is said after the commit."""

# status -> the header fields of an answer: name -> (what it says, its form)
_COUNTED = {
    "RateLimit": ("how many requests the key has left", '^"requests";r=[0-9]+;t=[0-9]+$'),
    "RateLimit-Policy": ("how many it has in a minute", '^"requests";q=[0-9]+;w=[0-9]+$'),
}
_WAIT = {"Retry-After": ("seconds until the same request may be made again", "^[1-9][0-9]*$")}
HEADERS: dict[str, dict[str, tuple[str, str]]] = {
    **dict.fromkeys(("200", "202", "403", "413", "415"), _COUNTED),
    "401": {"WWW-Authenticate": ("how to name a key (RFC 6750)", "^Bearer ")},
    "405": {"Allow": ("the methods of this URL", "^[A-Z, ]+$")},
    "429": _WAIT,
    "503": _WAIT,
}

_MAIL, _THREAD = "messages_get_one", "threads_get_one"
# the schema of an answer -> its links: name -> (operation, that operation's parameter, where the answer has it)
LINKS: dict[str, dict[str, tuple[str, str, str]]] = {
    "ReceiptShown": {
        "mail": (_MAIL, "message_id", "/message_id"),
        "source": ("messages_get_source", "message_id", "/message_id"),
        "cancel": ("messages_cancel_one", "message_id", "/message_id"),
        "retry": ("messages_retry_one", "message_id", "/message_id"),
        "thread": (_THREAD, "thread_id", "/thread_id"),
        "close": ("threads_close_one", "thread_id", "/thread_id"),
        "reopen": ("threads_reopen_one", "thread_id", "/thread_id"),
    },
    "SuppressionShown": {
        "address": ("suppressions_get_one", "address", "/address"),
        "forget": ("suppressions_delete_one", "address", "/address"),
    },
}


def operation_id(route: APIRoute) -> str:
    """How an operation is named, for generated clients: `messages_send_message`."""
    return f"{route.tags[0]}_{route.name}" if route.tags else route.name


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of an app whose routes are named by `operation_id`."""
    made = get_openapi(
        title="A/R mail gateway", version=__version__, openapi_version="3.1.0", description=DESCRIPTION,
        routes=app.routes, servers=[{"url": "/v1"}],
    )  # fmt: skip
    components = made.setdefault("components", {})
    named, more = components.setdefault("schemas", {}), schemas()
    assert not (both := named.keys() & more.keys()), both  # one of two would say what the other means
    named.update(more)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "gwk_…"}}
    made["security"] = [{"key": []}]
    for operations in made["paths"].values():
        for one in operations.values():
            for status, response in one["responses"].items():
                _complete(status, response)
    return made


def _complete(status: str, response: dict[str, Any]) -> None:
    """Say of one answer which header fields it has, and where its ids lead."""
    if fields := HEADERS.get(status):
        response["headers"] = {
            name: {"description": words, "required": True, "schema": {"type": "string", "pattern": form}}
            for name, (words, form) in fields.items()
        }
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    if links := LINKS.get(schema.get("$ref", "").rpartition("/")[2]):
        response["links"] = {
            name: {"operationId": operation, "parameters": {parameter: f"$response.body#{pointer}"}}
            for name, (operation, parameter, pointer) in links.items()
        }

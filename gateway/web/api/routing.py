"""What the API's routes share: how each is described in the OpenAPI document, lists' parameters, the answer of a door.

Used by every router of `web.api`. A path's ids have the form of ours, so a malformed one is not found as a foreign one
is: 404, without a look into the database.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response
from starlette.convertors import Convertor, register_url_convertor

from gateway.mail.reply import Reply
from gateway.outbound.handed import Receipt
from gateway.web.api import shapes
from gateway.web.api.callers import ApiError
from gateway.web.api.examples import DOCUMENT_ID, DOCUMENT_TYPE, EXAMPLES
from gateway.web.api.problems import MEDIA, REPLIES, STATUSES

Limit = Annotated[int, Query(ge=1, le=200, description="most entries of a page")]
Id = Annotated[str, Query(max_length=20, pattern=r"^[0-9a-z]*$", description="a cursor: `next` of the page before")]
DocumentType = Annotated[str, Path(description="invoice and the like: docs/smtp.md", examples=[DOCUMENT_TYPE])]
DocumentId = Annotated[str, Path(description="the billing system's own", examples=[DOCUMENT_ID])]
_KEY = re.compile(r"[!-~]{1,256}\Z")
KEY_HEADER = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "remembered for 7 days: the same request once more gets the first answer",
    "schema": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[!-~]+$"},
}  # fmt: skip


class IdConvertor(Convertor[str]):
    """An id of ours in a path."""

    regex = "[0-9a-z]{20}"

    def convert(self, value: str) -> str:
        """As it stands."""
        return value

    def to_string(self, value: str) -> str:
        """As it stands."""
        return value


register_url_convertor("gwid", IdConvertor())

_WORDS = {status: REPLIES[status].text for status in STATUSES} | {409: "There is nothing to be done, or it was done"}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, words in sorted(_WORDS.items())
}


def takes(schemas: Mapping[str, str], parameters: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """How a body is described: media type -> the name of its schema, "" for text or bytes of that type."""
    content = {kind: _body(name) for kind, name in schemas.items()}
    made: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    return made | ({"parameters": list(parameters)} if parameters else {})


def _body(name: str) -> dict[str, Any]:
    if not name:
        return {"schema": {"type": "string"}}
    example = {"examples": {"usual": {"value": EXAMPLES[name]}}} if name in EXAMPLES else {}
    return {"schema": {"$ref": f"#/components/schemas/{name}"}} | example


def gives_file(kind: str) -> dict[int | str, dict[str, Any]]:
    """How an answer is described that is a file."""
    content = {kind: {"schema": {"type": "string", "contentMediaType": kind}}}
    return {200: {"description": "The file", "content": content}}


def page(found: Sequence[Any], limit: int, cursor: Callable[[Any], str]) -> dict[str, Any]:
    """A page of a list of which one entry more was read, with the cursor of the next one."""
    return {"data": found[:limit], "next": cursor(found[limit - 1]) if len(found) > limit else None}


def took(receipt: Receipt, code: int = 202) -> Response:
    """The answer of the door."""
    return shapes.answer(shapes.ReceiptShown, receipt, code)


def idempotency_key(request: Request) -> tuple[tuple[str, str], ...]:
    """The key of a request, as a field of the door; () without one. Raises ApiError 422 for one that is none."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return ()
    if not _KEY.match(key):
        words = "Idempotency-Key has 1 to 256 printable characters of ASCII and no space; send another, or none"
        raise ApiError(422, Reply(501, "5.5.4", words))
    return (("X-AR-Idempotency-Key", key),)

"""What the API's routes share: how each is described in the OpenAPI document, lists' parameters, the answer of a door.

Used by every router of `web.api`. A path's ids have the form of ours, so a malformed one is not found as a foreign one
is: 404, without a look into the database.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response
from starlette.convertors import Convertor, register_url_convertor

from gateway.outbound.handed import Receipt as DoorReceipt
from gateway.web.api import shapes
from gateway.web.api.problems import MEDIA, REPLIES, STATUSES

Limit = Annotated[int, Query(ge=1, le=200, description="most entries of a page")]
Id = Annotated[str, Query(max_length=20, pattern=r"^[0-9a-z]*$", description="a cursor: `next` of the page before")]
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
    content = {
        kind: {"schema": {"$ref": f"#/components/schemas/{name}"} if name else {"type": "string"}}
        for kind, name in schemas.items()
    }
    made: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    return made | ({"parameters": list(parameters)} if parameters else {})


def gives_file(kind: str) -> dict[int | str, dict[str, Any]]:
    """How an answer is described that is a file."""
    content = {kind: {"schema": {"type": "string", "contentMediaType": kind}}}
    return {200: {"description": "The file", "content": content}}


def took(receipt: DoorReceipt, code: int = 202) -> Response:
    """The answer of the door."""
    return shapes.answer(shapes.Receipt, receipt, code)


def idempotency_key(request: Request) -> tuple[tuple[str, str], ...]:
    """The key of a request, as a field of the door; () without one."""
    key = request.headers.get("idempotency-key", "").strip()
    return (("X-AR-Idempotency-Key", key),) if key else ()

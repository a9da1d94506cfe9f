"""The body of a request, bounded in size, time and memory, and read as JSON where that holds nobody up.

Used by the routes that take one. A body is counted in the memory of all bodies while the request lasts (503 when there
is no room); what is large is parsed on a thread. Refuses 408, 413, 415 and 422, each in words.
"""

import asyncio
import base64
import binascii
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from gateway.mail.reply import Reply
from gateway.web.api.callers import Api, ApiError, api_of
from gateway.wire.capacity import NO_MEMORY

M = TypeVar("M", bound=BaseModel)

CHUNK_SECONDS = 30.0  # without a byte
BODY_SECONDS = 300.0  # in all
LARGE = 64 * 1024  # bytes from which parsing would hold the event loop up
MOST_ERRORS = 5
JSON = "application/json"


def media_type(request: Request, taken: Sequence[str]) -> str:
    """The media type of the body, one of those taken. Raises ApiError 415."""
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in taken:
        words = f"the body is {found[:60] or 'of no type'}; send {' or '.join(taken)}"
        raise ApiError(415, Reply(554, "5.6.1", words))
    return found


@asynccontextmanager
async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The bytes; they count as held until the context ends. Raises ApiError 408, 413 or 503."""
    api, held = api_of(request), 0
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:12]) > api.max_body:
        raise _too_large(api)
    refused = api.capacity.refusal(int(announced[:12]) if announced.isdigit() else 0, asyncio.get_running_loop().time())
    if refused is not None:
        raise ApiError(503, refused)
    body = bytearray()
    try:
        async for chunk in _chunks(request):
            body += chunk
            held += len(chunk)
            if not api.capacity.hold(len(chunk)):
                raise ApiError(503, NO_MEMORY)
            if len(body) > api.max_body:
                raise _too_large(api)
        yield bytes(body)
    finally:
        api.capacity.hold(-held)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                async with asyncio.timeout(CHUNK_SECONDS):
                    chunk = await anext(stream, None)
                if chunk is None:
                    return
                yield chunk
    except TimeoutError:
        raise ApiError(408) from None


def _too_large(api: Api) -> ApiError:
    words = f"the body is larger than {api.max_body} bytes; nothing was stored"
    return ApiError(413, Reply(552, "5.3.4", words), headers={"connection": "close"})


async def read_body(raw: bytes, model: type[M]) -> M:
    """What a JSON body says. Raises ApiError 422 with the members that are wrong."""
    try:
        return await asyncio.to_thread(_read, raw, model) if len(raw) > LARGE else _read(raw, model)
    except ValidationError as error:
        raise wrong_fields(error.errors(include_url=False, include_input=False)) from None


async def read_json(request: Request, model: type[M]) -> M:
    """The whole of a request whose body is JSON and no more than that. Raises ApiError as the three steps do."""
    media_type(request, (JSON,))
    async with body_of(request) as raw:
        return await read_body(raw, model)


def _read(raw: bytes, model: type[M]) -> M:
    return model.model_validate_json(raw)


def decode_file(filename: str, content: str) -> bytes:
    """The bytes of a file that a body holds in Base64. Raises ApiError 422."""
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        words = f"the content of {filename[:100]!r} is not base64"
        raise ApiError(422, Reply(501, "5.5.4", words)) from None


def wrong_fields(found: Sequence[Any]) -> ApiError:
    """The refusal of members, or parameters, that are not right: what is wrong with each (RFC 6901 pointers)."""
    errors = [
        {"pointer": "/" + "/".join(_escape(part) for part in one["loc"]), "detail": _plain(one["msg"])}
        for one in found[:MOST_ERRORS]
    ]
    first = errors[0] if errors else {"pointer": "", "detail": "the request is not right"}
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    words = f"{first['pointer']}: {first['detail']}{more}"
    return ApiError(422, Reply(501, "5.5.4", words[:1000]), errors=errors)


def _escape(part: Any) -> str:
    return _plain(str(part)).replace("~", "~0").replace("/", "~1")[:100]


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # a lone surrogate of theirs cannot be said again


def digest_of(*parts: Any) -> str:
    """What an idempotency key stands for: the whole request, in whatever order its members came."""
    found = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        found.update(hashlib.sha256(data).digest())
    return found.hexdigest()

"""A form with one file (RFC 7578), small and quick, from our own page: a logo, a list.

Called by the routes that take a file, with the visit whose token must come with it. Refuses what a form without a file
is refused for, and what is larger than the route allows, before anything is read of it.
"""

import asyncio
import hmac
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from gateway.web.site import Visit, check_origin

TIME = 60.0  # seconds for a body to arrive
_FRAME = 16 * 1024  # bytes of a form beside its file


@dataclass(frozen=True)
class Upload:
    """A form's fields and its one file; b"" when none was chosen."""

    fields: Mapping[str, str]
    filename: str
    content: bytes


async def read_upload(request: Request, visit: Visit, limit: int) -> Upload:
    """The form of a change by who administers the tenant. Raises HTTPException 400, 403, 408, 413 or 415."""
    check_origin(request)
    if visit.session.user.role != "admin":
        raise HTTPException(403, "role")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(415)
    body = await _body(request, limit + _FRAME)
    parser = MultiPartParser(Headers({"content-type": request.headers["content-type"]}), _once(body),
                             max_files=1, max_fields=20, max_part_size=limit + 1)  # fmt: skip
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, LookupError):
        raise HTTPException(400) from None
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    if not hmac.compare_digest(fields.get("csrf", "").encode(), visit.session.csrf.encode()):
        raise HTTPException(403, "form")
    file = next((value for _, value in form.multi_items() if isinstance(value, UploadFile)), None)
    content = await file.read() if file else b""
    if len(content) > limit:
        raise HTTPException(413)
    return Upload(fields, (file.filename or "") if file else "", content)


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
    yield b""


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(TIME):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408) from None
    return bytes(body)

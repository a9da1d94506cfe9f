"""The form of an answer with its files (RFC 7578): streamed to temporary files while it arrives, bounded, checked.

Called by the page that sends an answer. Refuses before anything is read what does not come from our own pages, or from
a role that may not answer; then what is too large, and what lacks the visit's token. A form without files will do.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from gateway.inbox.attaching import MOST_FILES
from gateway.web.site import Visit, check_origin, read_form, same_token

TIME = 300.0  # seconds for a body to arrive
_FIELDS = 600 * 1024  # bytes of what is written
_ONE_FIELD = 400 * 1024


class TooLarge(Exception):
    """The files are larger together than a mail may be; what was written could not be read either."""


@dataclass(frozen=True)
class AnswerForm:
    """What was written, and the files that were chosen, open until they are closed."""

    fields: Mapping[str, str]
    kept: tuple[str, ...] = ()  # files of mails that go with it, "message:number"
    files: tuple[UploadFile, ...] = ()

    async def read(self) -> list[tuple[str, bytes]]:
        """(name, content) of each file; closes them."""
        found = [(one.filename or "", await one.read()) for one in self.files]
        for one in self.files:
            await one.close()
        return found


async def read_answer(request: Request, visit: Visit, most_bytes: int) -> AnswerForm:
    """The form of whoever may answer. Raises TooLarge, or HTTPException 400, 403, 408 or 415."""
    check_origin(request)
    if not visit.may_change:
        raise HTTPException(403, "role")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = await (_read_parts(request, most_bytes) if kind == "multipart/form-data" else _read_plain(request))
    if not same_token(visit.session.csrf, form.fields.get("csrf", "")):
        for one in form.files:
            await one.close()
        raise HTTPException(403, "form")
    return form


async def _read_plain(request: Request) -> AnswerForm:
    return AnswerForm(await read_form(request))


async def _read_parts(request: Request, most_bytes: int) -> AnswerForm:
    parser = MultiPartParser(
        Headers({"content-type": request.headers["content-type"]}), _bounded(request, most_bytes + _FIELDS),
        max_files=MOST_FILES + 1, max_fields=60, max_part_size=_ONE_FIELD,
    )  # fmt: skip
    try:
        async with asyncio.timeout(TIME):
            form = await parser.parse()
    except TimeoutError:
        raise HTTPException(408) from None
    except (MultiPartException, KeyError, ValueError, LookupError):
        raise HTTPException(400) from None
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    kept = tuple(value for name, value in form.multi_items() if name == "kept" and isinstance(value, str))
    files = tuple(one for _, one in form.multi_items() if isinstance(one, UploadFile) and (one.filename or one.size))
    return AnswerForm(fields, kept[:60], files)


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. What is too large is read to its end unless it is huge, so that the answer is seen."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            yield chunk
        elif size > 8 * most:
            break
    if size > most:
        raise TooLarge

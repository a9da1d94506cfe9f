"""Downloading an evidence: everything that proves how a document or a conversation was mailed, as one ZIP.

The ZIP is written to a file without a name beside the pages (never wholly in memory), a few at a time, and sent from
there. Whoever may look may download; what is not the tenant's is not found.
"""

import asyncio
import functools
import tempfile
from collections.abc import Iterator
from typing import IO, Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from gateway.inbox.evidence import Evidence, read_evidence
from gateway.inbox.evidence_file import Draw, file_name, pack
from gateway.mail.reply import Refused
from gateway.outbound.printing import print_evidence
from gateway.settings.workshop import confined
from gateway.store.database import Database
from gateway.web.evidence_words import teller
from gateway.web.files import download_headers
from gateway.web.site import Visit, need_visit, need_workshop, site_of

router = APIRouter()
CHUNK = 256 * 1024  # bytes
Looking = Annotated[Visit, Depends(need_visit)]


@router.get("/threads/{thread_id}/evidence.zip")
async def of_thread(request: Request, visit: Looking, thread_id: str) -> Response:
    """The evidence of a thread."""
    return await _send(request, visit, thread_id.replace("/", ""))


@router.get("/documents/{type}/{document_id:path}/evidence.zip")
async def of_document(request: Request, visit: Looking, type: str, document_id: str) -> Response:
    """The evidence of a document: of the thread that its mail is in."""
    return await _send(request, visit, f"{type}/{document_id}")


async def _send(request: Request, visit: Visit, name: str) -> Response:
    site, workshop = site_of(request), need_workshop(request)
    try:
        found = await site.database.read(read_evidence, site.clock(), visit.tenant, name, visit.session.user.email)
    except Refused:
        raise HTTPException(404) from None
    draw = functools.partial(confined, workshop, print_evidence)
    async with site.packing:
        return await zipped(site.database, found, visit.reader.language, draw)


async def zipped(database: Database, found: Evidence, language: str, draw: Draw) -> StreamingResponse:
    """The ZIP as an answer that a browser saves. Raises what `draw` raises."""
    file = await asyncio.to_thread(tempfile.TemporaryFile)
    try:
        await pack(database, found, file, teller(found.tenant, language), draw)
        size = await asyncio.to_thread(file.tell)
        await asyncio.to_thread(file.seek, 0)
    except BaseException:
        file.close()
        raise
    headers = {"content-length": str(size), **download_headers(file_name(found))}
    return StreamingResponse(_chunks(file), media_type="application/zip", headers=headers)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Read on the threads of the response; the file is gone when it is closed."""
    with file:
        while chunk := file.read(CHUNK):
            yield chunk

"""The file behind a link in a mail, because it was too large to go along: a download for whoever holds the link.

No login: the 128 random bits of the address are the proof. A link that is unknown or has expired is not found, and says
no more. The file is always saved and never shown (security rule 10), and is read from the database in pieces. That it
was fetched is a line in the thread; mail scanners fetch links too, so it proves no reader.
"""

from collections.abc import AsyncIterator

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from gateway.store.database import to_ms
from gateway.store.shared_files import CHUNK, find_shared_file, note_download, read_shared_file
from gateway.web.files import download_headers
from gateway.web.site import Site, site_of

router = APIRouter()
TOKEN_LIMIT = 64  # characters


@router.api_route("/f/{token}", methods=["GET", "HEAD"])
async def download_shared(request: Request, token: str) -> Response:
    """The file. Raises HTTPException 404."""
    site = site_of(request)
    now_ms = to_ms(site.clock())
    known = len(token) <= TOKEN_LIMIT and token.isascii()
    found = await site.database.read(find_shared_file, now_ms, token) if known else None
    if found is None:
        raise HTTPException(404)
    headers = download_headers(found.filename) | {
        "content-length": str(found.size),
        "x-robots-tag": "noindex, nofollow",
        "referrer-policy": "no-referrer",  # the address is the proof: it goes nowhere else
    }
    if request.method == "HEAD":
        return Response(headers=headers, media_type=found.content_type)
    await site.database.write(note_download, now_ms, found)
    return StreamingResponse(_pieces(site, now_ms, token, found.size), headers=headers, media_type=found.content_type)


async def _pieces(site: Site, now_ms: int, token: str, size: int) -> AsyncIterator[bytes]:
    for at in range(0, size, CHUNK):
        yield await site.database.read(read_shared_file, now_ms, token, at)

"""What can be taken out of the inbox: a mail's source and its files; and a mail's HTML in its sandbox.

Everything is a download, under a name that no file system or eye can misread, and never shown as a page of ours: a file
from a stranger is a stranger's file (security rule 10). The one thing shown is cleaned HTML, with a policy of its own.
"""

import re
import unicodedata
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response
from markupsafe import escape

from gateway.inbox.parts import read_attachment, read_html, read_source
from gateway.web.pages import environment
from gateway.web.safety import IMAGES_POLICY, MAIL_POLICY
from gateway.web.site import Visit, need_visit, site_of

router = APIRouter()
NAME_LIMIT = 120  # characters
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|]+')

Looking = Annotated[Visit, Depends(need_visit)]


@router.get("/inbox/messages/{message_id}/source.eml")
async def download_source(request: Request, visit: Looking, message_id: str) -> Response:
    """A mail as it left or came, byte for byte."""
    raw = await site_of(request).database.read(read_source, visit.tenant.id, message_id)
    if raw is None:
        raise HTTPException(404)
    return download(raw, f"{message_id}.eml", "message/rfc822")


@router.get("/inbox/messages/{message_id}/parts/{number}")
async def download_part(request: Request, visit: Looking, message_id: str, number: str) -> Response:
    """A mail's n-th file."""
    wanted = int(number) if re.fullmatch("[1-9][0-9]{0,3}", number) else 0
    found = await site_of(request).database.read(read_attachment, visit.tenant.id, message_id, wanted)
    if found is None:
        raise HTTPException(404)
    return download(found[1], found[0] or f"{message_id}-{wanted}", "application/octet-stream")


@router.get("/inbox/messages/{message_id}/html")
async def show_html(request: Request, visit: Looking, message_id: str, images: str = "") -> Response:
    """A mail's HTML, cleaned, for the sandboxed frame of the thread's page; with its images when they are asked for.

    Whoever has an image learns the reader's address and nothing else: no page of ours is named, no cookie sent.
    """
    html = await site_of(request).database.read(read_html, visit.tenant.id, message_id, bool(images))
    if html is None:
        raise HTTPException(404)
    say = environment(visit.reader.language).filters["say"]
    body = html or escape(say("This mail has no HTML."))
    page = f'<!doctype html><meta charset="utf-8"><title>-</title><body style="font-family:sans-serif">{body}'
    policy = IMAGES_POLICY if images else MAIL_POLICY
    headers = {"content-security-policy": policy, "referrer-policy": "no-referrer"}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def download(content: bytes, name: str, media_type: str) -> Response:
    """An answer that a browser saves and does not show."""
    return Response(content, media_type=media_type, headers=download_headers(name))


def download_headers(name: str) -> dict[str, str]:
    """The header fields that make a browser save what it gets, under this name, and never show it as a page of ours."""
    safe = safe_name(name)
    plain = re.sub(r"[^\w.() -]", "_", unicodedata.normalize("NFKD", safe).encode("ascii", "ignore").decode()) or "file"
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"  # RFC 6266
    policy = "sandbox; default-src 'none'; frame-ancestors 'none'"
    return {"content-disposition": disposition, "content-security-policy": policy}


def safe_name(name: str) -> str:
    """A file name without folders, control characters or marks that turn the reading direction; the ending is kept."""
    name = "".join(char for char in name if unicodedata.category(char) not in ("Cf", "Cs", "Co", "Zl", "Zp"))
    name = _UNSAFE.sub("_", name).strip(" .")
    if len(name) > NAME_LIMIT:
        stem, dot, ending = name.rpartition(".")
        ending = dot + ending if stem and len(ending) <= 10 else ""
        name = name[: NAME_LIMIT - len(ending)] + ending
    return name or "file"

"""Stopped addresses: the list with search, one more, one less, and the list as a file, out and in."""

import asyncio
import io
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from gateway.inbox.timeline import msgid
from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.outbound.suppression import (
    ALLOWED,
    Entry,
    forget_expired,
    import_suppressed,
    list_suppressed,
    put_suppressed,
    unsuppress,
)
from gateway.outbound.suppression_csv import Fault, read_entries, write_entries, write_header
from gateway.store.database import Database, to_ms
from gateway.web.files import download_headers
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.settings.uploads import Upload, read_upload
from gateway.web.site import Visit, site_of

router = APIRouter()
PAGE = 100  # addresses on a page
BATCH = 1000  # addresses of one transaction
FILE_LIMIT = 8_000_000  # bytes; more is for the command
SHOWN = 20  # faults of a file that are told one by one
SOURCES = {"bounce": msgid("by a server's answer"), "person": msgid("by a person"), "import": msgid("from a file")}


@router.get("/settings/suppressions")
async def show_list(request: Request, visit: Looking, part: str = "", after: str = "") -> Response:
    """A page of the list by address; `part` of an address, or a reason, finds."""
    return await _page(request, visit, part[:320].strip(), after[:320])


async def _page(request: Request, visit: Visit, part: str = "", after: str = "", **more: Any) -> Response:
    database = site_of(request).database
    found = await database.read(list_suppressed, visit.tenant.id, after=after, limit=PAGE + 1, part=part)
    following = found[PAGE - 1].address if len(found) > PAGE else ""
    shown: dict[str, Any] = {"problem": None, "imported": None} | more
    return show(
        request, "suppressions", found=found[:PAGE], part=part, following=following, first=not after, sources=SOURCES,
        allowed=ALLOWED, **shown,
    )  # fmt: skip


@router.post("/settings/suppressions")
async def add(request: Request, visit: Looking, form: Form) -> Response:
    """Stop mail to an address, or let it go whatever servers say."""
    site, by = site_of(request), visit.session.user.email
    try:
        address = parse_address(form.get("address", "")[:400]).key
        evidence = f"{by}: {form.get('why', '').strip()[:300]}".rstrip(": ")
        entry = Entry(address, ALLOWED, evidence) if form.get("what") == "allow" else Entry(address, evidence=evidence)
        await site.database.write(put_suppressed, to_ms(site.clock()), visit.tenant.id, entry)
    except Refused as refused:
        return await _page(request, visit, problem=refused)
    return again("/settings/suppressions", "added")


@router.post("/settings/suppressions/remove")
async def remove(request: Request, visit: Looking, form: Form) -> Response:
    """Let mail go there again, until it fails for good again."""
    if not await site_of(request).database.write(unsuppress, visit.tenant.id, form.get("address", "")):
        raise HTTPException(404)
    return again("/settings/suppressions", "removed")


@router.get("/settings/suppressions.csv")
async def export(request: Request, visit: Looking) -> Response:
    """The whole list, safe for spreadsheets."""
    site = site_of(request)
    await site.database.write(forget_expired, to_ms(site.clock()), visit.tenant.id)
    lines = _lines(site.database, visit.tenant.id)
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=download_headers("suppressions.csv"))


def _lines(database: Database, tenant_id: str) -> Iterator[str]:
    """Read page by page, on the thread of the answer."""
    text, after = io.StringIO(), ""
    write_header(text)
    yield text.getvalue()
    while page := database.read_now(list_suppressed, tenant_id, after=after, limit=BATCH):
        text = io.StringIO()
        write_entries(text, page)
        yield text.getvalue()
        after = page[-1].address


@router.post("/settings/suppressions/import")
async def import_file(request: Request, visit: Looking) -> Response:
    """Add the addresses of a CSV file; those that are there stay as they are."""
    upload = await read_upload(request, visit, FILE_LIMIT)
    site = site_of(request)
    await site.database.write(forget_expired, to_ms(site.clock()), visit.tenant.id)
    try:
        entries, faults = await asyncio.to_thread(_read, upload)
    except Refused as refused:
        return await _page(request, visit, problem=refused)
    added = known = 0
    for at in range(0, len(entries), BATCH):
        part = entries[at : at + BATCH]
        counts = await site.database.write(import_suppressed, to_ms(site.clock()), visit.tenant.id, part)
        added, known = added + counts[0], known + counts[1]
    imported = {"added": added, "known": known, "left_out": len(faults), "faults": faults[:SHOWN]}
    return await _page(request, visit, imported=imported)


def _read(upload: Upload) -> tuple[list[Entry], list[Fault]]:
    found = list(read_entries(io.StringIO(upload.content.decode("utf-8-sig", "replace"))))
    return [one for one in found if isinstance(one, Entry)], [one for one in found if isinstance(one, Fault)]

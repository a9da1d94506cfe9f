"""Delivery settings: whom mail comes from, by which way it leaves, where answers and reports come in."""

from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.mail.reply import Refused
from gateway.settings.domains import add_author
from gateway.store.database import Transaction
from gateway.store.domains import StoredDomain, all_domains
from gateway.store.mailboxes import Mailbox, list_mailboxes
from gateway.store.routes import Kept, get_server
from gateway.store.settings import SENDING
from gateway.store.tenants import list_identities, remove_identity, set_tenant
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.site import Visit, need_workshop, site_of

router = APIRouter()
HOME = "/settings/delivery"


@dataclass(frozen=True)
class _Found:
    server: Kept | None
    domains: list[StoredDomain]
    mailboxes: list[Mailbox]
    authors: list[str]


@router.get("/settings/delivery")
async def show_delivery(request: Request, visit: Looking) -> Response:
    """All of it on one page."""
    return await _page(request, visit)


async def _page(request: Request, visit: Visit, problem: Refused | None = None) -> Response:
    workshop = need_workshop(request)
    found = await site_of(request).database.read(_read, visit.tenant.id)
    desk = await workshop.door.desks.get(visit.tenant.id, fresh=True)
    letterhead = workshop.door.letterhead
    return show(
        request, "delivery", found=found, author=str(desk.author if desk else letterhead.shared),
        shared=str(letterhead.shared), inbox=letterhead.inbox_address(visit.tenant), problem=problem,
    )  # fmt: skip


def _read(tx: Transaction, tenant_id: str) -> _Found:
    return _Found(
        get_server(tx, tenant_id), all_domains(tx, tenant_id), list_mailboxes(tx, tenant_id),
        list_identities(tx, tenant_id),
    )  # fmt: skip


@router.post("/settings/delivery")
async def change(request: Request, visit: Looking, form: Form) -> Response:
    """From the shared address or from the tenant's own; from the next message on (S13)."""
    if form.get("sending") not in SENDING:
        raise HTTPException(400)
    await site_of(request).database.write(set_tenant, visit.tenant.id, sending=form["sending"])
    return again(HOME)


@router.post("/settings/delivery/contact")
async def change_contact(request: Request, visit: Looking, form: Form) -> Response:
    """The contact address, which is not the author's (S84)."""
    try:
        contact = form.get("contact_email", "").strip()
        await site_of(request).database.write(set_tenant, visit.tenant.id, contact_email=contact)
    except Refused as refused:
        return await _page(request, visit, refused)
    return again(HOME)


@router.post("/settings/delivery/authors")
async def change_authors(request: Request, visit: Looking, form: Form) -> Response:
    """One more address that mail may come from, or one less."""
    site, address = site_of(request), form.get("address", "").strip()[:400]
    if form.get("action") == "remove":
        if not await site.database.write(remove_identity, visit.tenant.id, address):
            raise HTTPException(404)
        return again(HOME, "removed")
    try:
        house = need_workshop(request).house
        await site.database.write(add_author, site.clock(), house, visit.tenant.id, address)
    except Refused as refused:
        return await _page(request, visit, refused)
    return again(HOME, "added")

"""Customers on pages: the list with what each owes; a customer with its addresses, documents and threads.

What is shown and done is `gateway.inbox.customers`'; an address that fails is corrected as on the worklist of bounces.
A customer that is not the tenant's is not found.
"""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.correcting import correct
from gateway.inbox.customers import (
    choose_language,
    drop_contact,
    let_remind,
    list_customers,
    put_contact,
    read_customer,
)
from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.store.customers import get_customer
from gateway.web import document_words
from gateway.web.pages import render, say
from gateway.web.site import Visit, need_change, need_visit, need_workshop, site_of

router = APIRouter()
Looking = Annotated[Visit, Depends(need_visit)]
Form = Annotated[dict[str, str], Depends(need_change)]

_DID = {"drop": "dropped", "correct": "corrected", "language": "language", "remind": "resumed"}


@router.get("/customers")
async def show_list(request: Request, visit: Looking, q: str = "", after: str = "") -> Response:
    """A page of customers by name."""
    site, words = site_of(request), q.strip()[:200]
    now = site.clock()
    page = await site.database.read(
        list_customers, now, visit.tenant.id, now.astimezone(visit.reader.zone).date(), words=words, after=after[:400]
    )
    return render(request, "customers.html", page=page, q=words, first=not after, said=document_words)


@router.post("/customers/change")
async def change(request: Request, visit: Looking, form: Form) -> Response:
    """An address more, changed, corrected or less; the language; reminders on again."""
    site, key, action = site_of(request), form.get("key", ""), form.get("action", "")
    now, tenant_id, by, email = site.clock(), visit.tenant.id, visit.session.user.email, form.get("email", "")
    if await site.database.read(get_customer, tenant_id, key) is None:
        raise HTTPException(404)
    try:
        if action == "drop":
            await site.database.write(drop_contact, now, tenant_id, key, email, by)
        elif action == "correct":
            new = str(parse_address(form.get("new", "").strip()))
            await correct(need_workshop(request).door, tenant_id, email, new, by, now)
        elif action == "language":
            await site.database.write(choose_language, now, tenant_id, key, form.get("language", ""))
        elif action == "remind":
            await site.database.write(let_remind, now, tenant_id, key, by)
        else:
            await site.database.write(
                put_contact, now, tenant_id, key, email, by,
                role=form.get("role", "to"), name=form.get("name", ""), language=form.get("language", ""),
            )  # fmt: skip
    except Refused as refused:
        if refused.reply.code == 404:
            raise HTTPException(404) from None
        return await _page(request, visit, key, wrong=say(request, refused))
    did = {"drop": "dropped", "correct": "corrected", "language": "language", "remind": "resumed"}.get(
        action, "contact"
    )
    return RedirectResponse(f"/customers/{quote(key, safe='')}?{urlencode({'did': did})}", 303)


@router.get("/customers/{key:path}")
async def show_one(request: Request, visit: Looking, key: str, did: str = "") -> Response:
    """A customer with all that belongs to it."""
    return await _page(request, visit, key, did=did)


async def _page(request: Request, visit: Visit, key: str, *, did: str = "", wrong: str = "") -> Response:
    site = site_of(request)
    now = site.clock()
    today = now.astimezone(visit.reader.zone).date()
    found = await site.database.read(read_customer, now, visit.tenant.id, key, today)
    if found is None:
        raise HTTPException(404)
    return render(
        request, "customer.html", 409 if wrong else 200, found=found, said=document_words, did=did, wrong=wrong
    )  # fmt: skip

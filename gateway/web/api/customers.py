"""Customers over HTTP, and their addresses: the functions of `gateway customer`, within the key's tenant."""

from operator import attrgetter
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.store.customers import (
    Customer,
    add_contact,
    list_contacts,
    list_customers,
    need_customer,
    remove_contact,
)
from gateway.store.database import Transaction
from gateway.web.api import listed, shapes
from gateway.web.api.asked import AskedContact
from gateway.web.api.bodies import JSON, read_json
from gateway.web.api.callers import ApiError, Caller, api_of, need
from gateway.web.api.routing import PROBLEMS, Limit, page, takes
from gateway.web.api.shapes import answer

router = APIRouter(tags=["customers"], responses=PROBLEMS)
Reading = Annotated[Caller, Depends(need("customers:read"))]
Writing = Annotated[Caller, Depends(need("customers:write"))]


@router.get("/customers", response_model=listed.Customers)
async def list_some(
    request: Request,
    caller: Reading,
    words: Annotated[str, Query(max_length=200, description="part of a name, key or address")] = "",
    after: Annotated[str, Query(max_length=400, description="a cursor: `next` of the page before")] = "",
    limit: Limit = 50,
) -> Response:
    """Customers by name."""
    found = await api_of(request).door.database.read(
        list_customers, caller.tenant.id, words=words, limit=limit + 1, after=after
    )
    return answer(listed.Customers, page(found, limit, attrgetter("key")))


def _whole(tx: Transaction, tenant_id: str, key: str) -> shapes.WholeCustomer:
    found: Customer = need_customer(tx, tenant_id, key)
    shown = shapes.CustomerShown.model_validate(found, from_attributes=True).model_dump()
    return shapes.WholeCustomer.model_validate(
        shown | {"contacts": [shapes.ContactShown.model_validate(one) for one in list_contacts(tx, tenant_id, key)]}
    )


@router.put(
    "/customers/{key:path}/contacts/{email}", response_model=shapes.ContactShown,
    openapi_extra=takes({JSON: "AskedContact"}),
)  # fmt: skip
async def put_contact(request: Request, caller: Writing, key: str, email: str) -> Response:
    """Give a customer an address, or change the one that it has; no document overwrites it."""
    body = await read_json(request, AskedContact)
    api = api_of(request)
    made = await api.door.database.write(
        add_contact, api.clock(), caller.tenant.id, key, email, role=body.role, name=body.name, language=body.language
    )
    return answer(shapes.ContactShown, made)


@router.delete("/customers/{key:path}/contacts/{email}", response_model=shapes.Changed)
async def delete_contact(request: Request, caller: Writing, key: str, email: str) -> Response:
    """Forget an address; a document that names it brings it back."""
    if not await api_of(request).door.database.write(remove_contact, caller.tenant.id, key, email):
        raise ApiError(404)
    return answer(shapes.Changed, {"changed": 1})


@router.get("/customers/{key:path}", response_model=shapes.WholeCustomer)
async def get_one(request: Request, caller: Reading, key: str) -> Response:
    """A customer with its addresses."""
    return answer(shapes.WholeCustomer, await api_of(request).door.database.read(_whole, caller.tenant.id, key))

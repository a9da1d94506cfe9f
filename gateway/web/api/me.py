"""Whose key it is and what it may do: the first request of a program that is being set up."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from gateway.web.api import shapes
from gateway.web.api.callers import Caller, need
from gateway.web.api.routing import PROBLEMS
from gateway.web.api.shapes import answer

router = APIRouter(tags=["key"], responses=PROBLEMS)


@router.get("/me", response_model=shapes.KeyShown)
async def show(request: Request, caller: Annotated[Caller, Depends(need(""))]) -> Response:
    """The key of this request: its tenant, scopes and end. Any valid key may ask."""
    key, tenant = caller.key, caller.tenant
    return answer(shapes.KeyShown, {
        "tenant": tenant.slug, "company": tenant.company, "label": key.label, "prefix": key.prefix,
        "scopes": key.scopes, "expires_at": key.expires_at,
    })  # fmt: skip

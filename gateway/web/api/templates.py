"""Templates over HTTP: which the tenant uses, with PDF or not, and the events that send them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from gateway.outbound.template_list import list_templates
from gateway.web.api import listed
from gateway.web.api.callers import Caller, api_of, need
from gateway.web.api.routing import PROBLEMS
from gateway.web.api.shapes import answer

router = APIRouter(tags=["templates"], responses=PROBLEMS)
Reading = Annotated[Caller, Depends(need("templates:read"))]


@router.get("/templates", response_model=listed.Templates)
async def list_all(request: Request, caller: Reading) -> Response:
    """The templates as the tenant has them."""
    found = await api_of(request).door.database.read(list_templates, caller.tenant.id)
    return answer(listed.Templates, {"data": found, "next": None})

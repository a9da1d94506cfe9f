"""Billing runs over HTTP: the list, a run's report, its recipients page by page; as pages and commands have them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from gateway.inbox.run_list import list_runs
from gateway.inbox.run_recipients import read_recipients
from gateway.inbox.runs import need_run, tell_run
from gateway.web.api import run_shapes
from gateway.web.api.callers import Caller, api_of, need
from gateway.web.api.examples import RUN
from gateway.web.api.routing import PROBLEMS, Id, Limit, page
from gateway.web.api.shapes import answer

router = APIRouter(tags=["runs"], responses=PROBLEMS)
Reading = Annotated[Caller, Depends(need("messages:read"))]
Run = Annotated[str, Path(description="as X-AR-Run, or the member `run`, named it", examples=[RUN])]


@router.get("/runs", response_model=run_shapes.Runs)
async def list_some(request: Request, caller: Reading, after: Id = "", limit: Limit = 50) -> Response:
    """Runs, the one whose mail came last first, with how many recipients each delivery state has."""
    found = await api_of(request).door.database.read(list_runs, caller.tenant.id, after=after, limit=limit)
    return answer(run_shapes.Runs, {"data": found.lines, "next": found.cursor or None})


@router.get("/runs/{run}", response_model=run_shapes.RunShown)
async def get_one(request: Request, caller: Reading, run: Run) -> Response:
    """What became of a run's recipients, in numbers that add up."""
    found = await api_of(request).door.database.read(need_run, caller.tenant.id, run)
    return answer(run_shapes.RunShown, tell_run(found))


@router.get("/runs/{run}/recipients", response_model=run_shapes.RunRecipients)
async def list_recipients(
    request: Request,
    caller: Reading,
    run: Run,
    after: Annotated[str, Query(pattern=r"^([0-9a-z]{20}\.[0-9]{1,6})?$", description="a cursor")] = "",
    limit: Limit = 50,
) -> Response:
    """A run's recipients in the order of its mail, and what became of each."""
    key = (after[:20], int(after[21:] or 0))
    found = await api_of(request).door.database.read(read_recipients, caller.tenant.id, run, limit + 1, key)
    return answer(run_shapes.RunRecipients, page(found, limit, lambda one: f"{one.message_id}.{one.number}"))

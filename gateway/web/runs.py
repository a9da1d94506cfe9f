"""Billing runs on pages: the list, a run's report with its plot, and its recipients as CSV.

A report is `gateway.inbox.runs`'s; what it counts is read on a thread. What is not the tenant's is not found.
"""

import io
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from gateway.inbox.run_list import list_runs, write_run
from gateway.inbox.run_recipients import SINCE
from gateway.inbox.runs import COLUMNS, RunReport, need_run
from gateway.mail.reply import Refused
from gateway.web.files import download_headers
from gateway.web.pages import render
from gateway.web.site import Visit, need_visit, site_of

router = APIRouter()
Looking = Annotated[Visit, Depends(need_visit)]
CSV_PAGE = 1000  # recipients that are written at once


@router.get("/runs")
async def show_list(request: Request, visit: Looking, after: str = "") -> Response:
    """A page of runs, the latest first."""
    page = await site_of(request).database.read(list_runs, visit.tenant.id, after=after[:20])
    return render(request, "runs.html", page=page, first=not after)


@router.get("/runs/{name}/recipients.csv")
async def export(request: Request, visit: Looking, name: str) -> Response:
    """A run's recipients, a line each."""
    report = await _need(request, visit, name)
    headers = download_headers(f"run-{name}.csv")
    return StreamingResponse(_csv(report), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/runs/{name}")
async def show_one(request: Request, visit: Looking, name: str) -> Response:
    """A run's report."""
    report = await _need(request, visit, name)
    return render(request, "run.html", report=report, since=SINCE, columns=COLUMNS)


async def _need(request: Request, visit: Visit, name: str) -> RunReport:
    try:
        return await site_of(request).database.read(need_run, visit.tenant.id, name)
    except Refused:
        raise HTTPException(404) from None


def _csv(report: RunReport) -> Iterator[str]:
    """Written on the threads of the response."""
    for start in range(0, max(report.total, 1), CSV_PAGE):
        text = io.StringIO()
        write_run(text, report.recipients[start : start + CSV_PAGE], header=start == 0)
        yield text.getvalue()

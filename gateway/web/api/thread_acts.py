"""What people do with threads, over HTTP: the functions of the inbox's pages, within the key's tenant.

Each act says how many threads it changed, and by what it may be undone for ten seconds. It goes by the key's label in
the timeline. What is another tenant's is not found.
"""

from collections.abc import Callable
from datetime import UTC
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from gateway.inbox.acting import Done, assign, close, mark_spam, reopen, snooze, tag, undo, untag, wait
from gateway.inbox.deciding import move
from gateway.inbox.noting import add_note, remove_note
from gateway.inbox.promising import forget_promise, promise
from gateway.web.api import asked, shapes
from gateway.web.api.bodies import JSON, M, body_of, media_type, read_body
from gateway.web.api.callers import Caller, api_of, need
from gateway.web.api.routing import PROBLEMS, takes
from gateway.web.api.shapes import answer

router = APIRouter(tags=["threads"], responses=PROBLEMS)
Writing = Annotated[Caller, Depends(need("threads:write"))]


@router.post("/threads/{thread_id:gwid}:close", response_model=shapes.Acted)
async def close_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Be done with a thread; 0 changed when it was closed already."""
    return await _do(request, caller, close, thread_id)


@router.post("/threads/{thread_id:gwid}:reopen", response_model=shapes.Acted)
async def reopen_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Put a thread back on the list; 0 changed when it is there already."""
    return await _do(request, caller, reopen, thread_id)


@router.post("/threads/{thread_id:gwid}:wait", response_model=shapes.Acted)
async def wait_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """The customer is to answer; the thread opens by itself when mail comes."""
    return await _do(request, caller, wait, thread_id)


@router.post("/threads/{thread_id:gwid}:spam", response_model=shapes.Acted)
async def spam_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Mail that comes to it is kept and opens nothing; `:reopen` takes that back."""
    return await _do(request, caller, mark_spam, thread_id)


@router.post(
    "/threads/{thread_id:gwid}:snooze", response_model=shapes.Acted, openapi_extra=takes({JSON: "AskedSnooze"})
)  # fmt: skip
async def snooze_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Out of the way until a time, or until mail comes."""
    body = await _read(request, asked.AskedSnooze)
    return await _do(request, caller, snooze, thread_id, body.until.astimezone(UTC))


@router.post(
    "/threads/{thread_id:gwid}:assign", response_model=shapes.Acted, openapi_extra=takes({JSON: "AskedAssignment"})
)  # fmt: skip
async def assign_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Somebody's to do; `to` is a user's e-mail, "" nobody's."""
    body = await _read(request, asked.AskedAssignment)
    return await _do(request, caller, assign, thread_id, body.to)


@router.post(
    "/threads/{thread_id:gwid}:tag", response_model=shapes.Acted, openapi_extra=takes({JSON: "AskedTag"})
)  # fmt: skip
async def tag_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Give it a tag."""
    body = await _read(request, asked.AskedTag)
    return await _do(request, caller, tag, thread_id, body.tag)


@router.post(
    "/threads/{thread_id:gwid}:untag", response_model=shapes.Acted, openapi_extra=takes({JSON: "AskedTag"})
)  # fmt: skip
async def untag_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Take a tag away."""
    body = await _read(request, asked.AskedTag)
    return await _do(request, caller, untag, thread_id, body.tag)


@router.post(
    "/threads/{thread_id:gwid}:promise", response_model=shapes.Acted, openapi_extra=takes({JSON: "AskedPromise"})
)  # fmt: skip
async def promise_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """The customer pays by a day: reminders sleep until then, and the thread opens when the promise is broken."""
    body = await _read(request, asked.AskedPromise)
    api = api_of(request)
    done = await api.door.database.write(
        promise, api.clock(), caller.tenant.id, thread_id, body.on, caller.by, amount=body.amount
    )  # fmt: skip
    return answer(shapes.Acted, {"changed": len(done.threads), "undo": done.undo})


@router.post("/threads/{thread_id:gwid}:forget-promise", response_model=shapes.Changed)
async def forget_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """The promise holds no more, and reminders go again; 0 changed when there was none."""
    api = api_of(request)
    known = await api.door.database.write(forget_promise, api.clock(), caller.tenant.id, thread_id, caller.by)
    return answer(shapes.Changed, {"changed": int(known)})


@router.post(
    "/threads/{thread_id:gwid}/notes", response_model=shapes.NoteMade, openapi_extra=takes({JSON: "AskedNote"})
)  # fmt: skip
async def add_one_note(request: Request, caller: Writing, thread_id: str) -> Response:
    """Note something for the clerks; it never leaves."""
    body = await _read(request, asked.AskedNote)
    api = api_of(request)
    made = await api.door.database.write(add_note, api.clock(), caller.tenant.id, thread_id, body.text, caller.by)
    return answer(shapes.NoteMade, {"note_id": made})


@router.delete("/notes/{note_id:gwid}", response_model=shapes.Changed)
async def remove_one_note(request: Request, caller: Writing, note_id: str) -> Response:
    """Take a note of this key away."""
    api = api_of(request)
    await api.door.database.write(remove_note, api.clock(), caller.tenant.id, note_id, caller.by)
    return answer(shapes.Changed, {"changed": 1})


@router.post("/threads:undo", response_model=shapes.Changed, openapi_extra=takes({JSON: "AskedUndo"}))
async def undo_one(request: Request, caller: Writing) -> Response:
    """Bring back how threads stood before an act of this key, within ten seconds; 409 when it is too late."""
    body = await _read(request, asked.AskedUndo)
    api = api_of(request)
    back = await api.door.database.write(undo, api.clock(), caller.tenant.id, body.undo, caller.by)
    return answer(shapes.Changed, {"changed": len(back)})


@router.post("/threads:move", response_model=shapes.Changed, openapi_extra=takes({JSON: "AskedMove"}))
async def move_one(request: Request, caller: Writing) -> Response:
    """Put a mail that came into the thread that it belongs to."""
    body = await _read(request, asked.AskedMove)
    api = api_of(request)
    await api.door.database.write(move, api.clock(), caller.tenant.id, body.message_id, body.thread_id, caller.by)
    return answer(shapes.Changed, {"changed": 1})


async def _read(request: Request, model: type[M]) -> M:
    media_type(request, (JSON,))
    async with body_of(request) as raw:
        return await read_body(raw, model)


async def _do(request: Request, caller: Caller, act: Callable[..., Done], thread_id: str, *more: Any) -> Response:
    api = api_of(request)
    done = await api.door.database.write(act, api.clock(), caller.tenant.id, [thread_id], caller.by, *more)
    return answer(shapes.Acted, {"changed": len(done.threads), "undo": done.undo})

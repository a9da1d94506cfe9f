"""What people do with threads, over HTTP: the functions of the inbox's pages, within the key's tenant.

Each act says how many threads it changed, and by what it may be undone for ten seconds. It goes by the key's label in
the timeline. What is another tenant's is not found.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from gateway.inbox.acting import Done, assign, close, mark_spam, reopen, snooze, tag, undo, untag, wait
from gateway.inbox.deciding import move
from gateway.inbox.noting import add_note, remove_note
from gateway.inbox.promising import forget_promise, promise
from gateway.web.api import asked, shapes
from gateway.web.api.bodies import JSON, read_json
from gateway.web.api.callers import Caller, api_of, need
from gateway.web.api.routing import PROBLEMS, takes
from gateway.web.api.shapes import answer

router = APIRouter(tags=["threads"], responses=PROBLEMS)
Writing = Annotated[Caller, Depends(need("threads:write"))]


def _acts(word: str, act: Callable[..., Done], says: str, model: type[asked.Asked] | None = None) -> None:
    """A route for an act on one thread; `model` is the body, whose members the act takes."""

    async def one(request: Request, caller: Writing, thread_id: str) -> Response:
        more = [value for _, value in await read_json(request, model)] if model else []
        return await _do(request, caller, act, thread_id, *more)

    router.add_api_route(
        f"/threads/{{thread_id:gwid}}:{word}", one, methods=["POST"], name=f"{word}_one", description=says,
        response_model=shapes.Acted, openapi_extra=takes({JSON: model.__name__}) if model else None,
    )  # fmt: skip


_acts("close", close, "Be done with a thread; 0 changed when it was closed already.")
_acts("reopen", reopen, "Put a thread back on the list; 0 changed when it is there already.")
_acts("wait", wait, "The customer is to answer; the thread opens by itself when mail comes.")
_acts("spam", mark_spam, "Mail that comes to it is kept and opens nothing; `:reopen` takes that back.")
_acts("snooze", snooze, "Out of the way until a time, or until mail comes.", asked.AskedSnooze)
_acts("assign", assign, "Somebody's to do; `to` is a user's e-mail, \"\" nobody's.", asked.AskedAssignment)
_acts("tag", tag, "Give it a tag.", asked.AskedTag)
_acts("untag", untag, "Take a tag away.", asked.AskedTag)


@router.post(
    "/threads/{thread_id:gwid}:promise", response_model=shapes.Acted, openapi_extra=takes({JSON: "AskedPromise"})
)  # fmt: skip
async def promise_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """The customer pays by a day: reminders sleep until then, and the thread opens when the promise is broken."""
    body = await read_json(request, asked.AskedPromise)
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
    body = await read_json(request, asked.AskedNote)
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
    body = await read_json(request, asked.AskedUndo)
    api = api_of(request)
    back = await api.door.database.write(undo, api.clock(), caller.tenant.id, body.undo, caller.by)
    return answer(shapes.Changed, {"changed": len(back)})


@router.post("/threads:move", response_model=shapes.Changed, openapi_extra=takes({JSON: "AskedMove"}))
async def move_one(request: Request, caller: Writing) -> Response:
    """Put a mail that came into the thread that it belongs to."""
    body = await read_json(request, asked.AskedMove)
    api = api_of(request)
    await api.door.database.write(move, api.clock(), caller.tenant.id, body.message_id, body.thread_id, caller.by)
    return answer(shapes.Changed, {"changed": 1})


async def _do(request: Request, caller: Caller, act: Callable[..., Done], thread_id: str, *more: Any) -> Response:
    api = api_of(request)
    done = await api.door.database.write(act, api.clock(), caller.tenant.id, [thread_id], caller.by, *more)
    return answer(shapes.Acted, {"changed": len(done.threads), "undo": done.undo})

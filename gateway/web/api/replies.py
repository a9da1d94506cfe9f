"""Answers in threads over HTTP: a text with files, to whom the mail named or to others; the function of the page.

The files are looked at as those of the page are: few and small enough, and no programs. An answer waits ten seconds, in
which `POST /v1/messages/{id}:cancel` takes it back. A program's answers count in its limits, a person's do not.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from gateway.inbox.attaching import attach
from gateway.inbox.replying import Reply, reply
from gateway.web.api import shapes
from gateway.web.api.asked import AskedReply
from gateway.web.api.bodies import JSON, body_of, decode_file, digest_of, media_type, read_body
from gateway.web.api.callers import Caller, api_of, need
from gateway.web.api.routing import KEY_HEADER, PROBLEMS, idempotency_key, takes
from gateway.web.api.shapes import answer

router = APIRouter(tags=["threads"], responses=PROBLEMS)
Writing = Annotated[Caller, Depends(need("threads:write"))]


@router.post(
    "/threads/{thread_id:gwid}:reply", status_code=202, response_model=shapes.SentShown,
    openapi_extra=takes({JSON: "AskedReply"}, [KEY_HEADER]),
)  # fmt: skip
async def reply_one(request: Request, caller: Writing, thread_id: str) -> Response:
    """Answer a mail of the thread, or forward it; needs the scope messages:write too. It leaves in ten seconds."""
    caller.check("messages:write")
    media_type(request, (JSON,))
    key = "".join(value for _, value in idempotency_key(request))
    async with body_of(request) as raw:
        body = await read_body(raw, AskedReply)
        files = await asyncio.to_thread(lambda: attach(_contents(body)))
        wanted = Reply(
            tenant_id=caller.tenant.id, thread_id=thread_id, by=caller.by, credential=caller.key.name, key=key,
            digest=digest_of("reply", thread_id, body.model_dump()) if key else "", message_id=body.message_id,
            everyone=body.everyone, forward=body.forward, to=tuple(body.to), cc=tuple(body.cc), subject=body.subject,
            text=body.text, files=files, seen=body.seen, then=body.then,
            files_of=tuple((one.message_id, one.number) for one in body.files_of),
        )  # fmt: skip
        api = api_of(request)
        return answer(shapes.SentShown, await reply(api.door, api.clock(), wanted), 202)


def _contents(body: AskedReply) -> list[tuple[str, bytes]]:
    return [(one.filename, decode_file(one.filename, one.content)) for one in body.attachments]

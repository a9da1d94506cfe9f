"""Who may see the operator's pages, and what every route of them needs.

Operators are users of no tenant (`gateway user add --operator`); for everybody else these pages do not exist (404).
"""

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.timeline import msgid
from gateway.web.pages import render
from gateway.web.site import Visit, need_form, need_operator

DID = {
    "asked": msgid("Every process that serves it tries this destination again now."),
    "nobody": msgid("No process sends to this destination any more."),
    "read": msgid("It could be read; it is in its thread now."),
    "unreadable": msgid("It still cannot be read."),
    "saved": msgid("Saved. It holds from the next message on."),
    "hold": msgid("Held:"),
    "release": msgid("Released:"),
    "cancel": msgid("Cancelled:"),
    "retry": msgid("Tried again:"),
}

Operating = Annotated[Visit, Depends(need_operator)]


async def need_operator_change(_: Operating, request: Request) -> dict[str, str]:
    """The form of a change by who runs the gateway. Raises as `need_operator` and `need_form`."""
    return await need_form(request)


Form = Annotated[dict[str, str], Depends(need_operator_change)]


def show(request: Request, name: str, code: int = 200, **shown: Any) -> Response:
    """A page of the operator's; `did` and `count` of its address tell of what was just done."""
    asked = request.query_params
    count = asked.get("count", "")
    did = DID.get(asked.get("did", ""), "")
    shown = {"count": int(count) if count.isascii() and count.isdigit() and len(count) < 9 else None} | shown
    return render(request, f"operator/{name}.html", code, did=did, **shown)


def again(path: str, did: str, count: int | None = None) -> Response:
    """To a page, which says what was done."""
    more = "" if count is None else f"&count={count}"
    return RedirectResponse(f"{path}{'&' if '?' in path else '?'}did={did}{more}", 303)

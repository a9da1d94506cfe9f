"""The pages of the settings in order, and what each of their routes needs: who may look, who may change, how it ends.

Used by every route of this folder. A new page is a line of PLACES. Administrators change, auditors look, nobody else
comes in. A change that is refused shows the page again with the reason; one that is done leads to the page anew.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.timeline import msgid
from gateway.mail.reply import Refused
from gateway.web.pages import render, say
from gateway.web.site import Visit, need_admin_change, need_visit

DONE = {
    "saved": msgid("Saved. It holds from the next message on."),
    "removed": msgid("Removed."),
    "added": msgid("Added."),
    "sent": msgid("The test message is on its way to you."),
    "keys": msgid("There are new keys. Publish their records; the old ones stay in DNS for now."),
    "default": msgid("The product's text is used again."),
}


@dataclass(frozen=True)
class Place:
    """One entry of the settings' own navigation."""

    path: str
    name: str

    def holds(self, here: str) -> bool:
        """Whether a page's path is of this place."""
        path = here.partition("?")[0]
        return path == self.path or path.startswith(f"{self.path}/")


PLACES = (
    Place("/settings/templates", msgid("E-mails")),
    Place("/settings/triggers", msgid("Triggers")),
    Place("/settings/delivery", msgid("Delivery settings")),
    Place("/settings/company", msgid("Company and brand")),
    Place("/settings/suppressions", msgid("Stopped addresses")),
    Place("/settings/users", msgid("Users")),
    Place("/settings/credentials", msgid("Access for billing systems")),
    Place("/settings/api-keys", msgid("API keys")),
    Place("/settings/webhooks", msgid("Webhooks")),
)


async def need_settings(visit: Annotated[Visit, Depends(need_visit)]) -> Visit:
    """Who may look at the settings. Raises SignIn, or HTTPException 403."""
    if visit.session.user.role not in ("admin", "auditor"):
        raise HTTPException(403, "role")
    return visit


Looking = Annotated[Visit, Depends(need_settings)]
Form = Annotated[dict[str, str], Depends(need_admin_change)]


def show(request: Request, name: str, *, problem: Refused | None = None, code: int = 0, **shown: Any) -> Response:
    """A page of the settings; `problem` is why a change was refused, and then the answer is 422."""
    visit: Visit = request.state.visit
    said = say(request, problem) if problem else ""
    return render(
        request, f"settings/{name}.html", code or (422 if problem else 200), places=PLACES, problem=said,
        done=DONE.get(request.query_params.get("done", ""), ""), may=visit.session.user.role == "admin", **shown,
    )  # fmt: skip


def again(path: str, done: str = "saved") -> Response:
    """To a page of the settings, which says what was done."""
    return RedirectResponse(f"{path}{'&' if '?' in path else '?'}done={done}", 303)

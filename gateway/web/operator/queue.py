"""The operator's queue: deliveries of all tenants by filter, and what is done to them: hold, release, cancel, retry.

What is ticked is changed at once; what a filter means only after a yes, with how many they are.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.inbox.operating import list_deliveries
from gateway.inbox.timeline import msgid
from gateway.mail.reasons import VOCABULARY
from gateway.outbound.queue import STATES
from gateway.outbound.queue_list import Filter
from gateway.settings.queue_acts import MOST, VERBS, act_on, act_on_all, count_meant, meant
from gateway.store.database import Transaction
from gateway.store.schema import OPERATOR
from gateway.store.tenants import find_tenant
from gateway.web.operator.access import Form, Operating, again, show
from gateway.web.operator.overview import read_id
from gateway.web.site import need_workshop, site_of

router = APIRouter()
PAGE = 50
POSTMASTER = "postmaster"  # what the operator's own mail is called where tenants are named
OLDER = {"": msgid("of any age"), "10": msgid("older than 10 minutes"), "60": msgid("older than an hour"),
         "1440": msgid("older than a day")}  # fmt: skip
HELD = {"": msgid("held or not"), "yes": msgid("held only"), "no": msgid("not held")}
VERB_NAMES = {
    "hold": msgid("Hold"),
    "release": msgid("Release"),
    "retry": msgid("Try again now"),
    "cancel": msgid("Cancel"),
}


@dataclass(frozen=True)
class Asked:
    """The filter as it was typed."""

    tenant: str = ""
    state: str = "queued"
    to: str = ""
    reason: str = ""
    host: str = ""
    older: str = ""
    held: str = ""

    def filter(self, now: datetime) -> Filter:
        """What it means."""
        older = now - timedelta(minutes=int(self.older)) if self.older else None
        held = {"yes": True, "no": False}.get(self.held)
        return Filter(self.state, "", self.to, older, held, self.reason, self.host)

    @property
    def query(self) -> str:
        """The same as the query of the page's address."""
        return urlencode({name: value for name, value in vars(self).items() if value})


def _asked(given: Any) -> Asked:
    """Raises HTTPException 400 for what the lists do not offer."""
    texts = {name: given.get(name, "").strip()[:320] for name in ("tenant", "to", "reason", "host")}
    chosen = {name: given.get(name, default) for name, default in (("state", "queued"), ("older", ""), ("held", ""))}
    if chosen["state"] not in STATES or chosen["older"] not in OLDER or chosen["held"] not in HELD:
        raise HTTPException(400)
    return Asked(**texts, **chosen)


def _owner(tx: Transaction, slug: str) -> str | None:
    """The id of whose deliveries are meant, "" for everybody's; None for nobody's."""
    if slug in ("", POSTMASTER):
        return OPERATOR if slug else ""
    found = find_tenant(tx, slug.lower())
    return found.id if found else None


def _read(tx: Transaction, now: datetime, asked: Asked, after: str) -> Any:
    owner = _owner(tx, asked.tenant)
    return [] if owner is None else list_deliveries(tx, now, asked.filter(now), owner, after, PAGE + 1)


@router.get("/operator/queue")
async def show_queue(request: Request, visit: Operating, after: str = "") -> Response:
    """A page of deliveries."""
    return await _page(request, _asked(request.query_params), after[:80])


async def _page(request: Request, asked: Asked, after: str = "", code: int = 200, **more: Any) -> Response:
    site = site_of(request)
    found = await site.database.read(_read, site.clock(), asked, after)
    rows, cursor = found[:PAGE], found[PAGE - 1].cursor if len(found) > PAGE else ""
    verbs = [verb for verb in VERB_NAMES if meant(verb, asked.filter(site.clock()), site.clock()) is not None]
    shown = {"sure": "", "total": 0, "most": MOST, "nothing": False} | more
    return show(
        request, "queue", code, asked=asked, rows=rows, cursor=cursor, first=not after, states=STATES, older=OLDER,
        held=HELD, reasons=sorted(VOCABULARY), verbs=verbs, verb_names=VERB_NAMES, **shown,
    )  # fmt: skip


@router.post("/operator/queue")
async def change(request: Request, visit: Operating, form: Form) -> Response:
    """Do it to what is ticked; else to all that the filter means, once that was confirmed."""
    site, workshop, verb, asked = site_of(request), need_workshop(request), form.get("verb", ""), _asked(form)
    now, by, house = site.clock(), visit.session.user.email, workshop.door.retry
    back = f"/operator/queue?{asked.query}"
    if verb not in VERBS:
        raise HTTPException(400)
    chosen = [one for name in form if name.startswith("d.") and (one := read_id(name[2:])) is not None]
    if chosen:
        return again(back, verb, await act_on(site.database, verb, chosen, now, by, house))
    wanted, owner = meant(verb, asked.filter(now), now), await site.database.read(_owner, asked.tenant)
    if wanted is None or owner is None:
        raise HTTPException(400)
    total = await site.database.read(count_meant, wanted, owner)
    if total and form.get("sure") == verb:
        return again(back, verb, await act_on_all(site.database, verb, wanted, owner, now, by, house))
    return await _page(request, asked, sure=verb if total else "", total=total, nothing=not total)

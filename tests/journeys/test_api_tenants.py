"""Every route of the API with another tenant's key: what is not one's own is not found; a missing route fails."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from journeys.api_client import make_program
from journeys.house import Place, open_journey
from journeys.test_journey_api import WEB, invoice

from gateway.web.api.app import ROUTERS

MESSAGE, THREAD, CUSTOMER = "{message_id}", "{thread_id}", "{key}"
# (method, path) -> the body that a tenant would send of its own things; None without one
OF_ONE: dict[tuple[str, str], Any] = {
    ("GET", "/documents/{type}/{document_id}"): None,
    ("GET", "/documents/{type}/{document_id}:pdf"): None,
    ("GET", f"/messages/{MESSAGE}"): None,
    ("GET", f"/messages/{MESSAGE}:source"): None,
    ("GET", f"/messages/{MESSAGE}/attachments/{{number}}"): None,
    ("POST", f"/messages/{MESSAGE}:cancel"): None,
    ("POST", f"/messages/{MESSAGE}:retry"): None,
    ("GET", "/runs/{run}"): None,
    ("GET", "/runs/{run}/recipients"): None,
    ("GET", f"/threads/{THREAD}"): None,
    ("GET", f"/threads/{THREAD}/evidence"): None,
    ("POST", f"/threads/{THREAD}:close"): None,
    ("POST", f"/threads/{THREAD}:reopen"): None,
    ("POST", f"/threads/{THREAD}:wait"): None,
    ("POST", f"/threads/{THREAD}:spam"): None,
    ("POST", f"/threads/{THREAD}:reply"): {"text": "x", "to": ["ana@client.test"]},
    ("POST", f"/threads/{THREAD}:snooze"): {"until": f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%dT09:00:00Z}"},
    ("POST", f"/threads/{THREAD}:assign"): {"to": ""},
    ("POST", f"/threads/{THREAD}:tag"): {"tag": "x"},
    ("POST", f"/threads/{THREAD}:untag"): {"tag": "x"},
    ("POST", f"/threads/{THREAD}:promise"): {"on": f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}"},
    ("POST", f"/threads/{THREAD}:forget-promise"): None,
    ("POST", f"/threads/{THREAD}/notes"): {"text": "x"},
    ("DELETE", "/notes/{note_id}"): None,
    ("GET", f"/customers/{CUSTOMER}"): None,
    ("PUT", f"/customers/{CUSTOMER}/contacts/{{email}}"): {"role": "to"},
    ("DELETE", f"/customers/{CUSTOMER}/contacts/{{email}}"): None,
    ("GET", "/suppressions/{address}"): None,
    ("DELETE", "/suppressions/{address}"): None,
    ("POST", "/threads:move"): {"message_id": MESSAGE, "thread_id": THREAD},
    ("POST", "/messages"): {"document": "invoice/inv_1"},
    ("POST", "/messages:preview"): {"document": "invoice/inv_1"},
    ("POST", "/events"): {"type": "invoice.issued", "document": "invoice/inv_1"},
}
LISTS = {
    ("GET", f"/{name}")
    for name in "threads?view=all search?q=is:closed deliveries documents customers suppressions events runs".split()
}
# a name that is taken by another tenant is free here; templates are the product's, and settings alone are the tenant's
_TEXTS = "/templates/{template}/texts/{language}"
OWN = {
    ("PUT", "/documents/{type}/{document_id}"), ("PUT", "/suppressions/{address}"), ("GET", "/templates"),
    ("GET", "/me"),
    ("GET", _TEXTS), ("GET", f"{_TEXTS}:lint"), ("PUT", _TEXTS), ("POST", f"{_TEXTS}:preview"),
    ("POST", "/threads:undo"),  # names an act, which is another's: 409, in the test of acts
}  # fmt: skip


def test_every_route_is_walked() -> None:
    routes = {
        (method, route.path_format) for part in ROUTERS for route in part.router.routes for method in route.methods
    }
    assert routes == OF_ONE.keys() | {(method, path.partition("?")[0]) for method, path in LISTS} | OWN


def test_another_tenants_key_finds_nothing(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB) as journey:
            ours = await make_program(journey)
            sent = (await ours("POST", "/v1/messages", {"document": invoice(), "to": ["ana@client.test"],
                                                       "run": "november"})).data  # fmt: skip
            await journey.settled(sent["message_id"], "relayed")
            assert (await ours("PUT", "/v1/suppressions/gone@client.test", {"reason": "blocked"})).code == 200
            customer = (await ours("GET", "/v1/customers")).data["data"][0]["key"]
            note = (await ours("POST", f"/v1/threads/{sent['thread_id']}/notes", {"text": "x"})).data
            values = note | sent | {"type": "invoice", "document_id": "inv_1", "number": "1", "key": customer,
                             "run": "november", "email": "ana@client.test", "address": "gone@client.test"}  # fmt: skip
            foreign = await make_program(journey, tenant_id=journey.other_id)
            for (method, path), body in OF_ONE.items():
                asked = json.loads(
                    json.dumps(body).replace(MESSAGE, sent["message_id"]).replace(THREAD, sent["thread_id"])
                )
                answer = await foreign(method, "/v1" + path.format(**values), asked)
                assert answer.code == 404, (method, path, answer.code, answer.data)
            journey.clock.move(minutes=1)
            for method, path in LISTS:
                answer = await foreign(method, f"/v1{path}")
                assert (answer.code, answer.data["data"]) == (200, []), (path, answer.data)

    asyncio.run(run())

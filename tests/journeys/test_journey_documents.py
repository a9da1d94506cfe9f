"""Documents and customers as clerks work through them: lists, what is owed, sending by hand with a way back."""

import asyncio
from datetime import timedelta
from typing import Any

from journeys.api_client import Program, make_program
from journeys.house import Clock, Journey, Place, open_journey
from journeys.test_journey_api import WEB
from journeys.test_journey_customers import document
from sqlalchemy import event

from gateway.inbox.documents import STATES, Filter, list_documents
from gateway.inbox.owing import Owed, owed_by

KEY = "id:c-77"
_OF_THE_LIST = ("document.customer_name", "thread.chip", "message.thread_id, delivery.state")


def billed(number: int, due: str, total: str = "", **changes: Any) -> dict[str, Any]:
    made = document(number, due_date=due)
    if total:
        made["totals"] = {"total": total, "balance": total}
        made |= {"lines": [], "taxes": [], "adjustments": []}
    return made | changes


async def put(ask: Program, made: dict[str, Any]) -> None:
    answer = await ask("PUT", f"/v1/documents/{made['type']}/{made['id']}", made)
    assert answer.code == 200, answer.data


def test_the_list_pages_by_time_filters_by_state_and_asks_the_same_few_questions(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, web=WEB, clock=clock) as journey:
            ask, today = await make_program(journey), journey.clock().date()
            late, later = (today - timedelta(days=9)).isoformat(), (today + timedelta(days=20)).isoformat()
            for number in range(1, 8):
                status = {5: "draft", 6: "voided", 7: "paid"}.get(number, "open")
                due = late if number in (2, 4) else later
                await put(ask, billed(number, due, "100.10", status=status))
                clock.move(seconds=1)
            offer = document(8, "estimate", customer={"id": "c-9", "name": "Vatra SRL"}) | {"number": "O-8"}
            await put(ask, {name: value for name, value in offer.items() if name != "due_date"})

            async def ids(**query: Any) -> list[str]:
                found, after = [], ""
                while after is not None:
                    more = "&".join(f"{name}={value}" for name, value in (query | {"after": after}).items())
                    page = (await ask("GET", f"/v1/documents?limit=2&{more}")).data
                    assert len(page["data"]) == 2 or page["next"] is None
                    found += [one["id"].removeprefix("inv_") for one in page["data"]]
                    after = page["next"]
                return found

            assert await ids() == list("87654321")
            assert await ids(state="unpaid") == list("2413")  # by the day that it is due
            assert await ids(state="overdue") == list("24")
            assert (await ids(state="paid"), await ids(state="draft"), await ids(state="voided")) == (
                ["7"],
                ["5"],
                ["6"],
            )
            assert await ids(state="unsent") == list("874321")
            assert await ids(type="estimate") == await ids(customer="id:c-9") == await ids(words="vatra") == ["8"]
            assert await ids(words="f-3") == ["3"] and await ids(words="%25") == []
            first = (await ask("GET", "/v1/documents?words=F-2")).data["data"][0]
            assert (first["standing"], first["balance"], first["customer_key"]) == ("overdue", "100.10", KEY)
            assert (await ask("GET", "/v1/documents?after=nonsense")).data["data"]
            assert (await ask("GET", "/v1/documents?state=nonsense")).code == 422
            draft = await ask("GET", "/v1/documents/invoice/inv_5:pdf")
            assert draft.code == 422 and "is a draft" in draft.data["detail"]
            await constant(journey)
            owed = await journey.house.database.read(owed_by, journey.tenant_id, [KEY, "id:c-9"], today)
            assert owed == {KEY: (Owed("MDL", "400.4", "200.2", 4),)}

    asyncio.run(run())


async def constant(journey: Journey) -> None:
    """A page asks as many questions, whatever it shows."""
    asked: list[str] = []
    engine = journey.house.database.engine
    event.listen(engine, "before_cursor_execute", lambda c, cursor, sql, *_: asked.append(sql))
    counts = set()
    for state in STATES:
        asked.clear()
        await journey.house.database.read(
            list_documents, journey.tenant_id, Filter(state), journey.clock().date(), limit=3
        )
        counts.add(sum(any(name in sql for name in _OF_THE_LIST) for sql in asked))  # the house asks things of its own
    assert counts == {3}

"""Documents and customers as clerks work through them: lists, what is owed, sending by hand with a way back."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from journeys.api_client import Program, make_program
from journeys.house import Clock, Journey, Place, open_journey
from journeys.letters import compose, read
from journeys.test_journey_api import WEB
from journeys.test_journey_customers import ANA, ION, document, hand
from journeys.test_journey_triggers import turn_on
from sqlalchemy import event

from gateway.inbox import customers, documents
from gateway.inbox.documents import STATES, Filter, list_documents, read_document
from gateway.inbox.owing import Owed, owed_by
from gateway.inbox.sending import Sending, send_document, take_back
from gateway.mail.reply import Refused
from gateway.outbound.document_pdf import find_pdf
from gateway.outbound.queue import hold
from gateway.store.database import to_ms
from gateway.store.documents import get_document
from gateway.store.tenants import get_tenant

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


def test_the_list_pages_by_time_filters_by_state_and_asks_the_same_few_questions(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
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
            await of_words(ids, monkeypatch)
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


async def of_words(ids: Callable[..., Awaitable[list[str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """By its id, its number, its customer's name; the same whether these are few and looked up, or met on a walk."""
    assert await ids(words="inv_3") == ["3"] and await ids(words="f-3", state="unpaid") == ["3"]
    sought = ("vatra", "f-", "F-2", "inv_8", "nobody")
    found = [await ids(words=one) for one in sought]
    assert max(map(len, found)) > 5
    for limit in ("FEW_NUMBERS", "FEW_CUSTOMERS"):
        monkeypatch.setattr(documents, limit, 0)
        assert [await ids(words=one) for one in sought] == found


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


def by_hand(journey: Journey, *to: str, key: str = "", **more: Any) -> Sending:
    """What Maria sends of the first invoice."""
    return Sending(
        tenant_id=journey.tenant_id, by="maria@acme.test", name=("invoice", "inv_1"), to=to, key=key, **more
    )  # fmt: skip


async def automatic_mail(journey: Journey) -> str:
    found = await journey.house.database.read(get_document, journey.tenant_id, "invoice", "inv_1")
    assert found and found.automatic_id
    return found.automatic_id


def test_a_document_that_is_sent_by_hand_leaves_after_ten_seconds_with_the_pdf_that_is_downloaded(
    place: Place,
) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB, clock=Clock()) as journey:
            door, database = journey.house.door, journey.house.database
            await turn_on(journey)
            await hand(journey, document(1), X_AR_Event="invoice.issued")
            automatic = await automatic_mail(journey)
            held = await journey.deliveries(automatic)
            wanted = by_hand(journey, f"Ana Rusu <{ANA}>", cc=(ION,), key="form-1", personal="Bună, Ana!")
            both = await asyncio.gather(*(send_document(door, wanted, journey.clock()) for _ in range(2)))
            assert both[0].message_id == both[1].message_id and sorted(one.again for one in both) == [False, True]
            message_id = both[0].message_id
            assert (await journey.delivery(automatic))["state"] == "cancelled"
            await journey.write(take_back, journey.clock(), journey.tenant_id, message_id, "maria@acme.test")
            found = await database.read(get_document, journey.tenant_id, "invoice", "inv_1")
            assert found and found.sent_at is None
            assert {one["state"] for one in await journey.deliveries(message_id)} == {"cancelled"}
            assert await journey.deliveries(automatic) == held  # it waits as before, for the same moment

            sent = await send_document(door, by_hand(journey, f"Ana Rusu <{ANA}>", cc=(ION,), key="form-2",
                                                     personal="Bună, Ana!"), journey.clock())  # fmt: skip
            assert not journey.arrivals(ANA)
            journey.clock.move(seconds=11)
            mail = read((await journey.arrival(ANA)).raw)
            assert (str(mail["To"]), str(mail["Cc"])) == (f"Ana Rusu <{ANA}>", ION)
            body = mail.get_body(("plain",))
            assert body is not None and "Bună, Ana!" in body.get_content()
            attached = next(part for part in mail.walk() if part.get_content_type() == "application/pdf")
            tenant = await database.read(get_tenant, journey.tenant_id)
            kept = await database.read(find_pdf, tenant, "invoice", "inv_1")
            assert kept.data == attached.get_payload(decode=True)  # S5
            await journey.settled(sent.message_id, "relayed")
            assert (await journey.delivery(automatic))["state"] == "cancelled"
            try:
                await journey.write(take_back, journey.clock(), journey.tenant_id, sent.message_id, "maria@acme.test")
            except Refused as refused:
                assert refused.reply.code == 409
            else:
                raise AssertionError("it had left")
            seen = await database.read(read_document, journey.tenant_id, "invoice", "inv_1", journey.clock().date())
            assert seen and seen.line.sent_at and len(seen.mails) == 3 and seen.contacts

    asyncio.run(run())


def test_a_customer_is_shown_with_what_becomes_of_mail_to_each_address(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, clock=Clock()) as journey:
            wrong = "unknown@client.test"
            contacts = [{"name": "Ana", "email": ANA}, {"email": wrong, "send": "cc"}, {"email": ION, "send": "bcc"}]
            await hand(journey, document(1, customer={"id": "c-77", "name": "Codrul", "contacts": contacts}))
            unread = document(2, customer={"id": "c-9", "name": "ВАТРА", "contacts": []})
            await hand(journey, unread, X_AR_Template="none")
            await journey.queue(compose(subject="A letter of no document"), ANA)

            async def told() -> customers.CustomerView | None:
                args = (journey.clock(), journey.tenant_id, KEY, journey.clock().date())
                found = await journey.house.database.read(customers.read_customer, *args)
                return found if found and {one.state for one in found.addresses} == {"reached", "stopped"} else None

            found = await journey.until(told)
            assert found is not None
            states = {one.contact.address: (one.state, one.reason) for one in found.addresses}
            assert states[ANA][0] == states[ION][0] == "reached"
            assert states[wrong] == ("stopped", "mailbox_unknown")
            assert [one.number for one in found.documents.lines] == ["F-1"]
            subjects = {one.last_subject for one in found.threads}
            assert len(found.threads) == 2 and "A letter of no document" in subjects

            async def listed(words: str) -> list[str]:
                args = (journey.clock(), journey.tenant_id, journey.clock().date())
                page = await journey.house.database.read(customers.list_customers, *args, words=words)
                return [one.customer.name for one in page.lines]

            assert await listed("") == ["Codrul", "ВАТРА"]
            assert (await listed("ватра"), await listed(wrong), await listed("%")) == (["ВАТРА"], ["Codrul"], [])

    asyncio.run(run())


def test_what_is_taken_back_brings_an_automatic_mail_back_as_it_stood_and_none_that_is_not_wanted(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, web=WEB, clock=Clock()) as journey:
            door = journey.house.door

            async def send_and_take_back(*, paid: bool = False) -> dict[str, Any]:
                sent = await send_document(door, by_hand(journey, ANA, key=str(paid)), journey.clock())
                if paid:
                    await hand(journey, document(1, status="paid", revision=2), X_AR_Template="none")
                await journey.write(take_back, journey.clock(), journey.tenant_id, sent.message_id, "maria@acme.test")
                return await journey.delivery(automatic)

            await turn_on(journey)
            await hand(journey, document(1), X_AR_Event="invoice.issued")
            automatic, now_ms = await automatic_mail(journey), to_ms(journey.clock())
            await journey.write(hold, now_ms, journey.tenant_id, (automatic, 0), "ask Ion first")
            again = await send_and_take_back()
            assert (again["state"], again["hold"]) == ("queued", "ask Ion first")
            assert (await send_and_take_back(paid=True))["state"] == "cancelled"

    asyncio.run(run())

"""Triggers and X-AR-* fields through the whole house: held, corrected, cancelled, sent once, or stored only."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from journeys.house import Clock, Journey, Place, open_journey
from journeys.letters import Answer, read

from gateway.demo.samples import document_mail, level0_mail, sample_documents
from gateway.store.database import to_ms
from gateway.store.documents import get_document, mark_sent
from gateway.store.template_settings import change_setting

ANA = "ana@client.test"
HELD = re.compile(r"Held until \S+(?: \S+)? ([0-9a-z]{20}); cancel with: gateway queue cancel \1")
EVENT = {"X-AR-Event": "invoice.issued"}


def document(**changes: Any) -> dict[str, Any]:
    found = dict(sample_documents(datetime.now(UTC).date())[0].document)
    made: dict[str, Any] = json.loads(json.dumps(found | {"status": "open"} | changes))
    return made


def mail(made: dict[str, Any], **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return document_mail(made, now=datetime.now(UTC), headers=EVENT | named if "X-AR-Template" not in named else named)


async def turn_on(journey: Journey, key: str = "new_invoice") -> None:
    await journey.house.database.write(change_setting, journey.tenant_id, key, "", {"automatic": True})


def walk(place: Place, story: Callable[[Journey, Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            await story(journey, clock)

    asyncio.run(run())


async def held(journey: Journey, made: dict[str, Any]) -> str:
    answer = await journey.submit(mail(made), ANA)
    assert answer.code == 250, answer
    found = HELD.search(answer.text)
    assert found, answer.text
    return found[1]


async def never_comes(journey: Journey, clock: Clock) -> None:
    """Half an hour later, and two turns of the loop after that, nothing has arrived."""
    clock.move(minutes=30)
    await asyncio.sleep(2.5)
    assert journey.arrivals(ANA) == []


def test_a_switch_that_is_off_stores_only_and_says_so(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        answer = await journey.submit(mail(document()), ANA)
        assert answer.text.endswith("Stored only: the trigger invoice.issued is off for this tenant"), answer
        await never_comes(journey, clock)
        stored = await journey.house.database.read(get_document, journey.tenant_id, "invoice", document()["id"])
        assert stored and stored.sent_at is None
        assert await journey.event(stored.thread_id, "message.stored")

    walk(place, story)


def test_an_issued_invoice_goes_once_after_five_minutes(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        message_id = await held(journey, document())
        clock.move(minutes=4)
        await asyncio.sleep(1.5)
        assert journey.arrivals(ANA) == []
        clock.move(minutes=1.5)
        await journey.arrival(ANA)
        await journey.settled(message_id, "relayed")
        again = await journey.submit(mail(document()), ANA)
        assert "Stored only" in again.text
        clock.move(minutes=30)
        await asyncio.sleep(2)
        assert len(journey.arrivals(ANA)) == 1

    walk(place, story)


def test_a_correction_in_the_window_restarts_it_and_the_mail_holds_the_corrected_document(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        message_id = await held(journey, document())
        clock.move(minutes=4)
        assert await held(journey, document(number="CP-CORRECTED")) == message_id
        clock.move(minutes=4)
        await asyncio.sleep(1.5)
        assert journey.arrivals(ANA) == []
        clock.move(minutes=1.5)
        arrived = await journey.arrival(ANA)
        assert "CP-CORRECTED" in read(arrived.raw)["Subject"]
        assert len(journey.arrivals(ANA)) == 1

    walk(place, story)


def test_sent_by_hand_in_the_window_means_no_automatic_mail(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        message_id = await held(journey, document())
        sent = await journey.queue(mail(document(), X_AR_Template="new_invoice"), ANA)
        await journey.settled(sent.message_id, "relayed")
        await journey.settled(message_id, "cancelled")
        clock.move(minutes=30)
        await asyncio.sleep(2)
        assert len(journey.arrivals(ANA)) == 1

    walk(place, story)


def test_marked_as_sent_before_it_was_issued_means_no_automatic_mail(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        await journey.submit(mail(document(), X_AR_Template="none"), ANA)
        await journey.house.database.write(mark_sent, to_ms(clock()), journey.tenant_id, "invoice", document()["id"])
        answer = await journey.submit(mail(document()), ANA)
        assert "Stored only: the document was sent already" in answer.text
        await never_comes(journey, clock)

    walk(place, story)


def test_paid_or_voided_in_the_window_cancels(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        message_id = await held(journey, document())
        answer = await journey.submit(mail(document(status="voided"), X_AR_Event="invoice.voided"), ANA)
        assert "Stored only" in answer.text
        await journey.settled(message_id, "cancelled")
        await never_comes(journey, clock)

    walk(place, story)


def test_a_future_document_is_held_until_its_day(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        day = (clock() + timedelta(days=3)).date().isoformat()
        answer = await journey.submit(mail(document(issue_date=day, due_date=day)), ANA)
        assert f"Held until {day} 08:00:00" in answer.text, answer
        clock.move(days=1)
        await asyncio.sleep(1.5)
        assert journey.arrivals(ANA) == []
        clock.move(days=3)
        await journey.arrival(ANA)

    walk(place, story)


def test_an_event_for_a_document_without_an_address_opens_its_thread(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        customer = document()["customer"] | {"contacts": []}
        answer = await journey.submit(mail(document(customer=customer)), "send@inbox.gateway.test")
        assert "Stored only: the document names no address" in answer.text, answer
        stored = await journey.house.database.read(get_document, journey.tenant_id, "invoice", document()["id"])
        assert stored
        thread = await journey.thread(stored.thread_id)
        assert (thread.state, thread.chip) == ("open", "no_address")

    walk(place, story)


def test_a_held_mail_survives_a_restart_and_goes_once(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            await turn_on(journey)
            await held(journey, document())
        clock.move(minutes=6)
        async with open_journey(place, clock=clock) as journey:
            await journey.arrival(ANA)
            await asyncio.sleep(2)
            assert len(journey.arrivals(ANA)) == 1

    asyncio.run(run())


def test_an_idempotency_key_answers_the_first_receipt_again_and_refuses_other_content(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        keyed = {"X-AR-Idempotency-Key": "invoice/42/1"}

        async def submit(**options: Any) -> Answer:
            return await journey.submit(level0_mail(now=clock(), recipient=ANA, headers=keyed, **options), ANA)

        first = await submit()
        assert first.code == 250
        second = await submit()  # another date, other boundaries, another Message-ID
        assert second.code == 250
        assert second.text == f"2.0.0 Duplicate of {first.word('Queued')} by idempotency key, nothing sent"
        other = await submit(amount="9.999,00 MDL")
        assert other.code == 554
        assert "was used for other content" in other.text
        clock.move(days=8)
        assert "Queued" in (await submit()).text
        await journey.until(lambda: _count(journey, 2))

    walk(place, story)


async def _count(journey: Journey, count: int) -> bool | None:
    return len(journey.arrivals(ANA)) == count or None


def test_a_scheduled_mail_waits_and_a_test_never_leaves(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        later = await journey.submit(level0_mail(now=clock(), recipient=ANA, headers={"X-AR-Delay": "2h"}), ANA)
        assert HELD.search(later.text), later
        tried = await journey.submit(level0_mail(now=clock(), recipient=ANA, headers={"X-AR-Test": "yes"}), ANA)
        assert "nothing leaves" in tried.text
        clock.move(minutes=110)
        await asyncio.sleep(1.5)
        assert journey.arrivals(ANA) == []
        clock.move(minutes=15)
        await journey.arrival(ANA)
        await asyncio.sleep(1)
        assert len(journey.arrivals(ANA)) == 1

    walk(place, story)


def test_fields_are_refused_in_words_when_unknown_or_malformed(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        wanted = {
            "X-AR-Amont": "did you mean X-AR-Amount?",
            "X-AR-Amount": 'X-AR-Amount "1.200,00 MDL" is not a decimal amount; write 1200.00 MDL',
            "X-AR-Event": "known are invoice.issued",
            "X-AR-Template": "known are none, new_invoice",
            "X-AR-Send-At": "write 2026-12-08T09:00:00+02:00",
            "X-AR-Due": "write 2026-12-08",
            "X-AR-Force": "one or more of suppressed, duplicate, limit",
        }
        before = await journey.counts()
        for name, words in wanted.items():
            answer = await journey.submit(level0_mail(now=clock(), headers={name: "1.200,00 MDL"}), ANA)
            assert answer.code == 554, name
            assert words in answer.text, answer
        assert await journey.counts() == before

    walk(place, story)


def test_a_composed_mail_with_an_event_is_held_and_a_corrected_one_takes_its_place(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        headers = EVENT | {"X-AR-Document": "invoice/inv_7", "X-AR-Number": "F-7", "X-AR-Amount": "10.00 MDL"}
        first = HELD.search((await journey.submit(level0_mail(now=clock(), number="F-7", headers=headers), ANA)).text)
        clock.move(minutes=3)
        second = HELD.search((await journey.submit(level0_mail(now=clock(), number="F-7B", headers=headers), ANA)).text)
        assert first and second
        await journey.settled(first[1], "cancelled")
        clock.move(minutes=6)
        assert "F-7B" in read((await journey.arrival(ANA)).raw)["Subject"]
        await asyncio.sleep(1)
        assert len(journey.arrivals(ANA)) == 1

    walk(place, story)

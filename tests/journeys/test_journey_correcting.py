"""A wrong address is corrected: everything that was missed goes once, and nothing goes twice."""

import asyncio
import csv
import io

from journeys.house import Clock, Journey, Place, open_journey
from journeys.letters import compose
from journeys.test_journey_customers import document, hand, thread_of

from gateway.inbox.correcting import Correction, correct, find_missed
from gateway.inbox.timeline import timeline
from gateway.inbox.worklist import Bounced, dismiss, list_bounced, write_csv
from gateway.mail.reply import Refused
from gateway.outbound.queue_list import Filter, list_queue
from gateway.outbound.suppression import get_suppressed
from gateway.store.customers import list_contacts
from gateway.store.database import to_ms

WRONG, RIGHT = "unknown@client.test", "ana@client.test"
KEY, BY = "id:c-77", "ana@acme.test"


def billed(count: int, *addresses: str, **changes: object) -> dict[str, object]:
    contacts = [{"name": "Ana Rusu", "email": one} for one in addresses or (WRONG,)]
    who = {"id": "c-77", "name": "Codrul Verde SRL", "contacts": contacts}
    return document(count, customer=who) | changes


async def bounced(journey: Journey, number: int) -> str:
    """The thread of a document whose mail failed."""
    thread_id = await thread_of(journey, number)

    async def ask() -> str:
        return thread_id if (await journey.thread(thread_id)).state == "open" else ""

    return await journey.until(ask)


async def put_right(journey: Journey, dry_run: bool = False, new: str = RIGHT) -> Correction:
    return await correct(journey.house.door, journey.tenant_id, WRONG, new, BY, journey.clock(), dry_run=dry_run)


def ids(made: Correction) -> list[str]:
    return [one.id for one, _ in made.sent]


def test_what_an_address_missed_goes_once_to_the_right_one_as_it_is_now(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, clock=Clock()) as journey:
            for number in (1, 2, 3):
                await hand(journey, billed(number))
                await bounced(journey, number)
            await hand(journey, billed(2, revision=2, number="F-2-new"), X_AR_Template="none")
            await hand(journey, billed(3, revision=2, status="voided"), X_AR_Template="none")
            composed = await journey.queue(compose(subject="A letter"), WRONG)

            planned = await put_right(journey, dry_run=True)
            assert ids(planned) == ["inv_1", "inv_2"] and planned.customers == (KEY,)
            assert [one.revision for one, _ in planned.sent] == [1, 2]
            assert [one.why.split(";")[0] for one in planned.left] == ["it is voided", "it came as a composed mail"]
            assert not journey.arrivals(RIGHT)

            first, second = await asyncio.gather(put_right(journey), put_right(journey))
            assert sorted(ids(first) + ids(second)) == ["inv_1", "inv_2"]
            await journey.arrival(RIGHT, 1)
            assert ids(await put_right(journey)) == []
            assert len(journey.arrivals(RIGHT)) == 2
            texts = b"".join(mail.raw for mail in journey.arrivals(RIGHT))
            assert b"F-2-new" in texts

            for number in (1, 2):
                thread_id = await thread_of(journey, number)
                assert (await journey.thread(thread_id)).state == "closed"
                [event] = await journey.events(thread_id, "contact.corrected")
                assert event.data == {"by": BY, "from": WRONG, "to": RIGHT}
                lines = [one.text for one in timeline(await journey.view(thread_id))]
                assert f"{BY} corrected the address {WRONG} to {RIGHT}" in lines
            assert (await journey.thread(await thread_of(journey, 3))).state == "open"
            assert (await journey.thread(composed.thread_id)).state == "open"

    asyncio.run(run())


def test_the_contact_is_the_new_address_and_the_old_one_stays_suppressed(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, clock=Clock()) as journey:
            await hand(journey, billed(1))
            await bounced(journey, 1)
            await put_right(journey)
            found = await journey.house.database.read(list_contacts, journey.tenant_id, KEY)
            roles = {one.address: (one.role, one.name, one.source) for one in found}
            assert roles == {
                RIGHT: ("to", "Ana Rusu", "tenant"), WRONG: ("alternate", "Ana Rusu", "tenant")
            }  # fmt: skip
            now_ms = to_ms(journey.clock())
            assert await journey.house.database.read(get_suppressed, now_ms, journey.tenant_id, WRONG)
            unnamed = document(2, customer={"id": "c-77", "name": "Codrul Verde SRL", "contacts": []})
            answer = await hand(journey, unnamed)
            assert f"known contacts ({RIGHT})" in answer.text and WRONG not in answer.text

    asyncio.run(run())


def test_who_has_it_already_gets_it_no_second_time_and_others_faults_keep_the_thread_open(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, clock=Clock()) as journey:
            await hand(journey, billed(1, WRONG, RIGHT))
            await bounced(journey, 1)
            await hand(journey, billed(2, WRONG, "disabled@client.test"))
            await bounced(journey, 2)

            async def both() -> bool:
                listed = await journey.house.database.read(list_queue, journey.tenant_id, Filter(state="failed"))
                return len(listed) == 3

            await journey.until(both)
            assert ids(await put_right(journey)) == ["inv_2"]
            assert (await journey.thread(await thread_of(journey, 2))).state == "open"
            assert await journey.house.database.read(find_missed, journey.other_id, WRONG) == []

    asyncio.run(run())


def test_a_correction_that_cannot_be_is_refused_in_words(place: Place) -> None:
    async def refusal(journey: Journey, old: str, new: str) -> str:
        try:
            await correct(journey.house.door, journey.tenant_id, old, new, BY, journey.clock())
        except Refused as refused:
            return f"{refused.reply.code} {refused.reply.text}"
        raise AssertionError("it was done")

    async def run() -> None:
        async with open_journey(place, clock=Clock()) as journey:
            await hand(journey, billed(1))
            await bounced(journey, 1)
            assert (await refusal(journey, WRONG, WRONG.upper())).startswith("501 UNKNOWN@client.test is the address")
            assert "501" in await refusal(journey, WRONG, "no address")
            assert (await refusal(journey, "nobody@client.test", RIGHT)).startswith("404 no customer has")
            assert f"550 {WRONG} is suppressed since" in await refusal(journey, RIGHT, WRONG)

    asyncio.run(run())


async def worklist(journey: Journey) -> list[Bounced]:
    return list((await journey.house.database.read(list_bounced, journey.tenant_id)).lines)


def test_the_worklist_names_an_address_once_with_what_it_missed_until_it_is_settled(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, clock=Clock()) as journey:
            for number in (1, 2):
                await hand(journey, billed(number, WRONG, "disabled@client.test"))
                await bounced(journey, number)

            async def both() -> bool:
                found = await worklist(journey)
                return [len(one.missed) for one in found] == [2, 2]

            await journey.until(both)
            first, second = await worklist(journey)
            assert (first.address, second.address) == ("disabled@client.test", WRONG)
            assert (first.reason, second.reason) == ("mailbox_disabled", "mailbox_unknown")
            assert first.customers == ("Codrul Verde SRL",) and "mailbox is disabled" in first.words
            assert [float(amount) for _, amount in first.at_stake] == [sum(float(m.balance) for m in first.missed)]
            file = io.StringIO()
            write_csv(file, [first])
            assert next(csv.DictReader(io.StringIO(file.getvalue())))["missed"] == "2"

            page = await journey.house.database.read(list_bounced, journey.tenant_id, limit=1)
            assert page.cursor == "disabled@client.test"
            rest = await journey.house.database.read(list_bounced, journey.tenant_id, after=page.cursor)
            assert [one.address for one in rest.lines] == [WRONG] and not rest.cursor

            await put_right(journey)
            assert [one.address for one in await worklist(journey)] == ["disabled@client.test"]
            assert await journey.write(dismiss, journey.clock(), journey.tenant_id, "Disabled@client.test", BY) == 2
            assert await worklist(journey) == []
            assert (await journey.thread(await thread_of(journey, 1))).state == "closed"

    asyncio.run(run())

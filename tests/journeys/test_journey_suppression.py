"""Suppressed addresses: who puts them on the list, for how long, and who takes them off, over the whole way."""

import asyncio
from datetime import timedelta

import pytest
from journeys.house import Clock, Journey, Place, Sent, open_journey
from journeys.letters import compose

from gateway.inbox.timeline import timeline
from gateway.outbound.suppression import (
    ALLOWED,
    EXPIRE,
    Entry,
    forget_expired,
    get_suppressed,
    import_suppressed,
    list_suppressed,
    put_suppressed,
    suppress,
    unsuppress,
)
from gateway.store.database import to_ms

GONE = "unknown@client.test"  # the world answers 550 5.1.1
GOOD = "ana@client.test"


async def put(journey: Journey, entry: Entry) -> None:
    await journey.write(put_suppressed, to_ms(journey.clock()), journey.tenant_id, entry)


async def listed(journey: Journey) -> dict[str, str]:
    found = await journey.house.database.read(list_suppressed, journey.tenant_id)
    return {one.address: f"{one.reason} by {one.source}" for one in found}


async def mailed(journey: Journey, address: str, force: bool = False) -> Sent:
    headers = [("X-AR-Force", "suppressed")] if force else []
    return await journey.queue(compose(headers=headers), address)


def test_an_address_that_failed_is_overridden_once_and_until_it_fails_again_and_for_good(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            first = await mailed(journey, GONE)
            await journey.settled(first.message_id, "failed")
            assert await listed(journey) == {GONE: "mailbox_unknown by bounce"}
            assert f"{GONE} is suppressed since" in (await mailed(journey, GONE)).text

            once = await mailed(journey, GONE, force=True)
            assert (await journey.settled(once.message_id, "failed"))["code"] == 550
            assert "is suppressed" in (await mailed(journey, GONE)).text

            assert await journey.write(unsuppress, journey.tenant_id, GONE)
            again = await mailed(journey, GONE)
            assert (await journey.settled(again.message_id, "failed"))["code"] == 550
            assert "is suppressed" in (await mailed(journey, GONE)).text

            await put(journey, Entry(GONE, ALLOWED))
            for _ in range(2):
                tried = await mailed(journey, GONE)
                assert (await journey.settled(tried.message_id, "failed"))["code"] == 550
            assert await listed(journey) == {GONE: "allowed by person"}

    asyncio.run(run())


def test_an_address_that_a_person_stopped_ends_at_once_in_words_of_its_own(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            await put(journey, Entry("Ana@Client.test", evidence="wants letters on paper"))
            sent = await journey.queue(compose(), "ANA@client.test", "bob@client.test")
            assert "ANA@client.test is suppressed since" in sent.text and "(wants letters on paper)" in sent.text
            row = await journey.delivery(sent.message_id)
            assert (row["state"], row["code"], row["reason"]) == ("failed", 0, "blocked")
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.chip) == ("open", "blocked")
            lines = [one.text for one in timeline(await journey.view(sent.thread_id))]
            assert any("a person stopped mail to the address on 20" in line for line in lines), lines
            await journey.arrival("bob@client.test")
            assert not journey.arrivals("ANA@client.test")
            assert "Queued" in (await journey.submit(compose(), "ana@client.test", tenant="beta")).text

    asyncio.run(run())


def test_what_has_expired_no_longer_counts_and_is_taken_off_when_somebody_looks(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey:
            await put(journey, Entry(GOOD, expires_at=clock() + timedelta(days=1)))
            assert "is suppressed" in (await mailed(journey, GOOD)).text
            clock.move(days=1, seconds=1)
            assert "suppressed" not in (await mailed(journey, GOOD)).text
            assert await journey.write(forget_expired, to_ms(clock()), journey.tenant_id) == 1
            assert await listed(journey) == {}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("reason", "days"), [("mailbox_unknown", None), ("domain_unknown", 90), ("mailbox_disabled", 90)]
)
def test_a_domain_and_a_disabled_mailbox_are_tried_again_after_their_time(
    place: Place, reason: str, days: int | None
) -> None:
    async def run() -> None:
        assert (EXPIRE[reason].days if reason in EXPIRE else None) == days
        async with open_journey(place) as journey:
            args = (journey.tenant_id, GOOD, reason, "550 said so", "m" * 20)
            await journey.write(suppress, 1000, *args)
            for later_days, there in ((89, True), (91, days is None)):
                at = 1000 + later_days * 86_400_000
                found = await journey.house.database.read(get_suppressed, at, journey.tenant_id, GOOD)
                assert (found is not None) is there
            renewed = 1000 + 91 * 86_400_000
            await journey.write(suppress, renewed, *args)
            found = await journey.house.database.read(get_suppressed, renewed + 1, journey.tenant_id, GOOD)
            assert found is not None and to_ms(found.created_at) == (1000 if days is None else renewed)

    asyncio.run(run())


def test_later_evidence_changes_nothing_while_the_first_holds_as_long(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            at = to_ms(journey.clock())
            tenant_id = journey.tenant_id
            await journey.write(suppress, at, tenant_id, GOOD, "mailbox_unknown", "550 first", "")
            await journey.write(suppress, at + 1, tenant_id, GOOD, "domain_unknown", "550 second", "")
            [one] = await journey.house.database.read(list_suppressed, tenant_id)
            assert (one.evidence, one.expires_at) == ("550 first", None)
            added = await journey.write(import_suppressed, at, tenant_id, [Entry(GOOD), Entry("new@client.test")])
            assert added == (1, 1)
            assert await listed(journey) == {GOOD: "mailbox_unknown by bounce", "new@client.test": "blocked by person"}
            over = Entry("old@client.test", expires_at=journey.clock() - timedelta(days=1))
            assert await journey.write(import_suppressed, at, tenant_id, [over]) == (0, 0)

    asyncio.run(run())


def test_the_list_is_read_by_pages_and_by_a_part_of_the_address(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            names = [f"a{n:02}@client.test" for n in range(7)] + ["x_y@client.test", "xzy@client.test"]
            await journey.write(import_suppressed, 1, journey.tenant_id, [Entry(name) for name in names])
            seen: list[str] = []
            read = journey.house.database.read
            while page := await read(list_suppressed, journey.tenant_id, after=seen[-1] if seen else "", limit=4):
                seen += [one.address for one in page]
            assert sorted(seen) == sorted(names) and len(seen) == len(set(seen))
            found = await read(list_suppressed, journey.tenant_id, part="X_Y")
            assert [one.address for one in found] == ["x_y@client.test"]
            assert not await read(list_suppressed, journey.other_id)

    asyncio.run(run())

"""Destinations: what one asks of us is granted, costs nobody else anything, and nothing that waits is hidden."""

import asyncio

from journeys.house import Clock, Place, open_journey
from journeys.letters import compose
from postroom.ports import free_port

from gateway.demo.world import start_world
from gateway.outbound.queue import retry_failed
from gateway.store.database import to_ms


def test_a_destination_that_asks_for_a_pause_is_left_alone_and_others_are_not(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            told = await journey.queue(compose(), "throttle@busy.test")
            row = await journey.tried(told.message_id)
            assert (row["state"], row["code"]) == ("queued", 421)
            waits = await journey.queue(compose(), "ana@busy.test")
            other = await journey.queue(compose(), "ana@client.test")
            await journey.settled(other.message_id, "relayed")
            row = await journey.given_back(waits.message_id)
            assert (row["attempts"], row["booked_by"], row["code"]) == (0, "", 421), "it was not tried"
            asked = row["next_attempt_at"] - to_ms(journey.clock())
            assert 540_000 < asked <= 640_000, "the time that the server named, spread a little"
            said = (await journey.answers("ana@busy.test"))[0]
            assert "waiting, next attempt at" in said and "try again in 10 minutes" in said
            assert not journey.arrivals("ana@busy.test")
            journey.clock.move(minutes=12)
            assert (await journey.settled(waits.message_id, "relayed"))["attempts"] == 1
            await journey.settled(told.message_id, "relayed")

    asyncio.run(run())


def test_what_is_for_a_server_that_is_down_rests_and_ends_visibly_when_its_time_is_over(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        world = await start_world(return_to=("127.0.0.1", 9), clock=clock, pace=0)
        hosts = {"down.test": [("mx.down.test", "127.0.0.1", free_port())],
                 "*": [("mx.world.example", "127.0.0.1", world.port)]}  # fmt: skip
        try:
            async with open_journey(place, clock=clock, world=world, hosts=hosts) as journey:
                first = await journey.queue(compose(), "ana@down.test")
                await journey.tried(first.message_id)
                second = await journey.queue(compose(), "ion@down.test")
                row = await journey.given_back(second.message_id)
                assert (row["attempts"], row["reason"]) == (0, "unreachable")
                kinds = [event.type for event in await journey.events(second.thread_id)]
                assert kinds.count("recipient.deferred") == 1
                clock.move(days=6)
                row = await journey.settled(second.message_id, "failed")
                assert row["reason"] == "expired"
                thread = await journey.thread(second.thread_id)
                assert (thread.state, thread.chip) == ("open", "expired")
        finally:
            await world.stop()

    asyncio.run(run())


def test_a_mail_that_was_sent_and_never_confirmed_is_unclear_and_a_person_decides(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, delivery={"unclear_retries": 0}) as journey:
            sent = await journey.queue(compose(), "drop-kept@client.test")
            row = await journey.settled(sent.message_id, "unclear")
            assert row["unclear"] == 1
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.chip) == ("open", "unanswered")
            assert "it may have arrived" in (await journey.answers(sent.message_id))[0]
            now_ms = to_ms(journey.clock())
            again = (journey.tenant_id, (sent.message_id, 0), "clerk", now_ms + 86_400_000)
            assert await journey.house.database.write(retry_failed, now_ms, *again) == 1
            await journey.settled(sent.message_id, "relayed")
            assert len(journey.arrivals("drop-kept@client.test")) == 2

    asyncio.run(run())


def test_a_late_mail_is_told_once(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(), "full@client.test")
            for attempts in (1, 2, 3, 4):
                await journey.tried(sent.message_id, attempts)
                journey.clock.move(hours=5)
            kinds = [event.type for event in await journey.events(sent.thread_id)]
            assert kinds.count("recipient.late") == 1
            assert (await journey.thread(sent.thread_id)).state == "closed", "nobody has to act"

    asyncio.run(run())


def test_the_line_of_one_tenant_does_not_stand_before_another_tenants_single_invoice(place: Place) -> None:
    """All of it for one slow server, over the few connections that it bears."""

    async def run() -> None:
        async with open_journey(place, pace=0.1) as journey:  # `slow` then takes 0.3 s for each
            people = tuple(f"slow+{number}@client.test" for number in range(120))
            big = await journey.queue(compose(), *people)
            single = await journey.queue(compose(), "slow@client.test", tenant="beta")
            row = await journey.settled(single.message_id, "relayed")
            rows = await journey.deliveries(big.message_id)
            before = sum(1 for one in rows if one["settled_at"] and one["settled_at"] <= row["settled_at"])
            assert before < 60, f"{before} of the 120 went before it"

    asyncio.run(run())

"""Servers that refuse, defer, hang up and never answer: what is tried again, what is given up, what people may do."""

import asyncio
from collections.abc import Callable
from typing import Any

from journeys.house import Clock, Place, open_journey
from journeys.letters import compose
from postroom.ports import free_port

from gateway.demo.world import start_world
from gateway.inbox.trace import trace
from gateway.outbound.queue import cancel, hold, release, retry_failed
from gateway.outbound.suppression import list_suppressed, unsuppress
from gateway.store.database import to_ms


def test_a_refusal_at_rcpt_fails_at_once_with_the_servers_words(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            people = ("unknown@client.test", "accept@client.test", "policy@client.test", "spam@client.test")
            sent = await journey.queue(compose(to=", ".join(people)), *people)
            row = await journey.settled(sent.message_id, "failed")
            assert (row["code"], row["status"], row["reason"]) == (550, "5.1.1", "mailbox_unknown")
            assert row["text"].endswith("<unknown@client.test>: no such mailbox here")
            await journey.settled(sent.message_id, "relayed", 2)
            assert (await journey.settled(sent.message_id, "failed", 3))["reason"] == "policy_rejected"
            assert (await journey.settled(sent.message_id, "failed", 4))["reason"] == "spam_rejected"
            assert (await journey.thread(sent.thread_id)).state == "open"
            [one] = await journey.house.database.read(list_suppressed, journey.tenant_id)
            assert one.address == "unknown@client.test" and "no such mailbox here" in one.evidence
            said = await journey.answers("unknown@client.test")
            assert "550 5.1.1 <unknown@client.test>: no such mailbox here" in said[0]

    asyncio.run(run())


def test_a_full_mailbox_waits_with_its_words_and_a_next_try_and_is_given_up_after_five_days(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(to="full@client.test"), "full@client.test")
            row = await journey.tried(sent.message_id)
            assert (row["state"], row["code"], row["status"]) == ("queued", 452, "4.2.2")
            assert 200_000 < row["next_attempt_at"] - to_ms(journey.clock()) <= 360_000
            assert (await journey.thread(sent.thread_id)).state == "closed"
            said = (await journey.answers("full@client.test"))[0]
            assert "waiting, next attempt at" in said and "452 4.2.2" in said
            journey.clock.move(minutes=7)
            row = await journey.tried(sent.message_id, 2)
            assert row["state"] == "queued"
            journey.clock.move(days=5)
            row = await journey.settled(sent.message_id, "failed")
            assert (row["reason"], row["code"], row["attempts"]) == ("expired", 452, 3)
            thread = await journey.thread(sent.thread_id)
            assert (thread.state, thread.chip) == ("open", "expired")
            assert "given up at" in (await journey.answers(sent.message_id))[0]
            assert not await journey.house.database.read(list_suppressed, journey.tenant_id)

    asyncio.run(run())


def test_greylisting_is_outwaited(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(to="greylist@client.test"), "greylist@client.test")
            for attempts in (1, 2):
                row = await journey.tried(sent.message_id, attempts)
                assert (row["state"], row["reason"]) == ("queued", "greylisted")
                journey.clock.move(minutes=20)
            row = await journey.settled(sent.message_id, "relayed")
            assert row["attempts"] == 3
            assert len(journey.arrivals("greylist@client.test")) == 1
            view = await journey.view(sent.thread_id)
            assert [one.code for one in view.messages[0].deliveries[0].attempts] == [451, 451, 250]
            assert (await journey.thread(sent.thread_id)).state == "closed"

    asyncio.run(run())


def test_a_final_dot_without_an_answer_is_unclear_and_tried_again_with_the_same_bytes(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            for address, copies in (("drop@client.test", 1), ("drop-kept@client.test", 2)):
                sent = await journey.queue(compose(to=address), address)
                assert (await journey.tried(sent.message_id))["state"] == "queued"
                [attempt] = (await journey.view(sent.thread_id)).messages[0].deliveries[0].attempts
                assert attempt.unclear and attempt.stage == "dot"
                journey.clock.move(minutes=10)
                await journey.settled(sent.message_id, "relayed")
                arrived = journey.arrivals(address)
                assert len(arrived) == copies and len({mail.raw for mail in arrived}) == 1
                [traced] = await journey.house.database.read(trace, journey.tenant_id, sent.message_id)
                assert any("it may have arrived" in line.text for line in traced.lines)

    asyncio.run(run())


def test_a_server_that_is_down_is_passed_over_and_costs_nobody_else_anything(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        world = await start_world(return_to=("127.0.0.1", 9), clock=clock, pace=0)
        up = ("mx2.second.test", "127.0.0.1", world.port)
        down = ("mx1.second.test", "127.0.0.1", free_port())
        try:
            async with open_journey(
                place, clock=clock, world=world, hosts={"down.test": [down], "second.test": [down, up], "*": [up]}
            ) as journey:
                people = ("ana@down.test", "ana@second.test", "ana@client.test")
                sent = await journey.queue(compose(), *people)
                assert (await journey.settled(sent.message_id, "relayed", 2))["host"] == "mx2.second.test [127.0.0.1]"
                await journey.settled(sent.message_id, "relayed", 3)
                row = await journey.tried(sent.message_id)
                assert (row["state"], row["reason"], row["code"]) == ("queued", "unreachable", 0)
        finally:
            await world.stop()

    asyncio.run(run())


def test_what_people_do_with_the_queue(place: Place) -> None:
    """Retry, hold, release, cancel: what was relayed is never sent twice, what is cancelled is never sent."""

    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(to="full@client.test"), "full@client.test", "accept@client.test")
            await journey.settled(sent.message_id, "relayed", 2)
            await journey.tried(sent.message_id)
            every = (sent.message_id, 0)

            async def act(function: Callable[..., int], *args: Any) -> int:
                return await journey.write(function, to_ms(journey.clock()), journey.tenant_id, every, *args)

            assert await act(hold, "ask the customer first") == 1
            assert "on hold, ask the customer first" in (await journey.answers("full@client.test"))[0]
            journey.clock.move(hours=1)
            await asyncio.sleep(1.5)
            assert (await journey.delivery(sent.message_id))["attempts"] == 1
            assert await act(release, "maria") == 1
            assert (await journey.tried(sent.message_id, 2))["state"] == "queued"
            assert await act(cancel, "maria") == 1
            row = await journey.settled(sent.message_id, "cancelled")
            journey.clock.move(hours=6)
            await asyncio.sleep(1.5)
            assert (await journey.delivery(sent.message_id))["attempts"] == row["attempts"]
            assert await act(retry_failed, "maria", to_ms(journey.clock()) + 5 * 86_400_000) == 1
            assert (await journey.tried(sent.message_id, 3))["state"] == "queued"
            assert len(journey.arrivals("accept@client.test")) == 1

    asyncio.run(run())


def test_a_failed_delivery_can_be_tried_again_when_its_address_is_mended(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose(to="unknown@client.test"), "unknown@client.test")
            await journey.settled(sent.message_id, "failed")
            assert await journey.write(unsuppress, journey.tenant_id, "unknown@client.test")
            again = await journey.queue(compose(to="unknown@client.test"), "unknown@client.test")
            assert "suppressed" not in again.text
            await journey.settled(again.message_id, "failed")
            bounced = await journey.events(again.thread_id, "recipient.bounced")
            words = [event.data["words"][:9] for event in bounced if event.message_id == again.message_id]
            assert words == ["550 5.1.1"]

    asyncio.run(run())


def test_a_release_of_what_is_being_sent_right_now_sends_it_once(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, pace=0.7) as journey:
            sent = await journey.queue(compose(to="slow@client.test"), "slow@client.test")
            await asyncio.sleep(0.3)  # the world thinks for two seconds
            every = (sent.message_id, 0)
            for function, args in (
                (release, ("maria",)),
                (retry_failed, ("maria", to_ms(journey.clock()) + 1_000_000)),
            ):
                await journey.write(function, to_ms(journey.clock()), journey.tenant_id, every, *args)
            await journey.write(hold, to_ms(journey.clock()), journey.tenant_id, every, "wait")
            await journey.write(release, to_ms(journey.clock()), journey.tenant_id, every, "maria")
            await asyncio.sleep(1.3)  # longer than the queue looks away
            await journey.settled(sent.message_id, "relayed")
            await asyncio.sleep(1.3)
            assert len(journey.arrivals("slow@client.test")) == 1

    asyncio.run(run())

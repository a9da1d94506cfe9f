"""How long mail is tried: as its tenant wants, by its route, or until it means nothing any more (X-AR-Expires)."""

import asyncio
from datetime import timedelta
from typing import Any

from journeys.house import INBOX, Clock, Journey, Place, open_journey
from journeys.letters import compose
from journeys.test_journey_triggers import ANA, document, held, mail, never_comes, turn_on, walk

from gateway.demo.samples import document_mail
from gateway.inbox.timeline import timeline
from gateway.outbound.queue import hold, release, retry_failed
from gateway.outbound.retry_options import set_retry
from gateway.store.database import to_ms

FULL = "full@client.test"
DAY_MS = 86_400_000


def dated(value: str) -> bytes:
    return compose(to=FULL, headers=[("X-AR-Expires", value)])


async def said(journey: Journey, thread_id: str, type: str) -> list[str]:
    """What the timeline says of the events of a type."""
    return [line.text for line in timeline(await journey.view(thread_id)) if line.what == type]


def lasts(row: dict[str, Any]) -> int:
    """How long (ms) a delivery is tried after it was accepted."""
    return int(row["expires_at"] - row["created_at"])


def test_a_mail_that_means_nothing_any_more_is_not_sent_and_its_thread_says_so(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        sent = await journey.queue(dated("30m"), FULL)
        row = await journey.tried(sent.message_id)
        assert lasts(row) == 1_800_000
        clock.move(minutes=31)
        row = await journey.settled(sent.message_id, "failed")
        assert (row["reason"], row["attempts"], row["code"]) == ("expired", 1, 452)  # nobody was asked once more
        [text] = await said(journey, sent.thread_id, "recipient.expired")
        assert text.startswith(f"{FULL}: not sent any more, it was to go before 20") and "452 4.2.2" in text
        thread = await journey.thread(sent.thread_id)
        assert (thread.state, thread.chip) == ("open", "expired")
        expires_at = to_ms(clock()) + DAY_MS  # a person may send it all the same
        assert await journey.write(
            retry_failed, to_ms(clock()), journey.tenant_id, (sent.message_id, 0), "maria", expires_at
        )
        assert (await journey.tried(sent.message_id, 2))["state"] == "queued"

    walk(place, story)


def test_what_is_released_after_its_end_does_not_leave(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        headers = {"X-AR-Template": "new_invoice", "X-AR-Expires": "2h", "X-AR-Delay": "5m"}
        rendered = document_mail(document(), now=clock(), headers=headers)
        answer = await journey.submit(rendered, f"send@{INBOX}")
        assert answer.code == 250 and "Held until" in answer.text, answer
        message_id = answer.text.partition(";")[0].split()[-1]
        rows = await journey.deliveries(message_id)
        assert {lasts(row) // 60_000 for row in rows} == {125}  # from when it may go
        await journey.write(hold, to_ms(clock()), journey.tenant_id, (message_id, 0), "look at it first")
        clock.move(hours=3)
        await journey.write(release, to_ms(clock()), journey.tenant_id, (message_id, 0), "maria")
        for row in rows:
            ended = await journey.settled(message_id, "failed", row["number"])
            assert (ended["reason"], ended["attempts"]) == ("expired", 0)
            assert journey.arrivals(row["recipient"]) == []
        assert "(no words)" in (await said(journey, rows[0]["thread_id"], "recipient.expired"))[0]

    walk(place, story)


def test_an_end_that_is_over_is_refused_and_nothing_is_kept(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        before = await journey.counts()
        for value in ("2020-01-31", (clock() - timedelta(minutes=1)).isoformat(), "tomorrow"):
            answer = await journey.submit(dated(value), FULL)
            assert answer.code == 554 and "X-AR-Expires" in answer.text, answer
        assert await journey.counts() == before

    walk(place, story)


def test_a_held_automatic_mail_takes_the_end_of_its_correction(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        made = document()
        message_id = await held(journey, made)
        assert lasts(await journey.delivery(message_id)) > 4 * DAY_MS
        answer = await journey.submit(mail(made | {"revision": 2}, X_AR_Expires="20m"), ANA)
        assert message_id in answer.text
        assert lasts(await journey.delivery(message_id)) < 30 * 60_000
        await journey.write(hold, to_ms(clock()), journey.tenant_id, (message_id, 0), "wait")
        await never_comes(journey, clock)
        await journey.write(release, to_ms(clock()), journey.tenant_id, (message_id, 0), "maria")
        assert (await journey.settled(message_id, "failed"))["reason"] == "expired"
        assert journey.arrivals(ANA) == []

    walk(place, story)


def test_a_tenant_is_tried_as_soon_and_as_long_as_it_wants_and_another_as_the_house_does(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await journey.write(set_retry, journey.tenant_id, "", 1200, None, 7200)
        await journey.write(set_retry, journey.tenant_id, "smtp", 30, 30, 600)  # a route that it does not use
        sent, other = await journey.queue(dated("3d"), FULL), await journey.queue(dated("3d"), FULL, tenant="beta")
        row, usual = await journey.tried(sent.message_id), await journey.tried(other.message_id)
        assert lasts(row) == 7_200_000 and lasts(usual) == 3 * DAY_MS  # the shorter of the two
        assert 960_000 - 40_000 < row["next_attempt_at"] - to_ms(clock()) <= 1_440_000
        assert 240_000 - 40_000 < usual["next_attempt_at"] - to_ms(clock()) <= 360_000
        await journey.write(set_retry, journey.tenant_id, "", 60, None, None)
        clock.move(minutes=25)
        row = await journey.tried(sent.message_id, 2)
        assert 96_000 - 40_000 < row["next_attempt_at"] - to_ms(clock()) <= 144_000
        clock.move(hours=2)
        row = await journey.settled(sent.message_id, "failed")
        assert (row["reason"], row["attempts"]) == ("expired", 3)  # its last try is made: it still means something
        [text] = await said(journey, sent.thread_id, "recipient.expired")
        assert "given up after too long a time" in text

    walk(place, story)


def test_an_attempt_that_a_stop_broke_off_is_told_and_made_again_at_the_next_start(place: Place) -> None:
    async def run() -> None:
        async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(60)
            writer.close()

        silent = await asyncio.start_server(say_nothing, "127.0.0.1")
        port = silent.sockets[0].getsockname()[1]
        async with open_journey(place, hosts={"*": [("mx.silent.test", "127.0.0.1", port)]}) as journey:
            sent = await journey.queue(compose(to=ANA), ANA)
            await asyncio.sleep(0.5)
        silent.close()
        async with open_journey(place) as journey:
            await journey.arrival(ANA)
            assert (await journey.settled(sent.message_id, "relayed"))["attempts"] == 2
            told = await said(journey, sent.thread_id, "attempt")
            assert "the gateway was stopped before an answer came; it may have arrived" in told[0]

    asyncio.run(run())


def test_a_route_has_a_policy_of_its_own(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, delivery={"relay": "127.0.0.1:9"}) as journey:
            await journey.write(set_retry, journey.tenant_id, "relay", 30, None, 1800)
            sent = await journey.queue(compose(), ANA)
            row = await journey.tried(sent.message_id)
            assert lasts(row) == 1_800_000
            assert row["reason"] == "unreachable"
            assert row["next_attempt_at"] - to_ms(journey.clock()) <= 36_000

    asyncio.run(run())

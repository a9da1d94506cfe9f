"""Limits on messages, memory and disk: what is refused, until when, and what nobody else notices of it."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from journeys.house import INBOX, PASSWORD, Clock, Journey, Place, open_journey
from journeys.letters import compose
from journeys.test_journey_triggers import EVENT, document
from sqlalchemy import select

from gateway.demo.samples import document_mail
from gateway.inbox.timeline import timeline
from gateway.outbound.limits import read_usage, set_limits
from gateway.store.database import Transaction
from gateway.store.schema import usage
from gateway.store.tenants import add_credential, get_tenant

ANA, BOB = "ana@client.test", "bob@client.test"
NOON = datetime.now(UTC).replace(hour=10, minute=10) + timedelta(days=1)  # 12:10 where the tenant is, or 13:10


def at_noon() -> Clock:
    return Clock(NOON - datetime.now(UTC))


async def limit(
    journey: Journey, per_hour: int | None = None, per_day: int | None = None, credential: str = ""
) -> None:
    await journey.write(set_limits, journey.clock(), journey.tenant_id, credential, per_hour, per_day)


async def counted(journey: Journey) -> dict[str, tuple[int, int]]:
    def read(tx: Transaction) -> dict[str, tuple[int, int]]:
        rows = tx.all(select(usage.c.credential, usage.c.messages, usage.c.recipients))
        return {row[0]: (row[1], row[2]) for row in rows}

    return await journey.house.database.read(read)


def test_a_limit_of_a_day_holds_until_midnight_of_the_tenant_and_is_told_once(place: Place) -> None:
    async def run() -> None:
        clock = at_noon()
        async with open_journey(place, clock=clock) as journey:
            await limit(journey, per_day=2)
            for _ in range(2):
                await journey.queue(compose(), ANA, BOB)
            for _ in range(3):
                answer = await journey.submit(compose("Factura 7"), ANA)
                assert answer.code == 451
                assert answer.text.startswith("4.7.0 Daily limit of 2 reached for tenant acme; it resets at 00:00 +0")
            [thread] = [one for one in await journey.threads() if one.chip]
            assert (thread.state, thread.chip) == ("open", "refused")
            [event] = await journey.events(thread.id, "message.refused")
            [line] = [one for one in timeline(await journey.view(thread.id)) if one.what == event.type]
            assert line.text.startswith("not accepted from acme-billing: Daily limit of 2 reached")
            assert await counted(journey) == {"": (2, 4)}
            assert (await journey.submit(compose(), ANA, tenant="beta")).code == 250
            clock.move(hours=24)
            await journey.queue(compose(), ANA)

    asyncio.run(run())


def test_a_limit_of_an_hour_holds_until_the_hour_is_over(place: Place) -> None:
    async def run() -> None:
        clock = at_noon()
        async with open_journey(place, clock=clock) as journey:
            await limit(journey, per_hour=1)
            await journey.queue(compose(), ANA)
            answer = await journey.submit(compose(), ANA)
            assert answer.code == 451 and "Hourly limit of 1 reached for tenant acme; it resets at 1" in answer.text
            assert ":00 +0" in answer.text
            clock.move(minutes=51)
            await journey.queue(compose(), ANA)

    asyncio.run(run())


def test_a_credential_has_a_limit_of_its_own_and_another_one_goes_on(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, clock=at_noon()) as journey:
            await journey.write(
                add_credential, datetime.now(UTC), journey.tenant_id, username="shop", password=PASSWORD
            )
            await limit(journey, per_hour=1, credential="acme-billing")
            await journey.queue(compose(), ANA)
            answer = await journey.submit(compose(), ANA)
            assert answer.code == 451 and "for credential acme-billing;" in answer.text
            await journey.queue(compose(), ANA, login=("shop", PASSWORD))
            assert await counted(journey) == {"acme-billing": (1, 1)}

    asyncio.run(run())


def test_a_tenant_without_a_limit_is_not_counted_and_one_that_gets_one_is_with_what_it_sent(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            for _ in range(2):
                await journey.queue(compose(), ANA, BOB)
            assert await counted(journey) == {}
            await limit(journey, per_day=3)
            assert await counted(journey) == {"": (2, 4), "acme-billing": (2, 4)}
            await journey.queue(compose(), ANA)
            assert (await journey.submit(compose(), ANA)).code == 451
            await limit(journey, per_day=4)
            await journey.queue(compose(), ANA)
            assert (await journey.submit(compose(), ANA)).code == 451
            await limit(journey, per_day=0)
            await journey.queue(compose(), ANA)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (("X-AR-Force", "limit"), "Queued"),
        (("X-AR-Test", "yes"), "Test"),
        (("X-AR-Template", "none"), "Stored only"),
    ],
)
def test_what_does_not_count_passes_a_limit_that_is_reached(place: Place, header: tuple[str, str], said: str) -> None:
    async def run() -> None:
        async with open_journey(place, clock=at_noon()) as journey:
            await limit(journey, per_hour=1)
            await journey.queue(compose(), ANA)
            assert (await journey.submit(compose(), ANA)).code == 451
            answer = await journey.submit(compose(headers=[header]), ANA)
            assert answer.code == 250 and said in answer.text, answer
            assert (await counted(journey))[""][0] == (2 if said == "Queued" else 1)

    asyncio.run(run())


def test_a_duplicate_by_key_gets_its_first_receipt_though_the_limit_is_reached(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, clock=at_noon()) as journey:
            await limit(journey, per_hour=1)
            keyed = compose(headers=[("X-AR-Idempotency-Key", "k1")])
            first = await journey.queue(keyed, ANA)
            assert (await journey.submit(compose(), ANA)).code == 451
            again = await journey.submit(keyed, ANA)
            assert again.code == 250 and f"Duplicate of {first.message_id}" in again.text

    asyncio.run(run())


def test_what_is_refused_by_a_limit_leaves_nothing_behind(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, clock=at_noon()) as journey:
            await limit(journey, per_hour=1)
            sent = await journey.queue(compose(), ANA)
            await journey.settled(sent.message_id, "relayed")
            before = await journey.counts()
            raw = document_mail(document(), now=datetime.now(UTC), headers={"X-AR-Template": "new_invoice"})
            for mail in (raw, compose("Factura 8")):
                assert (await journey.submit(mail, f"send@{INBOX}" if mail is raw else ANA)).code == 451
            assert await journey.counts() == before
            off = document_mail(document(), now=datetime.now(UTC), headers=EVENT)
            assert "Stored only" in (await journey.submit(off, f"send@{INBOX}")).text  # nothing that would count

    asyncio.run(run())


def test_doors_at_once_never_pass_a_limit_together(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, clock=at_noon()) as journey:
            await limit(journey, per_hour=5)
            answers = await asyncio.gather(*(journey.submit(compose(f"Factura {n}"), ANA) for n in range(12)))
            assert sorted(answer.code for answer in answers) == [250] * 5 + [451] * 7
            assert await counted(journey) == {"": (5, 5)}
            tenant = await journey.house.database.read(get_tenant, journey.tenant_id)
            assert tenant is not None
            [used] = await journey.house.database.read(read_usage, tenant, journey.clock())
            assert (used.per, used.used, used.most) == ("hour", 5, 5)

    asyncio.run(run())


# -- memory and disk


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"min_free": 2**60}, "nearly full; try again later"),
        ({"submission": {"max_message": 2**20, "max_memory": 2**21}}, "at once; try again in a moment"),
    ],
)
def test_without_room_mail_is_put_off_before_it_is_sent(place: Place, changes: dict[str, Any], words: str) -> None:
    async def run() -> None:
        held = "submission" in changes  # beyond three quarters, by what the client says it will send
        async with open_journey(place, **changes) as journey:
            before = await journey.counts()
            reader = await _begin(journey, b"x" * 1_000_000) if held else None
            answer = await journey.submit(compose(), ANA, options=["SIZE=900000"])
            assert (answer.code, answer.stage) == (452, "mail"), answer
            assert words in answer.text
            assert await journey.counts() == before
            if reader is not None:
                reader.close()
                await journey.until(lambda: _accepted(journey))

    asyncio.run(run())


async def _begin(journey: Journey, body: bytes) -> asyncio.StreamWriter:
    """A client that has sent most of a message, and holds the line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", journey.house.ports.submission)
    login = base64.b64encode(f"\0acme-billing\0{PASSWORD}".encode())
    for line in (b"EHLO x", b"AUTH PLAIN " + login, b"MAIL FROM:<a@acme.test>", b"RCPT TO:<ana@client.test>", b"DATA"):
        writer.write(line + b"\r\n")
        while (await reader.readline())[3:4] in (b"-",):
            pass
    writer.write(b"Subject: x\r\n\r\n" + body)
    await writer.drain()
    await asyncio.sleep(0.2)
    return writer


async def _accepted(journey: Journey) -> bool:
    return (await journey.submit(compose(), ANA)).code == 250


def test_mail_that_is_queued_still_leaves_when_the_disk_is_nearly_full(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock, delivery={"relay": "127.0.0.1:9"}) as journey:
            sent = await journey.queue(compose(), ANA)
            await journey.tried(sent.message_id)
        clock.move(minutes=10)
        async with open_journey(place, clock=clock, min_free=2**60) as journey:
            await journey.arrival(ANA)
            assert (await journey.come(compose(), f"acme@{INBOX}")).code == 452

    asyncio.run(run())

"""The receiver's rates: who sends or comes too often is told when to come back, and is taken then."""

import asyncio
import re
import smtplib

import pytest
from journeys.house import INBOX, Journey, Place, open_journey
from journeys.letters import compose, in_thread

TO = f"acme@{INBOX}"


async def send(journey: Journey, **options: object) -> tuple[int, str]:
    answer = await journey.come(compose(), TO, return_path="ana@client.test", **options)
    return answer.code, answer.text


def seconds(text: str) -> int:
    found = re.search(r"come back in (\d+) seconds", text)
    assert found, text
    return int(found[1])


def test_messages_of_an_address_have_a_rate_and_the_server_in_front_has_none(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, receiver={"messages_per_minute": 2}) as journey:
            assert [(await send(journey))[0] for _ in range(2)] == [250, 250]
            code, text = await send(journey)
            assert code == 450
            assert text.startswith("4.7.0 More than 2 messages in a minute from 127.0.0.1; come back in ")
            assert [(await send(journey, lmtp=True))[0] for _ in range(4)] == [250] * 4
            journey.clock.move(seconds=seconds(text))
            assert (await send(journey))[0] == 250
            assert (await send(journey))[0] == 450
            assert (await journey.counts())["message"] == 7

    asyncio.run(run())


def test_a_guess_at_addresses_counts_as_a_message(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, receiver={"messages_per_minute": 2}) as journey:
            for name in ("info", "office"):
                assert (await journey.come(compose(), f"{name}@nowhere.test")).code == 550
            assert (await send(journey))[0] == 450

    asyncio.run(run())


def test_connections_of_an_address_have_a_rate(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place, receiver={"connections_per_minute": 2}) as journey:
            assert [(await send(journey))[0] for _ in range(2)] == [250, 250]
            with pytest.raises(smtplib.SMTPConnectError) as refused:
                await in_thread(smtplib.SMTP, "127.0.0.1", journey.house.ports.receiver)
            assert refused.value.smtp_code == 421
            text = refused.value.smtp_error.decode()
            assert text.startswith("4.7.0 Too many connections from 127.0.0.1; come back in ")
            assert (await send(journey, lmtp=True))[0] == 250
            journey.clock.move(seconds=seconds(text))
            assert (await send(journey))[0] == 250

    asyncio.run(run())

"""The bell between processes: what one makes due, another sends at once, though it looks but once in ten minutes.

On PostgreSQL only; SQLite is polled. The bell is rung by a database of its own, as a command or another node has it.
"""

import asyncio
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from journeys.house import Journey, Place, copy_folder, end_connections, in_thread, make_config, open_journey
from journeys.letters import compose
from postroom.postgres import Postgres

from gateway.outbound import delivery
from gateway.outbound.queue import release
from gateway.store import bell
from gateway.store.database import Database, Transaction, to_ms

ANA = "ana@client.test"
SOON = 5.0  # seconds on a busy machine; polling would take ten minutes


@pytest.fixture
def place(postgres: Postgres, postgres_template: tuple[Path, str], tmp_path: Path) -> Place:
    """A PostgreSQL database."""
    template, name = postgres_template
    copy_folder(template, tmp_path / "data")
    return Place(tmp_path / "data", postgres.create_database(name))


@pytest.fixture(autouse=True)
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polling that no test waits for."""
    monkeypatch.setattr(delivery, "POLL_SECONDS", 600.0)


async def scheduled(journey: Journey) -> str:
    """A mail that waits for tomorrow."""
    at = (journey.clock() + timedelta(days=1)).isoformat(timespec="seconds")
    answer = await journey.submit(compose(to=ANA, headers=[("X-AR-Send-At", at)]), ANA)
    assert answer.code == 250 and "Held until" in answer.text, answer
    return answer.text.rpartition(" ")[2]


async def release_elsewhere(place: Place, journey: Journey, message_id: str) -> None:
    """What a command, or the page of another node, does."""
    other = Database(make_config(place).database_url)
    try:
        now_ms = to_ms(journey.clock())
        assert await other.write(release, now_ms, journey.tenant_id, (message_id, 0), "admin") == 1
    finally:
        other.close()


def test_what_another_process_releases_goes_at_once(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            message_id = await scheduled(journey)
            await asyncio.sleep(1.5)  # the first looks are over
            assert not journey.arrivals(ANA)
            await release_elsewhere(place, journey, message_id)
            async with asyncio.timeout(SOON):
                await journey.arrival(ANA)

    asyncio.run(run())


def test_without_a_ring_nobody_looks(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transaction, "ring", lambda _: None)

    async def run() -> None:
        async with open_journey(place) as journey:
            message_id = await scheduled(journey)
            await asyncio.sleep(1.5)
            await release_elsewhere(place, journey, message_id)
            await asyncio.sleep(2)
            assert not journey.arrivals(ANA)

    asyncio.run(run())


def test_many_rings_of_one_commit_are_one_and_a_lost_connection_listens_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "AGAIN_SECONDS", 0.1)

    async def run() -> None:
        database, heard, rings = Database(make_config(place).database_url), asyncio.Event(), []

        def hear() -> None:
            rings.append(1)
            heard.set()

        listening = asyncio.create_task(bell.listen(database, hear))
        try:
            await asyncio.wait_for(heard.wait(), SOON)  # it looks once when it begins to listen
            await asyncio.gather(*(database.write(Transaction.ring) for _ in range(50)))
            await asyncio.sleep(0.5)
            assert 2 <= len(rings) < 10
            heard.clear()
            end_connections(place)
            await asyncio.wait_for(heard.wait(), SOON)
        finally:
            listening.cancel()
            database.close()

    asyncio.run(run())


def test_a_lost_connection_leaves_nobody_deaf(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptor's number is taken by the next socket: that one must still be read on the same loop."""
    monkeypatch.setattr(bell, "AGAIN_SECONDS", 600.0)

    async def run() -> None:
        database, heard = Database(make_config(place).database_url), asyncio.Event()
        listening = asyncio.create_task(bell.listen(database, heard.set))
        await asyncio.wait_for(heard.wait(), SOON)
        await in_thread(end_connections, place)
        await asyncio.sleep(0.5)
        pairs = [socket.socketpair() for _ in range(20)]
        try:
            for ours, theirs in pairs:
                reader, _ = await asyncio.open_connection(sock=ours)
                theirs.sendall(b"x")
                assert await asyncio.wait_for(reader.read(1), SOON) == b"x"
        finally:
            for pair in pairs:
                for end in pair:
                    end.close()
            listening.cancel()
            database.close()

    asyncio.run(run())

"""Much at once, two tenants side by side, and a house that ends and begins again: nothing lost, nothing twice."""

import asyncio
import smtplib
import threading
from collections import Counter

from journeys.house import PASSWORD, Clock, Journey, Place, make_config, open_journey
from journeys.letters import AUTHOR, SECONDS, compose, in_thread
from sqlalchemy import event

from gateway.demo.world import start_world
from gateway.outbound.suppression import get_suppressed

MAILS, CONNECTIONS = 300, 20


def test_three_hundred_mails_over_twenty_connections_arrive_exactly_once_each(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            port = journey.house.ports.submission
            share = MAILS // CONNECTIONS
            answers = await asyncio.gather(
                *(in_thread(_submit_many, port, range(n * share, (n + 1) * share)) for n in range(CONNECTIONS))
            )
            codes = Counter(code for some in answers for code in some)
            assert codes == {250: MAILS}

            async def all_arrived() -> bool:
                return len(journey.world.received) >= MAILS

            await journey.until(all_arrived)
            await asyncio.sleep(0.3)
            arrived = Counter(mail.recipient for mail in journey.world.received)
            assert arrived == {f"m{number}@d{number % 7}.test": 1 for number in range(MAILS)}
            assert len({mail.return_path for mail in journey.world.received}) == MAILS
            for mail in journey.world.received[::37]:
                assert f"number {mail.recipient.partition('@')[0]}.".encode() in mail.raw
            assert all(thread.state == "closed" for thread in await journey.threads())

    asyncio.run(run())


def _submit_many(port: int, numbers: range) -> list[int]:
    codes = []
    with smtplib.SMTP("127.0.0.1", port, local_hostname="erp.acme.test", timeout=SECONDS) as client:
        client.login("acme-billing", PASSWORD)
        for number in numbers:
            to = f"m{number}@d{number % 7}.test"
            client.mail(AUTHOR)
            client.rcpt(to)
            codes.append(client.data(compose(f"Factura {number}", f"number m{number}.\n", to=to))[0])
    return codes


def test_a_mail_to_many_goes_to_each_once_however_often_the_envelope_names_them(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            people = [f"m{number}@d{number % 3}.test" for number in range(100)]
            named = [*people, people[0], people[1].upper(), *people[:5]]
            sent = await journey.queue(compose(to=people[0]), *named)
            for number in range(1, 101):
                await journey.settled(sent.message_id, "relayed", number)
            assert [row["recipient"] for row in await journey.deliveries(sent.message_id)] == people
            assert Counter(mail.recipient for mail in journey.world.received) == Counter(people)
            assert len({mail.return_path for mail in journey.world.received}) == 100

    asyncio.run(run())


def test_two_tenants_see_nothing_of_each_other(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            headers = [("X-AR-Document", "invoice/inv_1"), ("X-AR-Number", "F-1")]
            ours = await journey.queue(compose(to="unknown@client.test", headers=headers), "unknown@client.test")
            theirs = await journey.queue(
                compose(to="accept@client.test", headers=headers), "accept@client.test", tenant="beta"
            )
            token = (await journey.settled(ours.message_id, "failed"))["token"]
            await journey.settled(theirs.message_id, "relayed")
            assert ours.thread_id != theirs.thread_id
            for query in (
                ours.message_id,
                ours.thread_id,
                f"{ours.message_id}@gateway.test",
                token,
                "unknown@client.test",
            ):
                assert await journey.answers(query), query
                assert not await journey.answers(query, journey.other_id), query
            assert [thread.id for thread in await journey.threads(journey.other_id)] == [theirs.thread_id]
            # one tenant's dead address is another's live one
            assert await journey.house.database.read(get_suppressed, 0, journey.tenant_id, "unknown@client.test")
            again = await journey.queue(compose(), "unknown@client.test", tenant="beta")
            assert "suppressed" not in again.text
            assert (await journey.settled(again.message_id, "failed"))["attempts"] == 1

    asyncio.run(run())


def test_two_nodes_on_one_database_share_the_work_and_send_nothing_twice(place: Place) -> None:
    if not place.database:
        return  # SQLite serves one node

    async def run() -> None:
        clock = Clock()
        world = await start_world(return_to=("127.0.0.1", 9), clock=clock, pace=0)
        short = {"retry_first_seconds": 1, "retry_longest_seconds": 2}
        try:
            async with (
                open_journey(place, clock=clock, world=world, delivery=short, node="node1") as one,
                open_journey(place, clock=clock, world=world, delivery=short, node="node2") as two,
            ):
                people = [f"{'rate' if number % 3 else 'accept'}+{number}@d{number % 5}.test" for number in range(60)]
                sent = await asyncio.gather(
                    *((one, two)[number % 2].queue(compose(to=to), to) for number, to in enumerate(people))
                )
                for made in sent:
                    await one.settled(made.message_id, "relayed")
            assert Counter(mail.recipient for mail in world.received) == Counter(people)
        finally:
            await world.stop()

    asyncio.run(run())


def test_a_house_that_ended_in_order_sends_the_rest_in_its_next_life_and_nothing_twice(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        world = await start_world(return_to=("127.0.0.1", 9), clock=clock, pace=0.4)
        sent = []
        try:
            async with open_journey(place, clock=clock, world=world, delivery={"connections": 2}) as journey:
                # most wait behind the slow ones when the house is told to stop
                for number in range(40):
                    to = f"{'slow' if number % 2 else 'accept'}+{number}@d{number % 5}.test"
                    sent.append(await journey.queue(compose(to=to), to))
            waiting = 40 - len(world.received)
            assert waiting > 0
            async with open_journey(place, clock=clock, world=world) as journey:
                for one in sent:
                    row = await journey.settled(one.message_id, "relayed")
                    assert row["attempts"] == 1
            assert Counter(Counter(mail.recipient for mail in world.received).values()) == {1: 40}
        finally:
            await world.stop()

    asyncio.run(run())


def test_a_house_that_died_sends_what_it_had_booked_in_its_next_life(place: Place) -> None:
    async def run() -> None:
        clock = Clock()
        world = await start_world(return_to=("127.0.0.1", 9), clock=clock, pace=0)
        try:
            sent = await _accept_and_die(place, clock)
            async with open_journey(place, clock=clock, world=world) as journey:
                for one in sent:
                    row = await journey.settled(one, "relayed")
                    assert row["attempts"] == 2  # the booked one, and this
            assert Counter(mail.recipient for mail in world.received) == {f"m{n}@client.test": 1 for n in range(5)}
        finally:
            await world.stop()

    asyncio.run(run())


async def _accept_and_die(place: Place, clock: Clock) -> list[str]:
    """Accept and book mail for a server that never answers, and end as a crash does: without a word to the queue."""
    silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(3600), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with open_journey(place, clock=clock, hosts={"*": [("mx.silent.test", "127.0.0.1", port)]}) as journey:
        sent = [await journey.queue(compose(to=f"m{n}@client.test"), f"m{n}@client.test") for n in range(5)]
        await asyncio.sleep(0.2)
        await _crash(journey)
        for one in sent:
            row = await journey.delivery(one.message_id)
            assert (row["state"], row["booked_by"]) == ("queued", make_config(place).node)
    silent.close()
    return [one.message_id for one in sent]


async def _crash(journey: Journey) -> None:
    """Forget what is in flight, as a process that is gone does."""
    delivery = journey.house.delivery
    for task in list(delivery._tasks):
        task.cancel()
    await asyncio.gather(*delivery._tasks, return_exceptions=True)
    for destination in delivery._destinations.values():
        destination.take_all()


def test_the_usual_mail_runs_prepared_statements_only(place: Place) -> None:
    """Accepting, sending and settling a composed mail never goes through SQLAlchemy's execution layer."""
    seen: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        ours = threading.current_thread().name == "store-write" and "search_" not in statement  # the index follows
        if ours and not statement.startswith(("BEGIN", "ROLLBACK")):  # it also withdraws what another has written
            seen.append(statement)

    async def run() -> None:
        async with open_journey(place) as journey:
            first = await journey.queue(compose(), "ana@client.test")  # the tenant's first mail makes its summary
            await journey.settled(first.message_id, "relayed")
            event.listen(journey.house.database.engine, "before_cursor_execute", note)
            for subject in ("Bună ziua", "Factura F-2", "Factura F-2"):  # without a number, a new one, a known one
                sent = await journey.queue(compose(subject), "ana@client.test")
                await journey.settled(sent.message_id, "relayed")
            event.remove(journey.house.database.engine, "before_cursor_execute", note)

    asyncio.run(run())
    assert seen == []

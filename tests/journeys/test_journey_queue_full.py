"""Thousands of one tenant in the queue, for slow servers: another tenant's single invoice goes at once all the same."""

import asyncio
from datetime import timedelta

import pytest
from journeys.house import Clock, Journey, Place, open_journey
from journeys.letters import compose
from sqlalchemy import func, select

from gateway.demo.world import start_world
from gateway.mail.verp import return_token
from gateway.outbound.delivery import IN_FLIGHT
from gateway.outbound.destinations import LINE
from gateway.outbound.queue import Recipient, enqueue
from gateway.store.database import Transaction, new_id, random_bytes, to_ms
from gateway.store.messages import Message, add_message
from gateway.store.schema import delivery
from gateway.store.threads import add_thread

MANY = LINE + 500  # for each destination


def _queue_many(tx: Transaction, journey: Journey, message_id: str, people: list[str]) -> None:
    now = journey.clock()
    thread_id = add_thread(tx, to_ms(now), journey.tenant_id)
    add_message(
        tx,
        Message(tenant_id=journey.tenant_id, id=message_id, thread_id=thread_id, direction="out", kind="relay",
                created_at=now),
        compose(),
    )  # fmt: skip
    recipients = [Recipient(one, return_token(random_bytes(10))) for one in people]
    enqueue(tx, to_ms(now), journey.tenant_id, message_id, thread_id, recipients, due_at=to_ms(now),
            expires_at=to_ms(now + timedelta(days=5)))  # fmt: skip


def _booked(tx: Transaction, tenant_id: str) -> int:
    where = (delivery.c.tenant_id == tenant_id) & (delivery.c.booked_by != "")
    return int(tx.first(select(func.count()).select_from(delivery).where(where))[0])


@pytest.mark.parametrize("destinations", [1, 3])  # a full line of one; and all that a node holds at once
def test_a_tenants_thousands_do_not_delay_another_tenants_single_invoice(place: Place, destinations: int) -> None:
    async def run() -> None:
        clock = Clock()
        world = await start_world(return_to=("127.0.0.1", 9), clock=clock, pace=0.1)  # 0.3 s for each `slow`
        hosts = {f"d{n}.test": [(f"mx.d{n}.test", "127.0.0.1", world.port)] for n in range(destinations)}
        people = [f"slow+{n}@d{n % destinations}.test" for n in range(MANY * destinations)]
        message_id = new_id()
        try:
            async with open_journey(place, clock=clock, world=world, hosts=hosts) as journey:
                await journey.write(_queue_many, journey, message_id, people)
                full = min(LINE * destinations, IN_FLIGHT)

                async def is_full() -> bool:
                    return await journey.house.database.read(_booked, journey.tenant_id) > full * 0.9

                await journey.until(is_full)
                single = await journey.queue(compose(), "slow@d0.test", tenant="beta")
                row = await journey.settled(single.message_id, "relayed")
                rows = await journey.deliveries(message_id)
                since = row["created_at"]
                passed = sum(since <= (one["settled_at"] or 0) <= row["settled_at"] for one in rows)
                assert passed < 200, f"{passed} of the other tenant went before it"
        finally:
            await world.stop()

    asyncio.run(run())

"""What a batch foresees and puts off shows nowhere: every door sees what those before it did, and fails alone."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from journeys.house import Place, make_config
from sqlalchemy import bindparam, func, insert, select, update

from gateway.outbound.suppression import Entry, get_suppressed, put_suppressed, suppression_of
from gateway.store.database import Database, Prepared, Transaction, foresees, new_id
from gateway.store.schema import suppression, thread
from gateway.store.threads import add_thread, find_thread, get_thread, key_of_thread, touch_if_still

TENANT = "t" * 20
ANA = "ana@client.test"
_PLAIN = Prepared(insert(suppression), ["tenant_id", "address", "message_id", "created_at"])


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    """An open database with the gateway's schema."""
    made = Database(make_config(place).database_url)
    yield made
    made.close()


@foresees(lambda: [suppression_of(TENANT, ANA)])
def ask(tx: Transaction) -> bool:
    return get_suppressed(tx, 1, TENANT, ANA) is not None


@foresees(lambda: [suppression_of(TENANT, ANA)])
def block(tx: Transaction) -> None:
    put_suppressed(tx, 1, TENANT, Entry(ANA))


@foresees(lambda: [suppression_of(TENANT, ANA)])
def send(tx: Transaction) -> None:
    tx.send(_PLAIN, {"tenant_id": TENANT, "address": ANA, "message_id": "", "created_at": 1})


@pytest.mark.parametrize("change", [block, send])
def test_an_answer_that_an_earlier_door_of_the_batch_changed_is_asked_again(database: Database, change: Any) -> None:
    async def run() -> list[Any]:
        return await asyncio.gather(*(database.write(one) for one in (ask, change, ask)))

    assert asyncio.run(run()) == [False, None, True]


def test_a_door_that_sends_what_cannot_be_kept_fails_alone(database: Database) -> None:
    async def run() -> list[Any]:
        doors = (database.write(add_thread, 1, TENANT, key="a"), database.write(send), database.write(send))
        return await asyncio.gather(*doors, return_exceptions=True)

    made, first, second = asyncio.run(run())
    assert isinstance(made, str) and first is None and isinstance(second, Exception)
    found = database.read_now(find_thread, TENANT, "a")
    assert found is not None and found.id == made


def test_a_thread_is_touched_while_it_still_is_what_it_was(database: Database) -> None:
    thread_id = database.write_now(add_thread, 1, TENANT, key="invoice/1")

    @foresees(lambda key: [key_of_thread(TENANT, thread_id)])
    def touch(tx: Transaction, key: str) -> bool:
        return touch_if_still(tx, 2000, TENANT, thread_id, key)

    def rename(tx: Transaction) -> None:
        tx.change(update(thread).where(thread.c.thread_id == thread_id).values(key="invoice/2"))

    async def run() -> list[Any]:
        doors = [database.write(touch, "invoice/1"), database.write(touch, "invoice/0"), database.write(rename)]
        doors += [database.write(touch, "invoice/1"), database.write(touch, "invoice/2")]
        return await asyncio.gather(*doors)

    assert asyncio.run(run()) == [True, False, None, False, True]
    found = database.read_now(get_thread, TENANT, thread_id)
    assert found is not None and found.last_at.timestamp() == 2.0 and found.key == "invoice/2"


def test_what_was_put_off_is_there_for_whoever_asks_next(database: Database) -> None:
    count = select(func.count()).select_from(thread).where(thread.c.tenant_id == TENANT)
    prepared = Prepared(select(func.count()).select_from(thread).where(thread.c.tenant_id == bindparam("k_tenant")))

    def make(tx: Transaction) -> list[int]:
        add_thread(tx, 1, TENANT, new_id())
        first = tx.run(prepared, {"k_tenant": TENANT}).fetchone()[0]
        add_thread(tx, 1, TENANT, new_id())
        return [first, tx.first(count)[0]]

    async def run() -> list[Any]:
        return await asyncio.gather(database.write(make), database.write(make))

    assert asyncio.run(run()) == [[1, 2], [3, 4]]

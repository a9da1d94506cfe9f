"""The store's promises, on both databases: one commit for many doors, each rolled back alone, reads of one moment."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from journeys.house import Place, make_config
from sqlalchemy import func, insert, select, update

from gateway.store.database import (
    Database,
    StoreUnavailable,
    Transaction,
    from_ms,
    new_id,
    open_engine,
    storable,
    to_ms,
)
from gateway.store.schema import suppression

TENANT = "t" * 20
SECONDS = 60


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    """An open database with the gateway's schema."""
    made = Database(make_config(place).database_url)
    yield made
    made.close()


def add(tx: Transaction, address: str) -> str:
    """Write one row of a small table."""
    tx.change(insert(suppression).values(tenant_id=TENANT, address=address, message_id="", created_at=1))
    return address


def addresses(tx: Transaction) -> set[str]:
    """The rows that are there."""
    return {row[0] for row in tx.all(select(suppression.c.address).where(suppression.c.tenant_id == TENANT))}


def seen_by_others(url: str) -> int:
    """How many rows another connection sees."""
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            where = suppression.c.tenant_id == TENANT
            return int(connection.scalar(select(func.count()).select_from(suppression).where(where)) or 0)
    finally:
        engine.dispose()


def test_a_write_is_answered_after_its_commit(place: Place, database: Database) -> None:
    assert database.write_now(add, "a") == "a"
    assert seen_by_others(make_config(place).database_url) == 1


def test_doors_that_wait_together_share_one_commit(place: Place, database: Database) -> None:
    url = make_config(place).database_url
    counted: list[int] = []

    def add_and_look(tx: Transaction, address: str) -> str:
        add(tx, address)
        counted.append(seen_by_others(url))
        return address

    async def run() -> list[str]:
        gate = threading.Event()
        first = asyncio.create_task(database.write(lambda tx: gate.wait(SECONDS)))
        await asyncio.sleep(0.2)
        waiting = [asyncio.create_task(database.write(add_and_look, str(n))) for n in range(20)]
        await asyncio.sleep(0.2)
        gate.set()
        await first
        return await asyncio.gather(*waiting)

    assert asyncio.run(run()) == [str(n) for n in range(20)]
    assert counted == [0] * 20, "each was written before any was committed"
    assert seen_by_others(url) == 20


def test_a_door_that_raises_is_rolled_back_alone(database: Database) -> None:
    def fail(tx: Transaction) -> None:
        add(tx, "half a door")
        raise ValueError("no")

    def twice(tx: Transaction) -> None:
        add(tx, "before")
        add(tx, "before")  # the key is taken: an error of the database's own

    async def run() -> list[object]:
        doors = [database.write(add, "a"), database.write(fail), database.write(twice), database.write(add, "b")]
        return list(await asyncio.gather(*doors, return_exceptions=True))

    first, failed, refused, last = asyncio.run(run())
    assert (first, last) == ("a", "b")
    assert isinstance(failed, ValueError)
    assert type(refused).__name__ == "IntegrityError"
    assert database.read_now(addresses) == {"a", "b"}


def test_two_nodes_in_each_others_way_both_commit(place: Place, database: Database) -> None:
    """A deadlock, which PostgreSQL ends by failing one of the two, costs that one a second try and no answer."""
    for address in ("x", "y"):
        database.write_now(add, address)
    other = Database(make_config(place).database_url)
    met = threading.Barrier(2)
    if database.dialect == "sqlite":  # one writer at a time: they never meet
        met.abort()

    def touch_both(tx: Transaction, first: str, second: str) -> str:
        for address in (first, second):
            tx.change(update(suppression).where(suppression.c.address == address).values(reason=first))
            if address == first:
                with contextlib.suppress(threading.BrokenBarrierError):
                    met.wait(5)
        met.abort()  # once is enough: the second try goes through
        return first

    async def run() -> list[str]:
        return list(await asyncio.gather(database.write(touch_both, "x", "y"), other.write(touch_both, "y", "x")))

    try:
        assert asyncio.run(run()) == ["x", "y"]
    finally:
        other.close()


def test_a_read_sees_one_moment(database: Database) -> None:
    database.write_now(add, "a")

    def look_twice(tx: Transaction) -> tuple[set[str], set[str]]:
        first = addresses(tx)
        thread = threading.Thread(target=database.write_now, args=(add, "b"))
        thread.start()
        thread.join(SECONDS)
        return first, addresses(tx)

    assert database.read_now(look_twice) == ({"a"}, {"a"})
    assert database.read_now(addresses) == {"a", "b"}


def test_a_read_keeps_nothing_that_it_writes(database: Database) -> None:
    try:
        database.read_now(add, "a")
    except Exception as error:
        assert type(error).__name__ == "InternalError", "PostgreSQL refuses it, SQLite rolls it back"
    assert database.read_now(addresses) == set()


def test_reads_go_on_beside_a_write_that_takes_long(database: Database) -> None:
    async def run() -> set[str]:
        gate = threading.Event()

        def slow(tx: Transaction) -> None:
            add(tx, "slow")
            gate.wait(SECONDS)

        writing = asyncio.create_task(database.write(slow))
        await asyncio.sleep(0.2)
        found = await asyncio.wait_for(database.read(addresses), SECONDS / 2)
        gate.set()
        await writing
        return found

    assert asyncio.run(run()) == set()
    assert database.read_now(addresses) == {"slow"}


def test_closing_commits_what_is_queued(place: Place) -> None:
    url = make_config(place).database_url
    database = Database(url)

    async def run() -> None:
        writes = [asyncio.create_task(database.write(add, str(n))) for n in range(5)]
        await asyncio.sleep(0)
        await asyncio.to_thread(database.close)
        await asyncio.gather(*writes)

    asyncio.run(run())
    assert seen_by_others(url) == 5


def test_a_full_disk_fails_every_door_of_the_commit_and_keeps_nothing(database: Database) -> None:
    if database.dialect != "sqlite":
        pytest.skip("PostgreSQL has no such limit to set")
    database.write_now(add, "small")

    def fill(tx: Transaction) -> None:
        pages = tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 4}")
        for n in range(1000):
            add(tx, f"{n:05}" + "x" * 300)

    async def run() -> list[object]:
        doors = [database.write(add, "before"), database.write(fill), database.write(add, "after")]
        return list(await asyncio.gather(*doors, return_exceptions=True))

    assert [type(answer) for answer in asyncio.run(run())] == [StoreUnavailable] * 3
    assert database.read_now(addresses) == {"small"}
    assert database.write_now(add, "later") == "later"


def test_what_is_committed_is_on_the_disk(database: Database) -> None:
    def settings(tx: Transaction) -> list[object]:
        asked = ["PRAGMA synchronous", "PRAGMA journal_mode", "PRAGMA page_size"]
        if database.dialect == "postgresql":
            asked = ["SHOW synchronous_commit", "SHOW timezone"]
        return [tx.connection.exec_driver_sql(one).scalar_one() for one in asked]

    wanted: dict[str, list[object]] = {"sqlite": [2, "wal", 16384], "postgresql": ["on", "UTC"]}
    assert database.read_now(settings) == wanted[database.dialect]
    assert database.write_now(settings) == wanted[database.dialect]


def test_nothing_is_closed_under_a_read_of_another_thread(place: Place) -> None:
    database = Database(make_config(place).database_url)
    begun, found = threading.Event(), []

    def read(tx: Transaction) -> None:
        begun.set()
        for _ in range(300):  # a connection that is closed meanwhile would take the process along
            found.append(len(addresses(tx)))

    reader = threading.Thread(target=database.read_now, args=(read,))
    reader.start()
    assert begun.wait(SECONDS)
    database.close()
    assert len(found) == 300
    reader.join()
    with pytest.raises(StoreUnavailable):
        database.read_now(addresses)


def test_only_two_kinds_of_database_are_known() -> None:
    with pytest.raises(ValueError, match="sqlite:///… or postgresql://…"):
        open_engine("mysql://db/x")


def test_ids_are_made_in_order_of_time_and_never_twice() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 20 and one.isascii() and one.isalnum() and one == one.lower() for one in ids)
    assert ids[0] < ids[-1]
    assert [one[:8] for one in ids] == sorted(one[:8] for one in ids)


def test_times_and_text_are_kept_as_they_are(database: Database) -> None:
    at = datetime(2026, 11, 24, 23, 59, 59, 999000, UTC)
    assert from_ms(to_ms(at)) == at
    assert from_ms(None) is None
    text = "plată 'счёт' \N{SNOWMAN} \U0001f4e7 \\ % ; --"
    assert storable(text) == text
    database.write_now(add, text)
    database.write_now(add, storable("a\0b\ud800c"))
    assert database.read_now(addresses) == {text, "a\ufffdb\ufffdc"}

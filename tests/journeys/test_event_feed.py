"""The feed of events, on both databases: complete and in order whoever commits when, and safe for strangers."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from journeys.house import Place, make_config
from sqlalchemy import func, select

from gateway.store import event_feed
from gateway.store.database import Database, Transaction, id_at, new_id, to_ms
from gateway.store.event_feed import (
    CLOCK_MS,
    START,
    FeedPage,
    cursor_at,
    find_horizon,
    get_feed_event,
    list_feed,
    public_event,
)
from gateway.store.events import add_event
from gateway.store.messages import Message, add_message
from gateway.store.schema import event
from gateway.store.tenants import find_tenant
from gateway.store.threads import add_thread

NOW = to_ms(datetime(2026, 11, 24, 10, 0, tzinfo=UTC))
SECONDS = 30


@pytest.fixture
def databases(place: Place) -> Iterator[tuple[Database, Database]]:
    """Two nodes on one database."""
    url = make_config(place).database_url
    one, other = Database(url), Database(url)
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks that agree, so that no test waits for their difference."""
    monkeypatch.setattr(event_feed, "CLOCK_MS", 0)


def tenant(database: Database, slug: str = "acme") -> str:
    """A tenant's id."""
    found = database.read_now(find_tenant, slug)
    assert found
    return found.id


def say(tx: Transaction, tenant_id: str, thread_id: str, said: str) -> None:
    """An event that can be told from others."""
    add_event(tx, NOW, tenant_id, "thread.closed", thread_id=thread_id, data={"by": said})


def feed(database: Database, tenant_id: str, after: str = START, limit: int = 500) -> FeedPage:
    """The feed, as it must be asked."""
    return database.read_now(list_feed, tenant_id, after, limit, database.read_now(find_horizon))


def said(page: FeedPage) -> list[str]:
    """What its events say."""
    return [str(one.data.get("by", "")) for one in page.events]


def until(ask: Callable[[], bool]) -> None:
    """Wait for something."""
    deadline = time.monotonic() + SECONDS
    while not ask():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def count(database: Database, tenant_id: str) -> int:
    """How many events are committed."""
    found = database.read_now(lambda tx: tx.first(select(func.count()).where(event.c.tenant_id == tenant_id)))
    return int(found[0])


@pytest.mark.usefixtures("no_margin")
def test_an_event_that_commits_late_is_not_passed_over(databases: tuple[Database, Database]) -> None:
    """One node makes an event and takes its time; another one makes and commits a later one meanwhile."""
    slow, quick = databases
    tenant_id = tenant(slow)
    thread_id = slow.write_now(add_thread, NOW, tenant_id)
    begun, go_on = threading.Event(), threading.Event()

    def dawdle(tx: Transaction) -> None:
        say(tx, tenant_id, thread_id, "early and late")
        begun.set()
        assert go_on.wait(SECONDS)

    def hurry(tx: Transaction) -> None:
        say(tx, tenant_id, thread_id, "quick")

    slowly = threading.Thread(target=slow.write_now, args=(dawdle,))
    slowly.start()
    assert begun.wait(SECONDS)
    parallel = quick.dialect == "postgresql"
    quickly = threading.Thread(target=quick.write_now, args=(hurry,))
    quickly.start()  # on SQLite it waits for the other's commit
    if parallel:
        quickly.join(SECONDS)
        assert count(quick, tenant_id) == 1, "the later one is committed, the earlier one is not"
    page = feed(quick, tenant_id)
    assert said(page) == [], "what may still be overtaken is not given yet"
    go_on.set()
    slowly.join(SECONDS)
    quickly.join(SECONDS)
    until(lambda: said(feed(quick, tenant_id, page.cursor)) == ["early and late", "quick"])
    assert [one.id for one in feed(quick, tenant_id).events] == sorted(one.id for one in feed(slow, tenant_id).events)


@pytest.mark.usefixtures("no_margin")
def test_a_transaction_that_commits_between_the_two_questions_is_complete(databases: tuple[Database, Database]) -> None:
    """The horizon is asked first: what it left out as running is either behind it, or seen."""
    one, other = databases
    tenant_id = tenant(one)
    thread_id = one.write_now(add_thread, NOW, tenant_id)
    horizon = one.read_now(find_horizon)
    other.write_now(say, tenant_id, thread_id, "after the horizon")
    assert said(one.read_now(list_feed, tenant_id, START, 10, horizon)) == []
    until(lambda: said(feed(one, tenant_id)) == ["after the horizon"])


@pytest.mark.usefixtures("no_margin")
def test_many_writers_and_a_reader_that_never_looks_back(databases: tuple[Database, Database]) -> None:
    """Whoever follows the feed has every event once, in the order in which anybody reads it later."""
    tenant_id = tenant(databases[0])
    thread_id = databases[0].write_now(add_thread, NOW, tenant_id)
    rounds, writers = 40, []
    for which, database in enumerate(databases):

        def work(database: Database = database, which: int = which) -> None:
            for number in range(rounds):
                database.write_now(_twice, tenant_id, thread_id, f"{which}-{number}")

        writers.append(threading.Thread(target=work))
    followed, cursor = [], START
    for writer in writers:
        writer.start()

    def follow() -> bool:
        nonlocal cursor
        page = feed(databases[0], tenant_id, cursor, 7)
        followed.extend(one.id for one in page.events)
        cursor = page.cursor
        return not page.more and len(followed) >= 2 * 2 * rounds

    until(follow)
    for writer in writers:
        writer.join(SECONDS)
    assert followed == [one.id for one in feed(databases[1], tenant_id).events]
    assert len(followed) == len(set(followed)) == 4 * rounds == count(databases[0], tenant_id)


def _twice(tx: Transaction, tenant_id: str, thread_id: str, what: str) -> None:
    say(tx, tenant_id, thread_id, f"{what} first")
    time.sleep(0.002)
    say(tx, tenant_id, thread_id, f"{what} second")


@pytest.mark.usefixtures("no_margin")
def test_a_reader_however_long_it_takes_holds_nothing_up(databases: tuple[Database, Database]) -> None:
    one, other = databases
    tenant_id = tenant(one)
    thread_id = one.write_now(add_thread, NOW, tenant_id)
    looking, enough = threading.Event(), threading.Event()

    def look(tx: Transaction) -> None:
        tx.all(select(event.c.event_id))
        looking.set()
        assert enough.wait(SECONDS)

    reader = threading.Thread(target=other.read_now, args=(look,))
    reader.start()
    assert looking.wait(SECONDS)
    one.write_now(say, tenant_id, thread_id, "meanwhile")
    until(lambda: said(feed(one, tenant_id)) == ["meanwhile"])
    enough.set()
    reader.join(SECONDS)


def test_what_happened_just_now_waits_for_the_difference_of_clocks(databases: tuple[Database, Database]) -> None:
    one, _ = databases
    tenant_id = tenant(one)
    one.write_now(say, tenant_id, one.write_now(add_thread, NOW, tenant_id), "now")
    made, before = one.read_now(_ids, tenant_id)[0], one.read_now(Transaction.clock_ms)
    until(lambda: said(feed(one, tenant_id)) == ["now"])
    after = one.read_now(Transaction.clock_ms)
    assert id_at(after - CLOCK_MS) >= made > id_at(before - CLOCK_MS)


def _ids(tx: Transaction, tenant_id: str) -> list[str]:
    return [row[0] for row in tx.all(select(event.c.event_id).where(event.c.tenant_id == tenant_id))]


@pytest.mark.usefixtures("no_margin")
def test_pages_types_times_and_tenants(databases: tuple[Database, Database]) -> None:
    one, _ = databases
    tenant_id, other_id = tenant(one), tenant(one, "beta")

    def fill(tx: Transaction) -> None:
        thread_id = add_thread(tx, NOW, tenant_id)
        for number in range(6):
            say(tx, tenant_id, thread_id, str(number))
            add_event(tx, NOW, tenant_id, "message.queued", thread_id=thread_id, data={"why": str(number)})
        say(tx, other_id, add_thread(tx, NOW, other_id), "somebody else's")

    one.write_now(fill)
    until(lambda: len(feed(one, tenant_id).events) == 12)
    first = feed(one, tenant_id, limit=5)
    assert (len(first.events), first.more) == (5, True)
    second = feed(one, tenant_id, first.cursor, limit=20)
    assert (len(second.events), second.more) == (7, False)
    assert feed(one, tenant_id, second.cursor) == FeedPage((), second.cursor, False)
    horizon = one.read_now(find_horizon)
    closed = one.read_now(list_feed, tenant_id, START, 4, horizon, frozenset({"thread.closed"}))
    assert (said(closed), closed.more) == (["0", "1"], True), "a page looks at four events, of any type"
    assert said(feed(one, other_id)) == ["somebody else's"]
    assert one.read_now(get_feed_event, other_id, first.events[0].id) is None
    assert one.read_now(get_feed_event, tenant_id, first.events[0].id) == first.events[0]
    made = one.read_now(Transaction.clock_ms)
    assert len(feed(one, tenant_id, cursor_at(made - 3_600_000)).events) == 12
    assert not feed(one, tenant_id, cursor_at(made + 1000)).events


@pytest.mark.usefixtures("no_margin")
def test_an_event_for_strangers_says_what_it_is_about_and_no_words_of_people(
    databases: tuple[Database, Database],
) -> None:
    one, _ = databases
    tenant_id = tenant(one)
    message_id = new_id()

    def fill(tx: Transaction) -> None:
        thread_id = add_thread(
            tx, NOW, tenant_id, key="invoice/42", subject="s", document=("invoice", "42", "FV-42"), customer="Ana"
        )
        detail = {"tags": ["run-7"], "meta": {"batch": "9"}, "attachments": ["x"]}
        add_message(
            tx,
            Message(
                tenant_id=tenant_id, id=message_id, thread_id=thread_id, direction="out", kind="relay",
                created_at=datetime(2026, 11, 24, tzinfo=UTC), detail=detail, run="2026-11",
            ),
        )  # fmt: skip
        data = {"recipient": "ana@client.test", "words": "x" * 900, "body": "private"}
        add_event(
            tx, NOW, tenant_id, "recipient.bounced", thread_id=thread_id, message_id=message_id, number=1, data=data
        )

    one.write_now(fill)
    until(lambda: len(feed(one, tenant_id).events) == 1)
    shown = public_event(feed(one, tenant_id).events[0])
    assert shown == {
        "id": shown["id"],
        "type": "recipient.bounced",
        "at": "2026-11-24T10:00:00.000Z",
        "tenant": "acme",
        "thread": shown["thread"],
        "message": message_id,
        "delivery": f"{message_id}.1",
        "recipient": "ana@client.test",
        "document": {"type": "invoice", "id": "42", "number": "FV-42"},
        "run": "2026-11",
        "tags": ["run-7"],
        "meta": {"batch": "9"},
        "data": {"recipient": "ana@client.test", "words": "x" * 500},
    }

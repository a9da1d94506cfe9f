"""The search of the inbox on both databases: what it finds, for whom, in which order, and that nothing is missed."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from journeys.house import Place, make_config, open_journey
from journeys.letters import compose
from sqlalchemy import event as listening
from sqlalchemy import update

from gateway.inbox import acting
from gateway.inbox.indexing import Follower, Meanwhile, index_threads, read_next, write_next
from gateway.inbox.noting import add_note
from gateway.inbox.search import SearchPage, lag, search
from gateway.inbox.search_entries import MOST_MESSAGES, make_entries
from gateway.inbox.search_grammar import WrongQuery
from gateway.inbox.searches import keep_search
from gateway.mail.reply import Refused
from gateway.store.customers import put_customer
from gateway.store.database import Database, Transaction, id_at, new_id, to_ms
from gateway.store.documents import StoredDocument, put_document
from gateway.store.events import add_event
from gateway.store.messages import Message, add_message
from gateway.store.saved_searches import delete_search, list_searches
from gateway.store.schema import event
from gateway.store.search_index import find_entries, forget_all, put_entries, spell
from gateway.store.search_progress import BUILT, begin_building, begin_following, draw_places, take_lease
from gateway.store.search_tokens import Entry, Word
from gateway.store.tenants import find_tenant
from gateway.store.threads import add_thread, close_thread, open_thread, thread_of_document, touch_thread
from gateway.store.users import add_user

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    """The place's database, followed from the beginning."""
    made = Database(make_config(place).database_url)
    made.write_now(begin_following, 120_000)
    yield made
    made.close()


def owner(database: Database, slug: str = "acme") -> str:
    """A tenant's id."""
    found = database.read_now(find_tenant, slug)
    assert found
    return found.id


def send(
    tx: Transaction, tenant_id: str, words: str = "", *, number: str = "", total: str = "", thread: str = "",
    at: datetime = NOW, author: str = "Ana Rusu <ana@client.example>", file: str = "", customer: str = "Client SRL",
    direction: str = "in", kind: str = "person",
) -> str:  # fmt: skip
    """A mail in a thread, which is made when none is named; the thread's id."""
    now_ms, message_id = to_ms(at), new_id()
    if number:
        document = ("invoice", number, number)
        thread = thread_of_document(tx, now_ms, tenant_id, document, "Cont de plată", customer)
        put_document(tx, now_ms, tenant_id, StoredDocument(
            "invoice", number, number, 1, "open", "ro", "MDL", "c1", customer, total, total, "2026-11-01",
            "2026-12-01", b"{}", number, thread, customer_key="c1"))  # fmt: skip
    thread = thread or add_thread(tx, now_ms, tenant_id, subject="Întrebare", customer=customer)
    detail: dict[str, Any] = {"attachments": [{"filename": file, "content_type": "application/pdf"}]} if file else {}
    add_message(tx, Message(
        tenant_id=tenant_id, id=message_id, thread_id=thread, direction=direction, kind=kind, created_at=at,
        author=author, recipients="Contabilitate <office@acme.test>", subject="Despre cont", body_text=words,
        detail=detail))  # fmt: skip
    touch_thread(tx, now_ms, tenant_id, thread)
    add_event(tx, now_ms, tenant_id, "reply.received", thread_id=thread, message_id=message_id)
    return thread


def follow(database: Database, node: str = "n1") -> int:
    """Index what is new; how many threads."""
    return asyncio.run(Follower(database, node).step(datetime.now(UTC)))


def find(database: Database, tenant_id: str, query: str, **options: Any) -> list[str]:
    """The threads that a query finds."""
    return [one.line.thread.id for one in page(database, tenant_id, query, **options).lines]


def page(database: Database, tenant_id: str, query: str, **options: Any) -> SearchPage:
    return database.read_now(search, NOW, tenant_id, query, **options)


def test_a_thread_is_found_by_all_that_is_known_of_it(database: Database) -> None:
    acme = owner(database)
    one = database.write_now(send, acme, "Am făcut plată de 1.200,00 lei", number="CP-2026-0117", total="1200.00",
                             file="Ordin de plată.pdf", at=NOW - timedelta(days=40))  # fmt: skip
    two = database.write_now(send, acme, "Расчёт будет завтра", author="Пётр <petr@vest.example>", customer="Vest SA")
    database.write_now(open_thread, to_ms(NOW), acme, two, "reply")
    assert follow(database) == 2
    for query in (
        "plata făcut", "PLATĂ*", '"făcut plata"', "1200", "1.200,00", "number:CP-2026-0117", "number:cp20260117",
        "number:0117", "CP-2026-0117", "amount:>1000", "amount:1200", "amount:1000..1200", "balance:>0", "file:ordin",
        "has:attachment", "is:closed", "date:2026-10-15", "date:2026-10", "before:2026-11-01", "from:ana -расчет",
        "from:ana@client.example", "customer:client", "type:invoice", "currency:mdl", "due:2026-12", "issued:<today",
        "lei (zzz OR făcut)", "-is:open", "has:document",
    ):  # fmt: skip
        assert find(database, acme, query) == [one], query
    for query in ("расчет", "from:петр", "is:open", "in:replies", "reason:reply", "after:7d", "-plată OR расчет",
                  "customer:vest -number:0117", "date:today"):  # fmt: skip
        assert find(database, acme, query) == [two], query
    for query in ("", "despre", "to:office"):
        assert find(database, acme, query) == [two, one], query
    for query in ("lei расчет", "amount:>1200", '"plata făcut"', "file:plat.pdf", "is:spam", "number:01", "făc"):
        assert find(database, acme, query) == [], query


def test_another_tenants_mail_is_never_found(database: Database) -> None:
    acme, beta = owner(database), owner(database, "beta")
    one = database.write_now(send, acme, "secret", number="A-1", total="5.00")
    follow(database)
    for query in ("secret", "", "-nothing", "is:closed", "amount:5", "sec*"):
        assert find(database, acme, query) == [one]
        assert find(database, beta, query) == []


def test_pages_follow_each_other_the_latest_first(database: Database) -> None:
    acme = owner(database)
    made = [database.write_now(send, acme, "factura", at=NOW + timedelta(minutes=at)) for at in range(25)]
    follow(database)
    seen: list[str] = []
    cursor = ""
    while True:
        found = page(database, acme, "factura", cursor=cursor, limit=10)
        seen += [one.line.thread.id for one in found.lines]
        cursor = found.cursor
        if not cursor:
            break
    assert seen == made[::-1]
    database.write_now(send, acme, "din nou", thread=made[0], at=NOW + timedelta(hours=1))
    database.write_now(open_thread, to_ms(NOW + timedelta(hours=2)), acme, made[3], "reply")
    follow(database)
    assert find(database, acme, "factura", limit=2) == [made[3], made[0]]  # opening is news, too
    database.write_now(close_thread, to_ms(NOW + timedelta(hours=3)), acme, made[3], "ana")
    database.write_now(lambda tx: add_event(tx, to_ms(NOW), acme, "thread.closed", thread_id=made[7]))
    follow(database)
    assert find(database, acme, "factura", limit=3) == [made[3], made[0], made[24]]  # no mail came to the old one


def test_a_place_far_back_is_reached(database: Database) -> None:
    """More places than the first range has: rare and common words, and a page in the middle."""
    acme = owner(database)

    def fill(tx: Transaction) -> None:
        facts = {at: frozenset({"rare="} if at % 1000 == 3 else ()) for at in range(5000)}
        for start in range(0, 5000, 500):
            entries = [Entry(acme, f"{at:020}", at, (("word",),), facts[at]) for at in range(start, start + 500)]
            assert put_entries(tx, spell(tx, entries), lambda count: draw_places(tx, count)) == []

    database.write_now(fill)
    rare = database.read_now(find_entries, acme, Word("rare="))
    assert [int(id) for _, id in rare] == [4003, 3003, 2003, 1003, 3]
    common = database.read_now(find_entries, acme, Word("word"), rare[1][0], 1000)
    assert [int(id) for _, id in common] == list(range(3002, 2002, -1))
    assert len(database.read_now(find_entries, acme, Word("wo", prefix=True), 0, 6000)) == 5000


def test_a_page_takes_the_same_number_of_queries_whatever_it_shows(database: Database) -> None:
    acme = owner(database)
    counts, statements = [], list[str]()
    listening.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for size in (1, 30):
        for _ in range(size):
            database.write_now(send, acme, "factura", number=new_id(), total="5")
        follow(database)
        statements.clear()
        assert len(page(database, acme, "factura").lines) >= size
        counts.append(len(statements))
    assert counts[0] == counts[1] > 5


def test_what_a_state_says_now_counts_before_it_is_indexed(database: Database) -> None:
    acme = owner(database)
    one = database.write_now(send, acme, "factura")
    database.write_now(open_thread, to_ms(NOW), acme, one, "reply")
    follow(database)
    assert find(database, acme, "is:open factura") == [one]
    database.write_now(close_thread, to_ms(NOW), acme, one, "ana")
    assert find(database, acme, "is:open factura") == []


def test_what_clerks_do_with_a_thread_is_found(database: Database) -> None:
    acme, by = owner(database), "ion@acme.test"
    one = database.write_now(send, acme, "factura")
    clerk = database.write_now(add_user, NOW, acme, by, "a long enough secret", name="Ion Ceban")
    database.write_now(open_thread, to_ms(NOW), acme, one, "reply")
    database.write_now(acting.assign, NOW, acme, [one], by, clerk.id)
    database.write_now(acting.tag, NOW, acme, [one], by, "de sunat")
    database.write_now(add_note, NOW, acme, one, "Sună după prânz", by)
    follow(database)
    for query in ("tag:de-sunat", "assignee:ion", "assignee:me", "pranz", "has:note", "in:replies", "in:mine",
                  "-assignee:nobody"):  # fmt: skip
        assert find(database, acme, query, user=clerk.id) == [one], query
    database.write_now(acting.snooze, NOW, acme, [one], by, NOW + timedelta(days=2))
    follow(database)
    assert find(database, acme, "is:snoozed") == find(database, acme, "in:snoozed") == [one]
    assert find(database, acme, "in:todo") == []


def test_a_wrong_query_is_refused_in_words(database: Database) -> None:
    with pytest.raises(WrongQuery, match="did you mean from:"):
        find(database, owner(database), "form:ana")
    with pytest.raises(WrongQuery):
        database.write_now(keep_search, NOW, owner(database), "bad", "(")
    assert find(database, owner(database), "x", cursor="'; --") == []


def test_what_commits_late_is_not_missed(database: Database, place: Place) -> None:
    """A door that began first and commits last: its event's id is less than one that was followed already."""
    if database.dialect == "sqlite":  # one writer at a time: they never meet
        return
    acme, other = owner(database), Database(make_config(place).database_url)
    begun, go = threading.Event(), threading.Event()

    def slowly(tx: Transaction) -> str:
        made = send(tx, acme, "late")
        begun.set()
        assert go.wait(30)
        return made

    follower = Follower(database, "n1")
    late: list[str] = []
    thread = threading.Thread(target=lambda: late.append(other.write_now(slowly)))
    thread.start()
    assert begun.wait(30)
    database.write_now(send, acme, "early")

    async def story() -> None:
        assert await follower.step(datetime.now(UTC)) == 1
        assert await follower.step(datetime.now(UTC)) == 0
        go.set()
        await asyncio.to_thread(thread.join)
        assert await follower.step(datetime.now(UTC)) == 1
        assert await follower.step(datetime.now(UTC)) == 0

    asyncio.run(story())
    other.close()
    assert find(database, acme, "late") == late


def test_a_long_thread_is_indexed_now_and_then_and_its_newest_mail_only(database: Database) -> None:
    acme = owner(database)
    one = database.write_now(send, acme, "oldest")

    def fill(tx: Transaction, first: int, count: int) -> None:
        for at in range(first, first + count):
            send(tx, acme, f"word{at} " + " ".join(f"w{at}x{more}" for more in range(5)), thread=one)

    database.write_now(fill, 0, MOST_MESSAGES)
    follower, now = Follower(database, "n1"), datetime.now(UTC)
    assert asyncio.run(follower.step(now)) == 1
    assert asyncio.run(follower.step(now)) == 0  # the rest of its events
    assert find(database, acme, "oldest") == []
    assert find(database, acme, "word0") == find(database, acme, f"word{MOST_MESSAGES - 1}") == [one]
    other = database.write_now(send, acme, "newest", thread=database.write_now(send, acme, "x"))
    database.write_now(fill, 1000, 1)
    assert asyncio.run(follower.step(now + timedelta(seconds=1))) == 1  # the other one
    assert find(database, acme, "newest") == [other]
    assert find(database, acme, "word1000") == []
    again = Follower(database, "n1")  # whoever takes over begins with what waited
    assert asyncio.run(again.step(now + timedelta(seconds=1))) >= 1
    assert find(database, acme, "word1000") == [one]
    asyncio.run(again.step(now + timedelta(seconds=1)))
    database.write_now(fill, 2000, 1)
    rest = max(again.resting.values()) - to_ms(now)
    assert asyncio.run(again.step(now + timedelta(milliseconds=rest - 1))) == 0
    assert asyncio.run(again.step(now + timedelta(milliseconds=rest))) == 1
    assert find(database, acme, "word2000") == [one]


def test_the_threads_of_a_customer_are_found_by_its_new_name(database: Database) -> None:
    acme = owner(database)
    one, two = (database.write_now(send, acme, "factura", number=number) for number in ("A-1", "A-2"))
    database.write_now(put_customer, to_ms(NOW), acme, "c1", name="Client SRL")
    database.write_now(put_customer, to_ms(NOW), acme, "c2", name="Altul")
    follower = Follower(database, "n1")
    assert [asyncio.run(follower.step(datetime.now(UTC))) for _ in range(2)] == [2, 0]
    assert find(database, acme, "customer:client") == [two, one]
    database.write_now(put_customer, to_ms(NOW), acme, "c1", name="Noua Denumire SA")
    assert [asyncio.run(follower.step(datetime.now(UTC))) for _ in range(2)] == [2, 0]
    assert find(database, acme, "customer:denumire") == [two, one]
    assert find(database, acme, "customer:client") == [two, one]  # as their documents say


def test_a_backlog_is_followed_bit_by_bit(database: Database) -> None:
    acme, days = owner(database), [NOW - timedelta(days=back) for back in (300, 20, 20, 0)]
    made = [database.write_now(send, acme, "factura", at=at) for at in days]

    def spread(tx: Transaction) -> None:  # as if each had happened on its day
        for number, (at, thread) in enumerate(zip(days, made, strict=True)):
            where = (event.c.tenant_id == acme) & (event.c.thread_id == thread)
            tx.change(update(event).where(where).values(event_id=id_at(to_ms(at) + number)))

    database.write_now(spread)
    follower, steps = Follower(database, "n1", span=1000), list[int]()
    while not steps or follower.behind:
        steps.append(asyncio.run(follower.step(datetime.now(UTC))))
    assert sum(steps) == 4
    assert len(steps) < 40
    assert find(database, acme, "factura") == made[::-1]


def test_one_node_follows_and_another_takes_over(database: Database) -> None:
    acme = owner(database)
    now_ms = to_ms(datetime.now(UTC))
    assert database.write_now(take_lease, now_ms, "n1")
    one = database.write_now(send, acme, "factura")
    assert follow(database, "n2") == -1
    assert database.write_now(take_lease, now_ms - 120_000, "n1")  # it died two minutes ago
    assert follow(database, "n2") == 1
    assert find(database, acme, "factura") == [one]


def test_an_entry_that_was_read_before_another_was_written_is_read_again(database: Database) -> None:
    acme = owner(database)
    one = database.write_now(send, acme, "first")
    old = database.read_now(make_entries, acme, [one])
    database.write_now(send, acme, "second", thread=one)
    asyncio.run(index_threads(database, acme, [one]))
    left = database.write_now(lambda tx: put_entries(tx, old, lambda count: draw_places(tx, count)))
    assert [entry.id for entry in left] == [one]
    assert find(database, acme, "second") == [one]


def test_an_index_that_was_lost_is_built_again(database: Database) -> None:
    acme = owner(database)
    made = [database.write_now(send, acme, "factura", at=NOW + timedelta(minutes=at)) for at in range(60)]
    follow(database)
    database.write_now(forget_all)
    assert find(database, acme, "factura") == []
    at = database.write_now(begin_building, to_ms(NOW), acme)
    assert database.read_now(lag, NOW, acme)[1] is False
    entries, reached = database.read_now(read_next, at, 25)
    at = database.write_now(write_next, NOW, at, entries, reached)
    assert find(database, acme, "factura", limit=100) == made[:-26:-1]  # the latest first
    with pytest.raises(Meanwhile):
        database.write_now(write_next, NOW, at, entries, reached)  # another did it
    new = database.write_now(send, acme, "factura", at=NOW + timedelta(hours=2))
    follow(database)
    while at.state != BUILT:
        entries, reached = database.read_now(read_next, at, 25)
        at = database.write_now(write_next, NOW, at, entries, reached)
    assert find(database, acme, "factura", limit=100) == [new, *made[::-1]]
    assert database.read_now(lag, NOW, acme)[1] is True


def test_searches_are_kept_by_name_for_one_or_for_all(database: Database) -> None:
    acme, beta = owner(database), owner(database, "beta")
    mine = database.write_now(keep_search, NOW, acme, " big  ones ", "amount:>1000", user="u1")
    all_ = database.write_now(keep_search, NOW, acme, "open", "is:open", user="u1", shared=True)
    assert database.write_now(keep_search, NOW, acme, "big ones", "amount:>2000", user="u1").id == mine.id
    assert [(one.name, one.query) for one in database.read_now(list_searches, acme, "u1")] == [
        ("big ones", "amount:>2000"), ("open", "is:open")]  # fmt: skip
    assert database.read_now(list_searches, acme, "u2") == [all_]
    assert database.read_now(list_searches, beta, "u1") == []
    assert not database.write_now(delete_search, acme, "u2", mine.id)
    assert not database.write_now(delete_search, beta, "u1", all_.id)
    assert database.write_now(delete_search, acme, "u1", mine.id)
    with pytest.raises(Refused, match="name"):
        database.write_now(keep_search, NOW, acme, " ", "x")


def test_what_was_sent_is_found_two_seconds_later(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            sent = await journey.queue(compose("Factura neobișnuită"), "ana@client.example")

            async def found() -> bool:
                made = await journey.house.database.read(search, journey.clock(), journey.tenant_id, "neobisnuita")
                return [one.line.thread.id for one in made.lines] == [sent.thread_id]

            assert await journey.until(found, 10)

    asyncio.run(run())

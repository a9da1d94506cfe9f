"""The queue's own functions, on both databases: who may claim what, which outcome moves which state, whose it is."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from journeys.house import Place, make_config
from sqlalchemy import select

from gateway.mail.status import Action, DeliveryStatus
from gateway.mail.verp import return_token
from gateway.outbound import queue
from gateway.outbound.queue import Attempt, Booked, Recipient
from gateway.outbound.retry import Retry
from gateway.outbound.suppression import get_suppressed
from gateway.store.database import Database, Transaction, new_id, random_bytes, to_ms
from gateway.store.events import list_events
from gateway.store.messages import Message, add_message
from gateway.store.schema import attempt, delivery
from gateway.store.tenants import find_tenant
from gateway.store.threads import add_thread, get_thread

NOW = to_ms(datetime(2026, 11, 24, 10, 0, tzinfo=UTC))
LEASE = 900_000
DAY = 86_400_000
RETRY = Retry(first=300, longest=3600, jitter=0)
GONE = DeliveryStatus(Action.FAILED, "5.1.1", 550, "no such mailbox", "mx.test")
POLICY = DeliveryStatus(Action.FAILED, "5.7.1", 550, "refused by policy", "mx.test")
LATER = DeliveryStatus(Action.DELAYED, "4.2.2", 452, "the mailbox is full", "mx.test")
TAKEN = DeliveryStatus(Action.RELAYED, "2.0.0", 250, "taken", "mx.test")
ARRIVED = DeliveryStatus(Action.DELIVERED, "2.0.0", 250, "in the mailbox", "mx.test")


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    """An open database with the tenants acme and beta."""
    made = Database(make_config(place).database_url)
    yield made
    made.close()


def tenant(database: Database, slug: str = "acme") -> str:
    """A tenant's id."""
    found = database.read_now(find_tenant, slug)
    assert found
    return found.id


def _add(tx: Transaction, tenant_id: str, addresses: Sequence[str], options: dict[str, Any]) -> list[Booked]:
    thread_id, message_id = add_thread(tx, NOW, tenant_id), new_id()
    add_message(
        tx,
        Message(
            tenant_id=tenant_id,
            id=message_id,
            thread_id=thread_id,
            direction="out",
            kind="relay",
            created_at=datetime.fromtimestamp(NOW / 1000, UTC),
        ),
        b"raw",
    )
    people = [Recipient(one, return_token(random_bytes(10))) for one in addresses]
    return queue.enqueue(tx, NOW, tenant_id, message_id, thread_id, people, **({"due_at": NOW} | options))


def add(database: Database, tenant_id: str, *addresses: str, **options: Any) -> list[Booked]:
    """Queue a message for some recipients, due now."""
    return database.write_now(_add, tenant_id, addresses or ("ana@client.test",), {"expires_at": NOW + DAY} | options)


def claim(database: Database, at: int = NOW, node: str = "one", limit: int = 100) -> list[Booked]:
    """What a node books."""
    return database.write_now(queue.claim, at, node, limit=limit, lease_ms=LEASE)


def row(database: Database, made: Booked) -> Any:
    """The delivery as it is kept."""
    where = (delivery.c.tenant_id == made.tenant_id) & (delivery.c.message_id == made.message_id)
    return database.read_now(lambda tx: tx.first(select(delivery).where(where, delivery.c.number == made.number)))


def settle(database: Database, made: Booked, status: DeliveryStatus, at: int = NOW) -> str:
    """The state after an attempt that ended so."""
    return database.write_now(queue.settle, at, made, Attempt(status, "rcpt"), RETRY)


def report(database: Database, made: Booked, status: DeliveryStatus, *, trusted: bool = True) -> str:
    """What came of a report."""
    return database.write_now(queue.report, NOW, made, status, report_message_id=new_id(), trusted=trusted)


def events(database: Database, made: Booked) -> list[str]:
    """The types of a thread's events."""
    return [one.type for one in database.read_now(list_events, made.tenant_id, thread_id=made.thread_id)]


# -- claiming


def test_what_is_due_is_booked_by_one_node_until_its_lease_ends(database: Database) -> None:
    [made] = add(database, tenant(database))
    assert claim(database, NOW - 1) == []
    [first] = claim(database)
    assert (first.message_id, first.attempts) == (made.message_id, 1)
    assert claim(database, NOW + LEASE - 1, "two") == []
    [second] = claim(database, NOW + LEASE, "two")
    assert (second.message_id, second.attempts) == (made.message_id, 2)
    assert row(database, made).booked_by == "two"


def test_the_accepting_node_has_the_first_attempt_booked_already(database: Database) -> None:
    [made] = add(database, tenant(database), node="one", due_at=NOW + LEASE)
    assert (made.attempts, row(database, made).attempts) == (1, 1)
    assert claim(database, NOW + LEASE - 1, "two") == []
    assert [one.attempts for one in claim(database, NOW + LEASE, "two")] == [2]


def test_each_tenant_has_its_share_however_much_another_has(database: Database) -> None:
    acme, beta = tenant(database), tenant(database, "beta")
    for n in range(40):
        add(database, acme, f"a{n}@client.test")
    for n in range(3):
        add(database, beta, f"b{n}@client.test")
    taken = claim(database, limit=10)
    shares = [sum(one.tenant_id == owner for one in taken) for owner in (acme, beta)]
    assert shares[0] >= 5 and shares[1] == 3
    assert {one.tenant_id for one in claim(database, NOW + 1)} == {acme}


def test_nothing_is_booked_twice_by_nodes_that_claim_at_once(place: Place, database: Database) -> None:
    for slug in ("acme", "beta"):
        for n in range(30):
            add(database, tenant(database, slug), f"{n}@client.test")
    taken: list[Booked] = []

    def work(node: str) -> None:
        mine = Database(make_config(place).database_url)
        try:
            while mine.read_now(queue.any_due, NOW):  # a tenant that another node is serving is passed over
                taken.extend(claim(mine, NOW, node, limit=7))
        finally:
            mine.close()

    nodes = [threading.Thread(target=work, args=(name,)) for name in ("one", "two", "three")]
    for node in nodes:
        node.start()
    for node in nodes:
        node.join(60)
    keys = [(one.message_id, one.number) for one in taken]
    assert len(keys) == len(set(keys)) == 60


def test_what_is_held_is_not_claimed_until_it_is_released(database: Database) -> None:
    [made] = add(database, tenant(database))
    key = (made.message_id, 0)
    assert database.write_now(queue.hold, NOW, made.tenant_id, key, "wrong amount") == 1
    assert claim(database, NOW + LEASE) == []
    assert database.write_now(queue.release, NOW + 5, made.tenant_id, key, "admin") == 1
    assert [one.message_id for one in claim(database, NOW + 5)] == [made.message_id]
    assert events(database, made) == ["message.held", "message.released"]


def test_a_node_that_starts_again_takes_back_its_own_only(database: Database) -> None:
    add(database, tenant(database), node="one", due_at=NOW + LEASE)
    add(database, tenant(database), node="two", due_at=NOW + LEASE)
    assert database.write_now(queue.recover, NOW + 10, "one") == 1
    assert len(claim(database, NOW + 10, "one")) == 1


def test_an_attempt_that_was_not_made_is_given_back_and_not_counted(database: Database) -> None:
    add(database, tenant(database))
    [made] = claim(database)
    database.write_now(queue.unbook, NOW + 5, [made])
    [again] = claim(database, NOW + 5, "two")
    assert again.attempts == 1


# -- settling


@pytest.mark.parametrize(
    ("status", "state", "event", "open", "suppressed"),
    [
        (TAKEN, "relayed", ["recipient.accepted"], False, False),
        (LATER, "queued", ["recipient.deferred"], False, False),
        (GONE, "failed", ["recipient.bounced", "thread.opened"], True, True),
        (POLICY, "failed", ["recipient.bounced", "thread.opened"], True, False),
    ],
)
def test_an_outcome_moves_the_delivery_and_says_so(
    database: Database, status: DeliveryStatus, state: str, event: list[str], open: bool, suppressed: bool
) -> None:
    add(database, tenant(database))
    [made] = claim(database)
    assert settle(database, made, status) == state
    found = row(database, made)
    assert (found.state, found.code, found.status, found.text) == (state, status.code, status.status, status.text)
    assert events(database, made) == event
    thread = database.read_now(get_thread, made.tenant_id, made.thread_id)
    assert thread and (thread.state == "open") is open
    assert (database.read_now(get_suppressed, 0, made.tenant_id, made.recipient) is not None) is suppressed
    where = attempt.c.message_id == made.message_id
    [tried] = database.read_now(lambda tx: tx.all(select(attempt).where(where)))
    assert (tried.attempt, tried.text, tried.stage) == (1, status.text, "rcpt")


def test_a_wait_doubles_and_the_last_try_is_at_the_end(database: Database) -> None:
    [made] = add(database, tenant(database), expires_at=NOW + 2_000_000)
    at, waits = NOW, []
    while (state := settle(database, claim(database, at)[0], LATER, at)) == "queued":
        waits.append(row(database, made).next_attempt_at - at)
        at += waits[-1]
    assert waits == [300_000, 600_000, 1_100_000]
    assert (state, row(database, made).reason) == ("failed", "expired")
    assert events(database, made)[-2:] == ["recipient.expired", "thread.opened"]
    assert database.read_now(get_suppressed, 0, made.tenant_id, made.recipient) is None


def test_an_outcome_that_comes_too_late_changes_nothing(database: Database) -> None:
    add(database, tenant(database))
    [made] = claim(database)
    assert database.write_now(queue.cancel, NOW, made.tenant_id, (made.message_id, 0), "admin") == 1
    settle(database, made, GONE)
    assert row(database, made).state == "cancelled"
    assert "recipient.bounced" not in events(database, made)
    assert database.read_now(get_suppressed, 0, made.tenant_id, made.recipient) is None


# -- reports


@pytest.mark.parametrize(
    ("before", "reported", "after", "told"),
    [
        (TAKEN, GONE, "failed", "failed"),
        (TAKEN, ARRIVED, "delivered", "delivered"),
        (TAKEN, LATER, "relayed", "delayed"),
        (TAKEN, TAKEN, "relayed", "ignored"),
        (LATER, GONE, "failed", "failed"),  # the final dot was not answered, and yet it had arrived there
        (LATER, ARRIVED, "delivered", "delivered"),
        (LATER, LATER, "queued", "delayed"),
        (GONE, ARRIVED, "failed", "ignored"),
        (GONE, GONE, "failed", "ignored"),
    ],
)
def test_a_report_to_the_return_path_changes_only_what_went_out(
    database: Database, before: DeliveryStatus, reported: DeliveryStatus, after: str, told: str
) -> None:
    add(database, tenant(database))
    [made] = claim(database)
    settle(database, made, before)
    assert report(database, made, reported) == told
    assert row(database, made).state == after
    if told == "ignored":
        assert events(database, made)[-1] == "report.ignored"


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_report_to_the_return_path_suppresses(database: Database, trusted: bool) -> None:
    add(database, tenant(database), "one@client.test", "two@client.test")
    first, second = claim(database)
    for made in (first, second):
        settle(database, made, TAKEN)
    report(database, second, GONE, trusted=trusted)
    assert [row(database, made).state for made in (first, second)] == ["relayed", "failed"]
    assert (database.read_now(get_suppressed, 0, second.tenant_id, second.recipient) is not None) is trusted


def test_a_report_to_elsewhere_changes_nothing_that_is_still_tried(database: Database) -> None:
    add(database, tenant(database))
    [made] = claim(database)
    settle(database, made, LATER)
    assert report(database, made, GONE, trusted=False) == "ignored"
    assert row(database, made).state == "queued"


def test_a_report_about_what_was_never_tried_is_forged(database: Database) -> None:
    [made] = add(database, tenant(database))
    assert report(database, made, GONE) == "ignored"
    assert row(database, made).state == "queued"


# -- what people do


def test_what_was_relayed_is_never_sent_again(database: Database) -> None:
    add(database, tenant(database), "one@client.test", "two@client.test")
    first, second = claim(database)
    settle(database, first, TAKEN)
    settle(database, second, GONE)
    key = (first.message_id, 0)
    assert database.write_now(queue.retry_failed, NOW + 5, first.tenant_id, key, "admin", NOW + DAY) == 1
    assert [one.number for one in claim(database, NOW + 5)] == [second.number]
    assert row(database, first).state == "relayed"


def test_no_verb_reaches_another_tenants_deliveries(database: Database) -> None:
    [made] = add(database, tenant(database))
    other, key = tenant(database, "beta"), (made.message_id, 0)
    before = row(database, made)
    assert database.write_now(queue.hold, NOW, other, key, "mine") == 0
    assert database.write_now(queue.release, NOW, other, key, "mine") == 0
    assert database.write_now(queue.cancel, NOW, other, key, "mine") == 0
    assert database.write_now(queue.retry_failed, NOW, other, key, "mine", NOW + DAY) == 0
    assert database.read_now(queue.find_deliveries, other, made.message_id) == []
    assert row(database, made) == before


def test_a_token_finds_its_delivery_and_a_guess_finds_none(database: Database) -> None:
    first, second = add(database, tenant(database), "one@client.test", "two@client.test")
    found = database.read_now(queue.find_token, second.token)
    assert found and (found.message_id, found.number, found.recipient) == (second.message_id, 2, "two@client.test")
    assert database.read_now(queue.find_token, "a" * 16) is None
    assert first.token != second.token

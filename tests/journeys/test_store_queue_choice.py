"""The queue's filters, a tenant's retry policy, ends of mails, and what a node may have died of: on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from journeys.house import Place, make_config
from journeys.test_store_queue import DAY, LATER, LEASE, NOW, RETRY, TAKEN, add, claim, events, row, settle, tenant

from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound import queue
from gateway.outbound.queue import Attempt, Booked
from gateway.outbound.queue_list import Filter, count_queue, list_queue, list_waiting, next_keys
from gateway.outbound.retry_options import read_retry, set_retry
from gateway.store.database import Database, need_time
from gateway.store.messages import DATED, add_flags
from gateway.store.tenants import get_tenant
from gateway.store.threads import get_thread

FAULT = DeliveryStatus(Action.DELAYED, "4.3.0", 0, "the gateway failed while sending", "", "unknown")


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    """An open database with the tenants acme and beta."""
    made = Database(make_config(place).database_url)
    yield made
    made.close()


# -- filters


def found(database: Database, tenant_id: str, **wanted: Any) -> list[str]:
    """The recipients that a filter means, however it is asked."""
    filter_ = Filter(**wanted)
    listed = database.read_now(list_queue, tenant_id, filter_)
    assert database.read_now(count_queue, tenant_id, filter_) == len(listed)
    keys = database.read_now(next_keys, tenant_id, filter_, ("", 0), 100)
    assert sorted(keys) == keys == sorted((one.message_id, one.number) for one in listed)
    return sorted(one.recipient for one in listed)


def test_a_filter_means_what_it_says(database: Database) -> None:
    acme = tenant(database)
    people = ("ana@client.test", "Bob@Client.Test", "ana@client.test.ro", "a_b@other.test")
    made = add(database, acme, *people)
    add(database, tenant(database, "beta"), "ana@client.test")
    claim(database)
    settle(database, made[0], replace(LATER, reason="mailbox_full"))
    settle(database, made[3], TAKEN)
    database.write_now(queue.hold, NOW, acme, (made[1].message_id, 2), "the AMOUNT is wrong")
    assert found(database, acme, recipient="@client.test") == ["Bob@Client.Test", "ana@client.test"]
    assert found(database, acme, recipient="ana@") == ["ana@client.test", "ana@client.test.ro"]
    assert found(database, acme, recipient="a%", state="") == found(database, acme, recipient="@_lient.test") == []
    assert found(database, acme, reason="mailbox_full") == found(database, acme, host="MX.test") == ["ana@client.test"]
    assert found(database, acme, reason="amount") == found(database, acme, held=True) == ["Bob@Client.Test"]
    assert found(database, acme, held=False) == ["ana@client.test", "ana@client.test.ro"]
    assert found(database, acme, state="relayed") == ["a_b@other.test"]
    assert found(database, acme, older_than=need_time(NOW)) == []
    assert len(found(database, acme, older_than=need_time(NOW + 1), state="")) == 4


def test_a_walk_through_the_queue_meets_each_delivery_once(database: Database) -> None:
    acme = tenant(database)
    for _ in range(3):
        add(database, acme, *(f"p{number}@client.test" for number in range(11)))
    seen: list[tuple[str, int]] = []
    after = ("", 0)
    while keys := database.read_now(next_keys, acme, Filter(), after, 5):
        seen += keys
        after = keys[-1]
    assert len(seen) == len(set(seen)) == 33


def test_what_waits_is_counted_by_the_domain_whatever_stands_before_it(database: Database) -> None:
    acme = tenant(database)
    odd = ('"a@b"@one.test', "o'neil+x=y@ONE.test", "ștefan@one.test", "B_1@two.test")
    made = add(database, acme, *odd)
    add(database, acme, "c@two.test", due_at=NOW + DAY)
    add(database, tenant(database, "beta"), "d@two.test")
    assert len(claim(database)) == 5
    settle(database, made[0], replace(LATER, reason="mailbox_full"))
    database.write_now(queue.hold, NOW, acme, (made[3].message_id, 4), "wait")
    groups = database.read_now(list_waiting, acme, NOW)
    by_domain: dict[str, int] = {}
    for one in groups:
        by_domain[one.domain] = by_domain.get(one.domain, 0) + one.count
    assert by_domain == {"one.test": 3, "two.test": 2}
    full = next(one for one in groups if one.reason == "mailbox_full")
    assert (full.words, full.host, full.under_way, full.oldest) == (LATER.text, "mx.test", 0, need_time(NOW))
    assert sum(one.under_way for one in groups if not one.hold) == 2
    assert sum(one.ahead for one in groups) == 1
    assert [one.hold for one in groups if one.hold] == ["wait"]


# -- a tenant's own policy


def attempted(database: Database, made: Booked, route: str) -> int:
    """How long (ms) a delivery waits after an attempt by a route that ended in vain."""
    database.write_now(queue.settle, NOW, made, Attempt(LATER, "rcpt", route=route), RETRY)
    return int(row(database, made).next_attempt_at) - NOW


def test_a_tenants_policy_holds_from_its_next_attempt_and_a_routes_goes_before_it(database: Database) -> None:
    acme, beta = tenant(database), tenant(database, "beta")
    add(database, acme, *(f"{number}@client.test" for number in range(4)))
    add(database, beta)
    made = [one for one in claim(database) if one.tenant_id == acme]
    [other] = database.read_now(queue.find_deliveries, beta, row_of(database, beta))
    assert attempted(database, made[0], "direct") == 300_000
    database.write_now(set_retry, acme, "", 60, None, None)
    database.write_now(set_retry, acme, "smtp", 120, 900, 7200)
    assert attempted(database, made[1], "direct") == 60_000
    assert attempted(database, made[2], "smtp") == 120_000
    assert attempted(database, other, "direct") == 300_000
    assert database.read_now(read_retry, acme, "smtp", RETRY).expire == 7200
    database.write_now(set_retry, acme, "smtp", 0, 0, 0)
    database.write_now(set_retry, acme, "", 0, None, None)
    assert attempted(database, made[3], "smtp") == 300_000
    after = database.read_now(get_tenant, acme)
    assert after is not None and after.options == {}


def row_of(database: Database, tenant_id: str) -> str:
    """The message of a tenant's one delivery."""
    [one] = database.read_now(list_queue, tenant_id, Filter())
    return one.message_id


# -- the end of a mail


def test_a_mail_that_moves_takes_its_end_along_unless_it_means_nothing_then(database: Database) -> None:
    acme = tenant(database)
    [moved], [dated] = add(database, acme, due_at=NOW + 1000), add(database, acme, due_at=NOW + 1000)
    database.write_now(add_flags, acme, dated.message_id, DATED)
    for made in (moved, dated):
        database.write_now(queue.reschedule, acme, made.message_id, NOW + 1000 + 7 * DAY)
    assert row(database, moved).expires_at == NOW + 8 * DAY
    assert row(database, dated).expires_at == NOW + DAY


def test_what_was_held_for_long_is_tried_for_a_day_unless_it_means_nothing_then(database: Database) -> None:
    acme = tenant(database)
    [held], [dated], [free] = (add(database, acme) for _ in range(3))
    database.write_now(add_flags, acme, dated.message_id, DATED)
    late = NOW + 9 * DAY
    for made in (held, dated):
        database.write_now(queue.hold, NOW, acme, (made.message_id, 0), "wait")
    for made in (held, dated, free):
        database.write_now(queue.release, late, acme, (made.message_id, 0), "maria")
    assert row(database, held).expires_at == late + DAY
    assert row(database, dated).expires_at == row(database, free).expires_at == NOW + DAY
    made = next(one for one in claim(database, late) if one.message_id == dated.message_id)
    database.write_now(queue.expire, late, made)
    ended = row(database, dated)
    assert (ended.state, ended.reason, ended.attempts) == ("failed", "expired", 0)
    thread = database.read_now(get_thread, acme, ended.thread_id)
    assert thread is not None and (thread.state, thread.chip) == ("open", "expired")
    assert events(database, dated)[-2:] == ["recipient.expired", "thread.opened"]


# -- what a node may have died of


def deaths(database: Database, count: int, at: int = NOW) -> list[int]:
    """A node that books what is due and is killed, so often; how much it booked each time."""
    booked = []
    for _ in range(count):
        booked.append(len(claim(database, at)))
        database.write_now(queue.recover, at, "one")
    return booked


def test_what_a_node_died_of_three_times_is_parked_and_shown(database: Database) -> None:
    [made] = add(database, tenant(database))
    assert deaths(database, 3) == [1, 1, 1]
    parked = row(database, made)
    assert parked.hold.startswith("the gateway ended 3 times in a row while sending it")
    assert claim(database, NOW + 2 * LEASE) == []
    thread = database.read_now(get_thread, made.tenant_id, made.thread_id)
    assert thread is not None and (thread.state, thread.chip) == ("open", "parked")
    database.write_now(queue.release, NOW, made.tenant_id, (made.message_id, 0), "maria")
    assert len(claim(database)) == 1


def test_suspects_are_tried_apart_so_that_only_the_guilty_one_is_parked(database: Database) -> None:
    add(database, tenant(database), *(f"{number}@client.test" for number in range(5)))
    assert deaths(database, 2) == [5, 5]
    tried = 0
    for second in range(5):
        [made] = claim(database, NOW + 1000 * second)
        if made.recipient.startswith("3"):
            database.write_now(queue.recover, NOW + 1000 * second, "one")
            break
        settle(database, made, TAKEN, NOW + 1000 * second)
        tried += 1
    held = database.read_now(list_queue, tenant(database), Filter(held=True))
    assert [one.recipient for one in held] == ["3@client.test"]
    assert len(database.read_now(list_queue, tenant(database), Filter(held=False))) == 4 - tried


def test_an_attempt_that_ended_between_two_deaths_acquits(database: Database) -> None:
    [made] = add(database, tenant(database))
    assert deaths(database, 2) == [1, 1]
    [booked] = claim(database)
    settle(database, booked, LATER)
    assert deaths(database, 2, NOW + DAY // 2) == [1, 1]
    assert row(database, made).hold == ""


def test_what_a_node_broke_off_when_it_stopped_in_good_order_is_no_suspect(database: Database) -> None:
    [made] = add(database, tenant(database))
    for _ in range(4):
        database.write_now(queue.note_broken_off, NOW, claim(database))
        assert database.write_now(queue.recover, NOW, "one") == 1
    assert (row(database, made).hold, row(database, made).attempts) == ("", 4)
    [booked] = claim(database)
    settle(database, booked, TAKEN)
    database.write_now(queue.note_broken_off, NOW, [booked])  # its outcome came first
    assert row(database, made).state == "relayed"


def test_a_node_that_never_comes_back_is_seen_by_the_one_that_takes_over(database: Database) -> None:
    [made] = add(database, tenant(database))
    for number in range(3):
        assert len(claim(database, NOW + number * LEASE, f"gone-{number}")) == 1
    assert claim(database, NOW + 3 * LEASE, "two") == []
    assert row(database, made).hold.startswith("the gateway ended 3 times")


def test_a_fault_of_ours_parks_at_the_third_and_one_of_the_remote_never(database: Database) -> None:
    [made] = add(database, tenant(database))
    at = NOW
    for number, (status, stage) in enumerate([(LATER, "rcpt")] * 4 + [(FAULT, queue.OUR_FAULT)] * 3):
        [booked] = claim(database, at)
        database.write_now(queue.settle, at, booked, Attempt(status, stage), RETRY)
        if stage == queue.OUR_FAULT:
            database.write_now(queue.note_fault, at, booked)
        assert bool(row(database, made).hold) == (number == 6)
        at = row(database, made).next_attempt_at

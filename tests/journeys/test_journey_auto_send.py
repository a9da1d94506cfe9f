"""Automatic mail of a document under a moved clock, across restarts and nodes: exactly one mail or none, as promised.

What `test_journey_triggers` leaves: each of the four switches, documents issued together, changes of summer time, the
end of a node in the middle, and two nodes on one PostgreSQL that are told the same at once. `SHOWN` says which test
shows which of the promises S23 to S34.
"""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from journeys import test_journey_triggers
from journeys.house import Clock, Journey, Place, copy_folder, open_journey
from journeys.letters import Answer, read
from journeys.test_journey_triggers import ANA, HELD, document, held, mail, never_comes, turn_on, walk
from postroom.postgres import Postgres

from gateway.outbound.automation import mark_as_sent
from gateway.outbound.queue import claim
from gateway.store.database import to_ms
from gateway.store.documents import get_document
from gateway.store.template_settings import change_setting

SHOWN = {
    "S23": "test_each_switch_sends_its_document_once",  # new invoice
    "S24": "test_each_switch_sends_its_document_once",  # estimate
    "S25": "test_each_switch_sends_its_document_once",  # payment plan
    "S26": "test_each_switch_sends_its_document_once",  # credit note
    "S27": "test_an_issued_invoice_goes_once_after_five_minutes",
    "S28": "test_a_correction_in_the_window_restarts_it_and_the_mail_holds_the_corrected_document",
    "S29": "test_sent_by_hand_in_the_window_means_no_automatic_mail",
    "S30": "test_marked_as_sent_in_the_window_means_no_automatic_mail",
    "S31": "test_a_document_of_a_later_day_goes_at_eight_over_a_change_of_clocks",
    "S32": "test_documents_that_are_issued_together_get_a_mail_each",
    "S33": "test_a_document_that_is_settled_or_a_draft_is_not_sent",
    "S34": "test_two_nodes_that_are_told_the_same_at_once_send_one_mail",
    "S34, restart": "test_a_held_mail_survives_a_restart_and_goes_once",
    "S34, end of a node": "test_what_a_node_had_booked_when_it_died_goes_once_from_another",
    "ruling: the switch": "test_turning_a_switch_on_mails_nothing_that_was_issued_before",
    "ruling: no address": "test_an_event_for_a_document_without_an_address_opens_its_thread",
}


def test_every_promise_has_its_test() -> None:
    assert {f"S{number}" for number in range(23, 35)} <= set(SHOWN)
    for name in SHOWN.values():
        assert callable(globals().get(name) or getattr(test_journey_triggers, name)), name


def at(clock: Clock, when: datetime) -> None:
    """Set the clock, into the past too."""
    clock.ahead = when - datetime.now(UTC)


def of_type(kind: str, **changes: Any) -> dict[str, Any]:
    """A document that the four switches are about."""
    made = document(type=kind, id=f"{kind}-1", number=f"{kind}-1") | changes
    made.pop("kind", None)
    made.pop("status")
    if kind == "payment_plan":
        total = made["totals"].get("balance") or made["totals"]["total"]
        made["payment_plan"] = {"installments": [{"due_date": "2027-01-10", "amount": total}]}
        made["links"] = {"approve": "https://acme.example/approve"}
    return made


@pytest.mark.parametrize(
    ("event", "template", "kind"),
    [
        ("invoice.issued", "new_invoice", "invoice"),
        ("estimate.issued", "estimate", "estimate"),
        ("payment_plan.created", "payment_plan_onboard", "payment_plan"),
        ("credit_note.issued", "credit_note", "credit_note"),
    ],
)
def test_each_switch_sends_its_document_once(place: Place, event: str, template: str, kind: str) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        made = of_type(kind)
        off = await journey.submit(mail(made | {"id": "before"}, X_AR_Event=event), ANA)
        assert "Stored only" in off.text, off
        await journey.write(change, journey.tenant_id, template)
        answer = await journey.submit(mail(made, X_AR_Event=event), ANA)
        assert HELD.search(answer.text), answer
        assert "made already" not in (await journey.submit(mail(made, X_AR_Event=event), ANA)).text  # told twice
        clock.move(minutes=4.5)
        await asyncio.sleep(1.5)
        assert journey.arrivals(ANA) == []
        clock.move(minutes=1)
        assert made["number"] in read((await journey.arrival(ANA)).raw)["Subject"]
        clock.move(minutes=30)
        await asyncio.sleep(2)
        assert len(journey.arrivals(ANA)) == 1

    walk(place, story)


def change(tx: Any, tenant_id: str, template: str) -> None:
    change_setting(tx, tenant_id, template, "", {"automatic": True, "enabled": True})


@pytest.mark.parametrize("status", ["paid", "voided", "draft", "bad_debt"])
def test_a_document_that_is_settled_or_a_draft_is_not_sent(place: Place, status: str) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        answer = await journey.submit(mail(document(status=status)), ANA)
        assert answer.text.endswith(f"Stored only: the document is {status}"), answer
        first = document(id="first", number="F-1")  # open when it is issued, settled within the window
        message_id = await held(journey, first)
        await journey.submit(mail(first | {"status": status}, X_AR_Event="invoice.updated"), ANA)
        await journey.settled(message_id, "cancelled")
        await never_comes(journey, clock)

    walk(place, story)


def test_marked_as_sent_in_the_window_means_no_automatic_mail(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        message_id = await held(journey, document())
        clock.move(minutes=4)
        assert await journey.write(mark_as_sent, clock(), journey.tenant_id, "invoice", document()["id"])
        await journey.settled(message_id, "cancelled")
        await never_comes(journey, clock)

    walk(place, story)


def test_turning_a_switch_on_mails_nothing_that_was_issued_before(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await journey.submit(mail(document()), ANA)
        await turn_on(journey)
        await never_comes(journey, clock)

    walk(place, story)


def test_documents_that_are_issued_together_get_a_mail_each(place: Place) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        many = [document(id=f"many-{number}", number=f"M-{number}") for number in range(8)]
        answers = await asyncio.gather(*(journey.submit(mail(made), ANA) for made in many))
        assert len({ids(answer) for answer in answers}) == 8
        clock.move(minutes=6)
        await journey.arrival(ANA, 7)
        await asyncio.sleep(2)
        found = [re.search(r"M-\d", read(one.raw)["Subject"]) for one in journey.arrivals(ANA)]
        assert sorted(one[0] for one in found if one) == [f"M-{number}" for number in range(8)]

    walk(place, story)


def ids(answer: Answer) -> str:
    assert answer.code == 250, answer
    found = HELD.search(answer.text)
    assert found, answer.text
    return found[1]


# -- summer time: Chișinău is two hours before UTC in winter, three in summer


@pytest.mark.parametrize(
    ("now", "day", "due"),
    [
        ("2026-03-27T10:00", "2026-03-30", "2026-03-30T05:00"),  # issued in winter, due in summer
        ("2026-03-28T20:00", "2026-03-29", "2026-03-29T05:00"),  # the day of the change itself
        ("2026-10-23T10:00", "2026-10-26", "2026-10-26T06:00"),
        ("2026-10-24T20:00", "2026-10-25", "2026-10-25T06:00"),
    ],
)
def test_a_document_of_a_later_day_goes_at_eight_over_a_change_of_clocks(
    place: Place, now: str, day: str, due: str
) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        at(clock, datetime.fromisoformat(now).replace(tzinfo=UTC))
        answer = await journey.submit(mail(document(issue_date=day, due_date=day)), ANA)
        assert f"Held until {day} 08:00:00" in answer.text, answer
        eight = datetime.fromisoformat(due).replace(tzinfo=UTC)
        at(clock, eight - timedelta(minutes=1))
        await asyncio.sleep(2.5)
        assert journey.arrivals(ANA) == []
        at(clock, eight)
        await journey.arrival(ANA)
        clock.move(hours=3)
        await asyncio.sleep(1.5)
        assert len(journey.arrivals(ANA)) == 1

    walk(place, story)


@pytest.mark.parametrize("before", ["2026-03-28T23:58", "2026-10-24T23:58"])
def test_five_minutes_are_five_minutes_when_clocks_change_in_them(place: Place, before: str) -> None:
    async def story(journey: Journey, clock: Clock) -> None:
        await turn_on(journey)
        at(clock, datetime.fromisoformat(before).replace(tzinfo=UTC))
        await held(journey, document(issue_date="2026-01-01"))
        clock.move(minutes=4.5)
        await asyncio.sleep(1.5)
        assert journey.arrivals(ANA) == []
        clock.move(minutes=1)
        await journey.arrival(ANA)

    walk(place, story)


# -- several nodes


@pytest.fixture
def shared(postgres: Postgres, postgres_template: tuple[Path, str], tmp_path: Path) -> Place:
    """A PostgreSQL database that two nodes can share; SQLite is for one."""
    template, name = postgres_template
    copy_folder(template, tmp_path / "data")
    return Place(tmp_path / "data", postgres.create_database(name))


async def until_taken(journey: Journey, made: dict[str, Any]) -> str:
    """Hand a document over as a billing system does: again, when it is told that nothing was stored."""
    for _ in range(5):
        answer = await journey.submit(mail(made), ANA)
        if answer.code != 451:
            break
    return ids(answer)


def test_two_nodes_that_are_told_the_same_at_once_send_one_mail(shared: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with (
            open_journey(shared, clock=clock) as one,
            open_journey(shared, clock=clock, world=one.world, node="node2") as two,
        ):
            await turn_on(one)
            many = [document(id=f"both-{number}", number=f"B-{number}") for number in range(12)]
            for made in many:
                taken = await asyncio.gather(*(until_taken(node, made) for node in (one, two, one, two)))
                assert len(set(taken)) == 1
            clock.move(minutes=6)
            await one.arrival(ANA, len(many) - 1)
            clock.move(minutes=30)
            await asyncio.sleep(3)
            found = sorted(str(read(mail.raw)["Message-ID"]) for mail in one.arrivals(ANA))
            assert len(found) == len(set(found)) == len(many)

    asyncio.run(run())


def test_sent_by_hand_on_one_node_while_the_other_is_about_to_send_is_one_mail(shared: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with (
            open_journey(shared, clock=clock) as one,
            open_journey(shared, clock=clock, world=one.world, node="node2") as two,
        ):
            await turn_on(one)
            message_id = await held(one, document())
            clock.move(minutes=4)
            sent = await two.queue(mail(document(), X_AR_Template="new_invoice"), ANA)
            await two.settled(sent.message_id, "relayed")
            await one.settled(message_id, "cancelled")
            clock.move(minutes=30)
            await asyncio.sleep(3)
            assert len(one.arrivals(ANA)) == 1

    asyncio.run(run())


def test_what_a_node_had_booked_when_it_died_goes_once_from_another(shared: Place) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(shared, clock=clock) as one:
            await turn_on(one)
            message_id = await held(one, document())
            # Another node books it the moment it is due, and is never heard of again.
            due = to_ms(clock() + timedelta(minutes=6))
            booked = await one.write(claim, due, "dead", limit=10, lease_ms=900_000)
            assert [made.message_id for made in booked] == [message_id]
            clock.move(minutes=7)
            await asyncio.sleep(2.5)
            assert one.arrivals(ANA) == []  # it may still be sending
            clock.move(minutes=15)
            await one.arrival(ANA)
            await one.settled(message_id, "relayed")
            clock.move(minutes=60)
            await asyncio.sleep(2)
            assert len(one.arrivals(ANA)) == 1
            stored = await one.house.database.read(get_document, one.tenant_id, "invoice", document()["id"])
            assert stored and stored.sent_at

    asyncio.run(run())

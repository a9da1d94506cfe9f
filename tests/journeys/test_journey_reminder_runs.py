"""The run of reminders: when it is due, what a crash or a second node does to it, and what goes through its door."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from journeys.house import Clock, Place, open_journey
from journeys.letters import read, words
from journeys.reminder_tale import ANA, KEY, Tale, tell
from journeys.test_journey_triggers import document

from gateway.outbound.handed import Asked
from gateway.outbound.reminder_runs import ReminderRuns, forecast, is_due, run_tenant
from gateway.outbound.reminding import Examined
from gateway.outbound.submission import accept_document
from gateway.serve.house import House
from gateway.store.reminders import (
    TenantRun,
    claim_run,
    read_state,
)
from gateway.store.template_settings import change_reminders
from gateway.store.tenants import set_tenant


@pytest.fixture(autouse=True)
def _quiet_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop does not look: these tests say themselves when a run is."""
    monkeypatch.setattr("gateway.outbound.reminder_runs.LOOK_SECONDS", 3600.0)


def test_a_run_is_due_at_the_tenants_hour_where_it_is_over_a_change_of_the_clock(place: Place) -> None:
    async def story(tale: Tale) -> None:
        journey = tale.journey
        await journey.write(set_tenant, tenant_id=journey.tenant_id, options={"reminder_hour": 10})
        tenant = await tale.tenant()
        for day, hour in (((2026, 10, 24), 7), ((2026, 10, 25), 8), ((2026, 3, 28), 8), ((2026, 3, 29), 7)):
            at = datetime(*day, hour, tzinfo=UTC)
            early = at - timedelta(seconds=1)
            assert (is_due(tenant, early), is_due(tenant, at)) == (False, True), day
        gap = replace(tenant, options={"reminder_hour": 3}, timezone="Europe/Bucharest")  # 29 March has no 3:00
        assert is_due(gap, datetime(2026, 3, 29, 1, tzinfo=UTC))
        assert not is_due(gap, datetime(2026, 3, 29, 0, 59, tzinfo=UTC))
        assert not is_due(replace(tenant, day="2026-10-25"), datetime(2026, 10, 25, 12, tzinfo=UTC))

    tell(place, story)


def test_a_look_that_passes_midnight_leaves_the_new_day_to_its_hour(place: Place) -> None:
    async def story(tale: Tale) -> None:
        await tale.hand_over(due=10)
        tale.clock.move(days=5)
        late = tale.clock().replace(hour=20, minute=59, second=59)  # 23:59:59 in Chișinău, or an hour less
        times = iter((late, late + timedelta(hours=2)))
        assert await ReminderRuns(tale.journey.house.door, lambda: next(times)).look() == 0
        assert await ReminderRuns(tale.journey.house.door, lambda: late).look() == 1, "the day before was not taken"

    tell(place, story)


def test_the_loop_of_a_serving_gateway_does_it_by_itself(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.outbound.reminder_runs.LOOK_SECONDS", 0.2)

    async def story(tale: Tale) -> None:
        stored = await tale.hand_over(due=10)
        tale.clock.move(days=5)
        await tale.journey.arrival(ANA)
        await tale.journey.event(stored.thread_id, "reminder.scheduled")
        tale.clock.move(days=1)
        await asyncio.sleep(1)
        assert len(tale.journey.arrivals(ANA)) == 1

    tell(place, story)


def test_a_run_that_died_is_taken_up_when_its_claim_has_ended_and_nothing_goes_twice(place: Place) -> None:
    async def story(tale: Tale) -> None:
        journey, house = tale.journey, tale.journey.house
        await tale.hand_over(due=10)
        await tale.store(tale.made | {"id": "inv_2", "number": "CP-2"})
        tale.clock.move(days=5)
        now, tenant = tale.clock(), await tale.tenant()
        until = int((now + timedelta(minutes=10)).timestamp() * 1000)
        assert await journey.write(claim_run, 0, tenant.tenant_id, tale.today.isoformat(), until)  # a node that died
        [first, _] = [
            one for one in await forecast(house.database, tenant, now) if one.verdict.goes
        ]  # fmt: skip
        await _send_only(house, tale, first)
        assert await run_tenant(house.door, tenant, now) is None
        tale.clock.move(minutes=11)
        assert len(await tale.run()) == 1, "the one that had not gone"

    tell(place, story)


async def _send_only(house: House, tale: Tale, one: Examined) -> None:
    from gateway.outbound import reminder_runs  # what a run does with one document, and no more

    ledger = await reminder_runs.read_ledger(house.database, await tale.tenant())
    await reminder_runs._act(house.door, ledger, one, tale.clock())


def test_a_dry_run_says_what_then_goes(place: Place) -> None:
    async def story(tale: Tale) -> None:
        await tale.hand_over(due=10)
        await tale.store(tale.made | {"id": "inv_2", "number": "CP-2"})
        nobody = document()["customer"] | {"contacts": [], "id": "cust_nobody", "name": "Nimeni SRL"}
        await tale.store(tale.made | {"id": "inv_3", "number": "CP-3", "customer": nobody})
        await tale.store(tale.made | {"id": "inv_4", "number": "CP-4", "status": "voided"})
        tale.clock.move(days=5)
        told = await forecast(tale.journey.house.database, await tale.tenant(), tale.clock())
        due = {one.found.id: one.verdict for one in told if one.verdict.slot}
        done = {one.found.id: one.verdict for one in await tale.run()}
        assert due == done
        assert {key: verdict.reason for key, verdict in done.items()} == {
            "inv_1": "", "inv_2": "", "inv_3": "no_address",
        }  # fmt: skip
        assert {one.found.id: one.verdict.reason for one in told}["inv_4"] == "settled"
        thread = await tale.journey.thread((await tale.stored("invoice", "inv_3")).thread_id)
        assert (thread.state, thread.chip) == ("open", "no_address")

    tell(place, story)


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
@pytest.mark.parametrize("claimed", [True, False])
def test_two_nodes_at_once_send_one_mail_for_each_slot(place: Place, claimed: bool) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_journey(place, clock=clock) as journey, contextlib.AsyncExitStack() as stack:
            tale = Tale(journey, clock)
            await tale.begin()
            other = await stack.enter_async_context(open_journey(place, clock=clock, world=journey.world, node="node2"))
            await tale.hand_over(due=10)
            for number in range(2, 12):
                await tale.store(tale.made | {"id": f"inv_{number}", "number": f"CP-{number}"})
            clock.move(days=5)
            doors = (journey.house.door, other.house.door)
            tenant, now = await tale.tenant(), clock()
            if claimed:
                await asyncio.gather(*(ReminderRuns(door, clock).look() for door in doors))
            else:  # were the claim not there, the document's own row would still see to it
                await asyncio.gather(*(_walk_only(door, tenant, now) for door in doors))

            async def arrived() -> bool | None:
                return len(journey.world.received) >= 11 or None

            await journey.until(arrived)
            await asyncio.sleep(1)
            assert len(journey.world.received) == 11
            for number in range(1, 12):
                state = await journey.house.database.read(read_state, journey.tenant_id, ("invoice", f"inv_{number}"))
                assert state.sent["unpaid_invoice"].count == 1

    asyncio.run(run())


async def _walk_only(door: Any, tenant: TenantRun, now: datetime) -> None:
    from gateway.outbound.reminder_runs import _walk  # without its claim

    await _walk(door, tenant, now)


def test_a_stored_document_is_sent_by_whoever_asks_to_whom_and_when_they_say(place: Place) -> None:
    async def story(tale: Tale) -> None:
        journey = tale.journey
        await tale.hand_over(due=10)
        asked = Asked(journey.tenant_id, *KEY, "maria", personal="Un cuvânt personal.")
        receipt = await accept_document(journey.house.door, asked, tale.clock())
        assert receipt.text.endswith("template new_invoice"), receipt
        assert "Un cuvânt personal." in words(read((await journey.arrival(ANA)).raw))
        at = tale.clock() + timedelta(hours=2)
        later = await accept_document(
            journey.house.door, replace(asked, template="unpaid_invoice", not_before=at), tale.clock()
        )
        assert "Held until" in later.text
        assert len(journey.arrivals(ANA)) == 1
        tale.clock.move(hours=3)
        await journey.arrival(ANA, 1)

    tell(place, story)


def test_reminders_of_unchanged_invoices_draw_no_pdf(place: Place) -> None:
    """Were one drawn anew, the mark that the test puts into the kept one would be lost."""

    async def story(tale: Tale) -> None:
        journey, count = tale.journey, 30
        await tale.hand_over(due=10)
        for number in range(2, count + 1):
            await tale.store(tale.made | {"id": f"inv_{number}", "number": f"CP-{number}"})
        sent = [Asked(journey.tenant_id, "invoice", f"inv_{n}", "maria") for n in range(1, count + 1)]
        for asked in sent:
            receipt = await accept_document(journey.house.door, asked, tale.clock())
            await journey.settled(receipt.message_id, "relayed")
        marked = await journey.write(_mark_pdfs)
        assert marked == count
        assert await tale.sent(5) == count
        for arrived in journey.world.received[-count:]:
            [pdf] = [p for p in read(arrived.raw).iter_attachments() if p.get_content_type() == "application/pdf"]
            assert pdf.get_content().endswith(b"%kept")

    tell(place, story)


def _mark_pdfs(tx: Any) -> int:
    from gateway.store.schema import pdf  # the test tampers with what is kept

    rows = tx.all(pdf.select())
    for row in rows:
        where = (pdf.c.document_id == row.document_id) & (pdf.c.sha256 == row.sha256)
        tx.change(pdf.update().where(where).values(content=bytes(row.content) + b"%kept"))
    return len(rows)


def test_a_suspended_or_failing_tenant_stops_no_other(place: Place) -> None:
    async def story(tale: Tale) -> None:
        journey = tale.journey
        await tale.hand_over(due=10)
        await journey.write(change_reminders, journey.other_id, "unpaid_invoice", {"days_before": 5}, tale.today)
        await journey.write(_break_settings, journey.other_id)
        tale.clock.move(days=5)
        assert await ReminderRuns(journey.house.door, tale.clock).look() == 1
        await journey.arrival(ANA)

    tell(place, story)


def _break_settings(tx: Any, tenant_id: str) -> None:
    from gateway.store.schema import template_setting  # a row that no version of ours writes

    where = template_setting.c.tenant_id == tenant_id
    tx.change(template_setting.update().where(where).values(data="no json"))


def test_a_reminder_that_still_waits_is_cancelled_when_its_document_is_paid(place: Place) -> None:
    async def run() -> None:
        clock, nobody = Clock(), {"*": [("mx.world.example", "127.0.0.1", 9)]}
        async with open_journey(place, clock=clock, hosts=nobody) as journey:
            tale = Tale(journey, clock)
            await tale.begin()
            stored = await tale.hand_over(due=10)
            assert [one.verdict.goes for one in await tale.run(5)] == [True]
            [event] = await journey.event(stored.thread_id, "reminder.scheduled")
            await journey.tried(event.message_id)
            await tale.store(tale.made | {"status": "voided", "revision": 2})
            await journey.settled(event.message_id, "cancelled")
            [said] = await journey.event(stored.thread_id, "message.canceled")
            assert said.data["why"] == "the document is voided"

    asyncio.run(run())

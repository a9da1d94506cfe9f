"""Reminders through the whole house, by a moved clock: what goes, what is held back and why."""

from datetime import timedelta

import pytest
from journeys.house import Place
from journeys.letters import compose, read, report, words
from journeys.reminder_tale import ANA, KEY, Tale, tell
from journeys.test_journey_triggers import document, mail

from gateway.outbound.reminder_runs import forecast
from gateway.store.customers import opt_out
from gateway.store.reminders import (
    make_promise,
    pause_reminders,
    resume_reminders,
)
from gateway.store.template_settings import change_setting
from gateway.store.threads import close_thread


@pytest.fixture(autouse=True)
def _quiet_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop does not look: these tests say themselves when a run is."""
    monkeypatch.setattr("gateway.outbound.reminder_runs.LOOK_SECONDS", 3600.0)


def test_a_reminder_goes_before_the_day_and_after_it_in_the_thread_with_the_kept_pdf(place: Place) -> None:
    async def story(tale: Tale) -> None:
        stored = await tale.hand_over(due=10)
        assert [await tale.sent(4), await tale.sent(1), await tale.sent(1)] == [0, 1, 0]  # five days before, once
        assert [await tale.sent(4), await tale.sent(6), await tale.sent(1), await tale.sent(7)] == [0, 0, 1, 1]
        mails = [read((await tale.journey.arrival(ANA, number)).raw) for number in range(3)]
        assert [one["Feedback-ID"].split(":")[0] for one in mails] == ["unpaid_invoice", *["late_payment_reminder"] * 2]
        assert len({one["References"] for one in mails}) == 1 and stored.thread_id in mails[0]["References"]
        pdfs = [next(one.iter_attachments()).get_content() for one in mails]
        assert pdfs[0] == pdfs[1] == pdfs[2]
        assert "CP-1" in words(mails[0])
        events = await tale.events("reminder.scheduled")
        assert [(one["template"], one["count"]) for one in events] == [
            ("unpaid_invoice", 1), ("late_payment_reminder", 1), ("late_payment_reminder", 2),
        ]  # fmt: skip
        assert (await tale.stored()).sent_at is not None

    tell(place, story)


@pytest.mark.parametrize("status", ["paid", "voided", "bad_debt"])
def test_nothing_is_reminded_of_that_was_settled_in_between(place: Place, status: str) -> None:
    async def story(tale: Tale) -> None:
        await tale.hand_over(due=10)
        assert await tale.sent(5) == 1
        totals = tale.made["totals"] | ({"paid": tale.made["totals"]["total"], "balance": "0.00"})
        changes = {"status": status, "revision": 2} | ({"totals": totals} if status == "paid" else {})
        await tale.store(tale.made | changes)
        assert [await tale.sent(12), await tale.sent(7)] == [0, 0]
        told = await forecast(tale.journey.house.database, await tale.tenant(), tale.clock())
        assert [(one.verdict.reason, one.verdict.why) for one in told] == [("settled", f"the document is {status}")]

    tell(place, story)


def test_ten_days_without_a_run_are_caught_up_with_one_mail(place: Place) -> None:
    async def story(tale: Tale) -> None:
        await tale.turn_on("late_payment_reminder", every_days=3)
        await tale.hand_over(due=1)
        assert await tale.sent(14) == 1  # four slots have passed
        assert [await tale.sent(1), await tale.sent(1)] == [0, 0]

    tell(place, story)


def test_a_promise_lets_reminders_sleep_and_is_kept_or_broken(place: Place) -> None:
    async def story(tale: Tale) -> None:
        journey = tale.journey
        stored = await tale.hand_over(due=1)
        await tale.run(7)
        until = tale.today + timedelta(days=3)
        await journey.write(make_promise, tale.clock(), journey.tenant_id, KEY, until, tale.today, by="maria")
        assert [await tale.held_back(1), await tale.held_back(2)] == [["promised"], ["promised"]]
        assert len(await tale.events("reminder.skipped")) == 1, "once for each slot, not every day"
        assert (await journey.thread(stored.thread_id)).state == "closed"
        assert await tale.sent(1) == 1
        assert [one["on"] for one in await tale.events("promise.broken")] == [until.isoformat()]
        thread = await journey.thread(stored.thread_id)
        assert (thread.state, thread.chip) == ("open", "promise_broken")
        later = tale.today + timedelta(days=9)
        await journey.write(make_promise, tale.clock(), journey.tenant_id, KEY, later, tale.today, by="maria")
        await tale.store(tale.made | {"status": "paid", "revision": 2})
        assert [one["on"] for one in await tale.events("promise.kept")] == [later.isoformat()]
        await tale.run(20)
        assert len(await tale.events("promise.broken")) == 1

    tell(place, story)


def test_a_promised_part_is_kept_when_that_part_is_paid(place: Place) -> None:
    async def story(tale: Tale) -> None:
        journey = tale.journey
        await tale.hand_over(due=1)
        until = tale.today + timedelta(days=5)
        promise = (tale.clock(), journey.tenant_id, KEY, until, tale.today)
        await journey.write(make_promise, *promise, amount="100.00", by="maria")
        total = tale.made["totals"]["total"]
        for paid, kept in (("50.00", 0), ("100.00", 1)):
            left = f"{float(total) - float(paid):.2f}"
            totals = tale.made["totals"] | {"paid": paid, "balance": left}
            revision = {"status": "partially_paid", "totals": totals, "revision": int(float(paid))}
            await tale.store(tale.made | revision)
            assert len(await tale.events("promise.kept")) == kept

    tell(place, story)


def test_whoever_wants_no_reminders_gets_none(place: Place) -> None:
    async def story(tale: Tale) -> None:
        stored = await tale.hand_over(due=10)
        await tale.journey.write(opt_out, 1, tale.journey.tenant_id, stored.customer_key, "asked by mail")
        assert await tale.held_back(5) == ["opted_out"]

    tell(place, story)


def test_a_pause_holds_until_a_person_ends_it(place: Place) -> None:
    async def story(tale: Tale) -> None:
        journey = tale.journey
        await tale.hand_over(due=10)
        await journey.write(pause_reminders, tale.clock(), journey.tenant_id, KEY, "still talking", "maria")
        assert [await tale.held_back(5), await tale.held_back(1)] == [["paused"], ["paused"]]
        [said] = await tale.events("reminder.skipped")
        assert said["why"] == "reminders are paused: still talking"
        assert await journey.write(resume_reminders, tale.clock(), journey.tenant_id, KEY, "maria")
        assert await tale.sent(1) == 1
        assert [one["type"] for one in await tale.events("reminder.paused", "reminder.resumed")] == [
            "reminder.paused", "reminder.resumed",
        ]  # fmt: skip

    tell(place, story)


def test_a_reply_that_waits_for_an_answer_stops_reminders_until_its_thread_is_closed(place: Place) -> None:
    async def story(tale: Tale) -> None:
        journey = tale.journey
        stored = await tale.hand_over(due=10)
        assert await tale.sent(5) == 1
        address = read((await journey.arrival(ANA)).raw)["Reply-To"].addresses[0].addr_spec
        answer = compose("Re: CP-1", "Plătim vineri.", author=f"Ana <{ANA}>", to=address)
        assert (await journey.come(answer, address, return_path=ANA)).code == 250
        assert await tale.held_back(12) == ["reply"]
        assert await journey.write(close_thread, 1, journey.tenant_id, stored.thread_id, "maria")
        assert await tale.sent(1) == 1

    tell(place, story)


def test_a_contact_whose_mail_came_back_is_not_reminded_and_the_other_one_is(place: Place) -> None:
    async def story(tale: Tale) -> None:
        journey = tale.journey
        contacts = [{"email": ANA, "name": "Ana", "send": "to"}, {"email": "ion@client.test", "send": "to"}]
        await tale.hand_over(due=10, customer=document()["customer"] | {"contacts": contacts})
        [one] = await tale.run(5)
        assert len(one.recipients) == 2
        for recipient, wanted in ((ANA, 1), ("ion@client.test", 0)):
            arrived = await journey.arrival(recipient)
            back = report((recipient, "failed", "5.1.1"), to=arrived.return_path)
            assert (await journey.come(back, arrived.return_path)).code == 250
            [one] = await tale.run(12 if wanted else 7)
            assert (one.verdict.goes, one.verdict.reason) == (bool(wanted), "" if wanted else "bounced")
        assert len(journey.arrivals(ANA)) == 1

    tell(place, story)


def test_none_goes_within_72_hours_of_other_mail_and_it_goes_when_they_are_over(place: Place) -> None:
    async def story(tale: Tale) -> None:
        await tale.hand_over(due=10)
        tale.clock.move(days=4)
        await tale.journey.queue(mail(tale.made, X_AR_Template="new_invoice"), ANA)
        await tale.journey.arrival(ANA)
        tale.clock.move(minutes=-1)  # the run is an instant earlier in the day than the mail was
        assert [await tale.held_back(1), await tale.held_back(1), await tale.held_back(1)] == [["recent"]] * 3
        assert await tale.sent(1) == 1
        assert len(await tale.events("reminder.skipped")) == 1

    tell(place, story)


def test_mail_that_waits_counts_and_the_most_is_the_most(place: Place) -> None:
    async def story(tale: Tale) -> None:
        await tale.turn_on("late_payment_reminder", every_days=7, maximum=2)
        await tale.hand_over(due=1)
        later = (tale.clock() + timedelta(days=9)).isoformat()
        await tale.journey.submit(mail(tale.made, X_AR_Template="new_invoice", X_AR_Send_At=later), ANA)
        assert await tale.held_back(8) == ["waiting"]
        tale.clock.move(days=2)
        await tale.journey.arrival(ANA)
        assert [await tale.sent(5), await tale.sent(7)] == [1, 1]
        assert [await tale.held_back(7), await tale.held_back(7)] == [["maximum"]] * 2
        assert [one["reason"] for one in await tale.events("reminder.skipped")] == ["waiting", "maximum"]

    tell(place, story)


def test_documents_from_before_reminders_were_turned_on_cause_no_flood(place: Place) -> None:
    async def story(tale: Tale) -> None:
        old = (tale.today - timedelta(days=30)).isoformat()
        for number in range(5):
            made = document(id=f"old_{number}", number=f"OLD-{number}", issue_date=old, due_date=old)
            await tale.store(made)
        assert await tale.run(8) == []
        await tale.turn_on("late_payment_reminder", start=old)  # unless the tenant says so
        assert await tale.sent(1) == 5

    tell(place, story)


@pytest.mark.parametrize(("event", "due"), [("invoice.due_soon", 10), ("invoice.past_due", 1)])
def test_the_same_rules_hold_for_a_billing_system_that_asks_for_a_reminder(place: Place, event: str, due: int) -> None:
    async def story(tale: Tale) -> None:
        journey = tale.journey
        template = {"invoice.due_soon": "unpaid_invoice", "invoice.past_due": "late_payment_reminder"}[event]
        await journey.write(change_setting, journey.tenant_id, template, "", {"automatic": True})
        from_billing = {"X_AR_Event": event}
        await tale.hand_over(due=due)
        tale.clock.move(days=5)
        await journey.write(pause_reminders, tale.clock(), journey.tenant_id, KEY, "still talking", "maria")
        answer = await journey.submit(mail(tale.made, **from_billing), ANA)
        assert answer.text.endswith("Stored only: reminders are paused: still talking"), answer
        await journey.write(resume_reminders, tale.clock(), journey.tenant_id, KEY, "maria")
        answer = await journey.submit(mail(tale.made, **from_billing), ANA)
        assert "Queued" in answer.text
        await journey.settled(answer.text.partition("Queued ")[2].partition(",")[0], "relayed")
        answer = await journey.submit(mail(tale.made, **from_billing), ANA)
        assert "Stored only: other mail about the document went on" in answer.text
        assert await tale.run() == [], "it was the reminder of this slot"

    tell(place, story)

"""Reminders: which slot is due on which day, and what stops it, decided without a database or a clock."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.outbound.reminders import (
    REMINDING,
    WHY,
    Course,
    Verdict,
    because,
    begins_at,
    counted,
    schedule,
    slots_around,
    stop,
)
from gateway.outbound.triggers import SETTLED, Choice, choice_of
from gateway.store.reminders import Reminded, ReminderState
from gateway.store.reminding import Correspondence, Remindable

ZONE = ZoneInfo("Europe/Chisinau")
DUE = date(2026, 12, 20)
ISSUED = date(2026, 12, 1)
NOW = datetime(2026, 12, 27, 7, tzinfo=UTC)  # nine o'clock, seven days after the invoice was due


def found(**changes: Any) -> Remindable:
    made = Remindable(
        type="invoice", id="inv_1", number="CP-1", status="open", customer_name="Client", balance="100.00",
        currency="MDL", issue_date=ISSUED.isoformat(), due_date=DUE.isoformat(), thread_id="t", created_at=NOW,
        opted_out=False, composed=False,
    )  # fmt: skip
    return replace(made, **changes)


def choices(**of: Choice) -> dict[str, Choice]:
    off = Choice(enabled=True, attach_pdf=True, automatic=False)
    return dict.fromkeys(REMINDING, off) | of


def on(every: int = 0, before: int = 0, **more: Any) -> Choice:
    return Choice(True, True, False, every_days=every, days_before=before, **more)


def slots(course: Course, choice: Choice, first: date, days: int, issued: date = ISSUED) -> list[str]:
    """The days on which a new slot begins, by asking day by day."""
    latest = [slots_around(course, choice, issued, first + timedelta(days=n))[0] for n in range(days)]
    return [day.strftime("%m-%d") for day in dict.fromkeys(latest) if day]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (on(), ["12-20"]),  # asked of no one that is off
        (on(0, 5), ["12-15"]),
        (on(3, 5), ["12-15", "12-18"]),
        (on(5, 5), ["12-15", "12-20"]),
        (on(1, 2), ["12-18", "12-19", "12-20"]),
        (on(7, 0), ["12-06", "12-13", "12-20"]),  # counted back from the day itself, after the day of issue
        (on(19, 0), ["12-20"]),
        (on(0, 30), []),  # before it was issued: there is nothing to be caught up
        (on(7, 30), ["12-04", "12-11", "12-18"]),
    ],
)
def test_slots_before_the_day(choice: Choice, wanted: list[str]) -> None:
    assert slots(Course("unpaid_invoice", DUE), choice, ISSUED, 40) == wanted


@pytest.mark.parametrize(
    ("every", "wanted"), [(0, []), (7, ["12-27", "01-03", "01-10"]), (14, ["01-03"]), (25, ["01-14"])]
)
def test_slots_after_the_day(every: int, wanted: list[str]) -> None:
    assert slots(Course("late_payment_reminder", DUE, True), on(every), ISSUED, 46) == wanted


def test_a_document_that_comes_long_after_its_day_is_not_reminded_of_for_slots_before_its_issue() -> None:
    late, issued = Course("late_payment_reminder", DUE, True), DUE + timedelta(days=30)
    assert slots_around(late, on(7), issued, issued) == (None, DUE + timedelta(days=35))


def test_the_next_slot_is_the_one_after_the_latest() -> None:
    course = Course("unpaid_invoice", DUE)
    for day in range(40):
        today = ISSUED + timedelta(days=day)
        latest, following = slots_around(course, on(4, 10), ISSUED, today)
        assert latest is None or latest <= today <= today.max
        assert following is None or (following > today and (following - DUE).days % 4 == 2)


def decide(document: Remindable, today: date, body: dict[str, Any] | None = None, **of: Choice) -> Verdict:
    return schedule(document, body or {}, choices(**of), today, ZONE)


LATE = {"late_payment_reminder": on(7)}


def test_missed_slots_are_one_reminder_and_one_that_was_reminded_on_its_day_is_done() -> None:
    verdict = decide(found(), DUE + timedelta(days=23), **LATE)
    assert verdict == Verdict("late_payment_reminder", DUE + timedelta(days=21), "", "", DUE, DUE + timedelta(days=28))
    sent = {"late_payment_reminder": Reminded(1, (DUE + timedelta(days=23)).isoformat())}
    reminded = found(state=ReminderState(sent))
    assert decide(reminded, DUE + timedelta(days=27), **LATE).reason == "not_yet"
    assert decide(reminded, DUE + timedelta(days=28), **LATE).goes


@pytest.mark.parametrize("status", SETTLED)
def test_a_settled_document_is_not_reminded_of(status: str) -> None:
    assert decide(found(status=status), DUE + timedelta(days=7), **LATE).reason == "settled"


@pytest.mark.parametrize(
    ("changes", "of", "reason"),
    [
        ({"composed": True}, LATE, "composed"),
        ({"due_date": ""}, LATE, "no_day"),
        ({"due_date": "soon"}, LATE, "no_day"),
        ({}, {}, "off"),
        ({}, {"late_payment_reminder": replace(on(7), enabled=False)}, "off"),
        ({}, {"late_payment_reminder": on(0, 7)}, "off"),
        ({}, {"late_payment_reminder": on(7, start="2026-12-02")}, "before_start"),
        ({"issue_date": ""}, {"late_payment_reminder": on(7, start="2026-12-28")}, "before_start"),
        ({}, {"late_payment_reminder": on(7, start="2026-12-01")}, ""),
        ({}, {"late_payment_reminder": on(30)}, "not_yet"),
        ({"type": "estimate", "status": "accepted"}, {"estimate": on(3)}, "settled"),
    ],
)
def test_why_a_document_is_not_due(changes: dict[str, Any], of: dict[str, Choice], reason: str) -> None:
    verdict = decide(found(**changes), DUE + timedelta(days=7), **of)
    assert verdict.reason == reason
    assert "{" not in verdict.why


@pytest.mark.parametrize(
    ("type", "body", "template"),
    [
        ("estimate", {"valid_days": 19}, "estimate"),
        ("payment_plan", {"payment_plan": {"approve_by": "2026-12-20"}}, "payment_plan_onboard"),
        ("subscription", {"subscription": {"next_billing_on": "2026-12-20"}}, "subscription_renews_soon"),
        ("invoice", {"payment_plan": {"approve_by": "2026-12-20"}, "links": {"approve": "https://x.test"}},
         "payment_plan_onboard"),
    ],
)  # fmt: skip
def test_each_type_has_a_day_of_its_own(type: str, body: dict[str, Any], template: str) -> None:
    document = found(type=type, due_date="" if type != "invoice" else "2027-01-20")
    of = {template: on(0, 3)}
    assert decide(document, date(2026, 12, 16), body, **of).reason == "not_yet"
    verdict = decide(document, date(2026, 12, 17), body, **of)
    assert (verdict.template, verdict.slot, verdict.goes) == (template, date(2026, 12, 17), True)
    assert not decide(document, date(2026, 12, 21), body, **of).goes


def test_a_subscription_is_counted_anew_for_each_renewal() -> None:
    state = ReminderState({"subscription_renews_soon": Reminded(3, "2025-12-17", "2025-12-20")})
    document = found(type="subscription", state=state)
    assert counted(document, "subscription_renews_soon", date(2026, 12, 20)) == 0
    assert counted(document, "subscription_renews_soon", date(2025, 12, 20)) == 3


# -- stop rules

OFTEN = {"late_payment_reminder": Reminded(5, "2026-12-01")}
HERE = {"ana@client.test": ""}
SENT = Correspondence(sent_at=NOW - timedelta(hours=71, minutes=59))


@pytest.mark.parametrize(
    ("changes", "mail", "recipients", "reason"),
    [
        ({}, Correspondence(), HERE, ""),
        ({"state": ReminderState(OFTEN)}, Correspondence(), HERE, "maximum"),
        ({"state": ReminderState(paused_at=NOW, paused_why="x")}, Correspondence(), HERE, "paused"),
        ({"state": ReminderState(promised_on="2026-12-27")}, Correspondence(), HERE, "promised"),
        ({"state": ReminderState(promised_on="2026-12-26")}, Correspondence(), HERE, ""),
        ({"opted_out": True}, Correspondence(), HERE, "opted_out"),
        ({}, Correspondence(reply_at=NOW), HERE, "reply"),
        ({}, Correspondence(), {}, "no_address"),
        ({}, Correspondence(), {"ana@client.test": "bounced", "ion@client.test": "bounced"}, "bounced"),
        ({}, Correspondence(), {"ana@client.test": "bounced", "ion@client.test": ""}, ""),
        ({}, Correspondence(waiting=True), HERE, "waiting"),
        ({}, SENT, HERE, "recent"),
        ({}, replace(SENT, sent_at=NOW - timedelta(hours=72)), HERE, ""),
        ({}, replace(SENT, reminded=True), HERE, ""),  # three days ago, a minute later in the day
        ({}, replace(SENT, reminded=True, sent_at=NOW - timedelta(hours=50)), HERE, "recent"),
    ],
)  # fmt: skip
def test_what_stops_a_reminder(
    changes: dict[str, Any], mail: Correspondence, recipients: dict[str, str], reason: str
) -> None:
    said, why = stop(found(**changes), "late_payment_reminder", on(7, maximum=5), mail, recipients, NOW, ZONE, DUE)
    assert said == reason
    assert bool(why) == bool(reason) and "{" not in why


def test_every_reason_has_words() -> None:
    facts = dict.fromkeys("status what start next on count why addresses".split(), "so")
    for reason in WHY:
        assert "so" in because(reason, **facts).why or "{" not in WHY[reason]


@pytest.mark.parametrize(
    ("day", "hour", "utc"),
    [
        (date(2026, 10, 24), 9, "06:00"),
        (date(2026, 10, 25), 9, "07:00"),
        (date(2026, 10, 25), 3, "00:00"),  # twice on that day: the first
        (date(2026, 3, 28), 9, "07:00"),
        (date(2026, 3, 29), 9, "06:00"),
        (date(2026, 3, 29), 3, "01:00"),  # not on that day: what is four o'clock then
    ],
)
def test_the_hour_is_the_tenants_over_a_change_of_the_clock(day: date, hour: int, utc: str) -> None:
    assert f"{begins_at(day, hour, ZoneInfo('Europe/Bucharest')).astimezone(UTC):%H:%M}" == utc


def test_reminders_are_off_unless_a_tenant_turns_them_on() -> None:
    for template in REMINDING:
        assert not choice_of(template, {}).reminds
    changed = {("late_payment_reminder", ""): {"every_days": 7, "start": "2026-12-01"}}
    choice = choice_of("late_payment_reminder", changed)
    assert (choice.reminds, choice.every_days, choice.start, choice.maximum) == (True, 7, "2026-12-01", 10)

"""Limits on messages: whose they are, when they begin anew, and what a process keeps in mind of those reached."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.mail.reply import Refused
from gateway.outbound.control import Control
from gateway.outbound.limits import LimitReached, ReachedLimits, day_begins, ends_at, limits_of
from gateway.store.settings import PER_DAY, PER_HOUR, check_settings
from gateway.store.tenants import Tenant

CHISINAU = "Europe/Chisinau"
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ACME = Tenant("t1", "acme", "Acme", "ro", CHISINAU, "", "shared", {}, revision=3)


def reached(credential: str = "", revision: int = 3, until: datetime = NOON + timedelta(hours=1)) -> LimitReached:
    return LimitReached("Hourly limit of 1 reached", ("t1", credential, revision), until)


def test_a_message_keeps_to_the_limits_of_its_tenant_and_of_its_own_credential() -> None:
    options = {PER_DAY: 2000, "credential_limits": {"erp": {PER_HOUR: 10}, "shop": {PER_DAY: 5}}}
    assert [(one.credential, one.per, one.most) for one in limits_of(options, "erp")] == [
        ("", PER_DAY, 2000),
        ("erp", PER_HOUR, 10),
    ]
    assert [one.credential for one in limits_of(options, "cli")] == [""]
    assert limits_of({}, "erp") == []


@pytest.mark.parametrize(
    ("zone", "now", "begins", "ends"),
    [
        (CHISINAU, "2026-11-24T12:00", "2026-11-23T22:00", "2026-11-24T22:00"),
        (CHISINAU, "2026-11-23T22:00", "2026-11-23T22:00", "2026-11-24T22:00"),
        (CHISINAU, "2026-03-29T12:00", "2026-03-28T22:00", "2026-03-29T21:00"),  # 23 hours: summer time begins
        (CHISINAU, "2026-10-25T12:00", "2026-10-24T21:00", "2026-10-25T22:00"),  # 25 hours: it ends
        ("Asia/Kathmandu", "2026-11-24T12:00", "2026-11-23T18:15", "2026-11-24T18:15"),
        ("America/Santiago", "2026-09-06T12:00", "2026-09-06T04:00", "2026-09-07T03:00"),  # there midnight is skipped
    ],
)
def test_a_day_is_that_of_the_tenants_zone_over_changes_of_the_clock(
    zone: str, now: str, begins: str, ends: str
) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert f"{day_begins(at, zone):%Y-%m-%dT%H:%M}" == begins
    assert f"{ends_at(PER_DAY, at, zone):%Y-%m-%dT%H:%M}" == ends


def test_an_hour_is_one_of_the_clock() -> None:
    assert ends_at(PER_HOUR, NOON + timedelta(minutes=59), CHISINAU) == NOON + timedelta(hours=1)
    assert ends_at(PER_HOUR, NOON, CHISINAU) == NOON + timedelta(hours=1)


@pytest.mark.parametrize("credential", ["", "erp"])
def test_a_limit_known_to_be_reached_refuses_until_its_time(credential: str) -> None:
    known = ReachedLimits()
    known.check(ACME, "erp", Control(), NOON)
    assert known.remember(reached(credential))
    with pytest.raises(LimitReached, match="Hourly limit of 1 reached"):
        known.check(ACME, "erp", Control(), NOON + timedelta(minutes=59))
    known.check(ACME, "erp", Control(), NOON + timedelta(hours=1))
    known.check(ACME, "erp", Control(), NOON + timedelta(minutes=1))  # and is forgotten then


def test_of_another_credential_or_of_older_settings_it_refuses_nothing() -> None:
    known = ReachedLimits()
    known.remember(reached("shop"))
    known.remember(reached("", revision=2))
    known.check(ACME, "erp", Control(), NOON)


@pytest.mark.parametrize(
    "control",
    [
        Control(force=frozenset({"limit"})),
        Control(test=True),
        Control(event="invoice.issued"),
        Control(template="none"),
        Control(idempotency_key="k"),
    ],
)
def test_what_may_not_count_is_decided_in_the_transaction(control: Control) -> None:
    known = ReachedLimits()
    known.remember(reached())
    known.check(ACME, "erp", control, NOON)


def test_a_limit_is_news_once_in_its_time() -> None:
    known = ReachedLimits()
    assert known.remember(reached())
    assert not known.remember(reached())
    assert known.remember(reached("erp"))
    assert known.remember(reached(until=NOON + timedelta(hours=2)))


@pytest.mark.parametrize("value", [0, -1, 10**9, "10", 1.5, True])
def test_a_limit_is_a_whole_number_above_zero(value: object) -> None:
    for options in ({PER_HOUR: value}, {"credential_limits": {"erp": {PER_DAY: value}}}):
        with pytest.raises(Refused, match="is not a number of 1 to"):
            check_settings({"options": options})
    check_settings({"options": {PER_HOUR: 1, PER_DAY: None, "credential_limits": None}})

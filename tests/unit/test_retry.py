"""How soon and how long mail is tried: the house's policy, a tenant's, a route's; and a mail's own end."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from gateway.cli.durations import say_duration
from gateway.cli.queue_summary import by_domain
from gateway.mail.message import read_head
from gateway.mail.reply import Refused
from gateway.outbound.control import Control, read_control
from gateway.outbound.queue_list import Waiting
from gateway.outbound.retry import Retry
from gateway.store.settings import check_settings

CHISINAU = "Europe/Chisinau"
NOON = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
HOUSE = Retry(first=300, longest=14_400, expire=432_000)
DAY = 86_400


def control(value: str) -> Control:
    return read_control(read_head(f"X-AR-Expires: {value}\r\n\r\n".encode()))


@pytest.mark.parametrize(
    ("options", "route", "first", "longest", "expire"),
    [
        ({}, "direct", 300, 14_400, 432_000),
        ({"retry_first": 60, "expire": DAY}, "smtp", 60, 14_400, DAY),
        ({"expire": DAY, "route_retry": {"smtp": {"expire": 3600}}}, "smtp", 300, 14_400, 3600),
        ({"expire": DAY, "route_retry": {"smtp": {"expire": 3600}}}, "direct", 300, 14_400, DAY),
        ({"retry_first": 20_000}, "", 20_000, 20_000, 432_000),  # the longest wait is never below the first
    ],
)
def test_a_tenant_and_its_route_differ_from_the_house_where_they_say_so(
    options: dict[str, Any], route: str, first: int, longest: int, expire: int
) -> None:
    found = HOUSE.chosen(options, route)
    assert (found.first, found.longest, found.expire) == (first, longest, expire)
    assert (found.growth, found.unclear, found.late) == (HOUSE.growth, HOUSE.unclear, HOUSE.late)


@pytest.mark.parametrize(
    "options",
    [
        {"retry_first": 1},
        {"retry_longest": 10**9},
        {"expire": 60},
        {"expire": "1d"},
        {"expire": True},
        {"route_retry": {"smtp": {"expire": 5}}},
    ],
)
def test_a_policy_that_would_hammer_or_never_end_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="seconds"):
        check_settings({"options": options})
    check_settings({"options": {"retry_first": 10, "expire": 30 * DAY, "route_retry": {"smtp": {"expire": 600}}}})
    check_settings({"options": {"retry_first": None, "route_retry": None}})


@pytest.mark.parametrize(
    ("value", "read", "ends"),
    [
        ("2d", timedelta(days=2), "2026-11-26T10:00"),
        ("90m", timedelta(minutes=90), "2026-11-24T11:30"),
        ("2026-12-08", date(2026, 12, 8), "2026-12-08T22:00"),  # the end of the day, where the tenant is
        ("2026-11-24T18:00:00+02:00", datetime(2026, 11, 24, 16, 0, tzinfo=UTC), "2026-11-24T16:00"),
        ("2026-11-24T16:00:00Z", datetime(2026, 11, 24, 16, 0, tzinfo=UTC), "2026-11-24T16:00"),
    ],
)
def test_a_mail_says_until_when_it_means_something(value: str, read: object, ends: str) -> None:
    found = control(value)
    assert found.expires == read
    assert found.ends(NOON, CHISINAU) == datetime.fromisoformat(ends).replace(tzinfo=UTC)


@pytest.mark.parametrize("value", ["soon", "0s", "31d", "2026-12-08T18:00:00", "2026-13-01", "-1d", ""])
def test_an_end_that_is_none_is_refused_with_the_right_form(value: str) -> None:
    with pytest.raises(Refused, match=r'X-AR-Expires "[^"]*" is not a day, .* write 2026-12-08, .* or 2d'):
        control(value)


@pytest.mark.parametrize("value", ["2026-11-23", "2026-11-24T10:00:00Z"])
def test_an_end_that_is_over_when_the_mail_would_go_is_refused(value: str) -> None:
    with pytest.raises(Refused, match="give a later time"):
        control(value).ends(NOON, CHISINAU)
    assert Control().ends(NOON, CHISINAU) is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0s"), (300, "5m"), (7200, "2h"), (7_265, "2h 1m"), (432_000, "5d"), (90_061, "1d 1h")]
)
def test_a_length_of_time_is_said_in_two_units_at_the_most(seconds: int, said: str) -> None:
    assert say_duration(seconds) == said


def _waiting(domain: str, hold: str = "", reason: str = "", count: int = 1, **more: Any) -> Waiting:
    values: dict[str, Any] = {"under_way": 0, "ahead": 0, "words": "", "host": "", "oldest": NOON} | more
    return Waiting(domain, hold, reason, count, next_attempt_at=NOON + timedelta(hours=count), **values)


def test_a_summary_says_by_domain_what_waits_and_why_the_fullest_first() -> None:
    rows = by_domain(
        [
            _waiting("a.test", reason="greylisted", count=2, words="come back", host="mx.a.test [192.0.2.1]"),
            _waiting("b.test", reason="unreachable", count=7, words="no answer", oldest=NOON - timedelta(hours=3)),
            _waiting("b.test", count=6, under_way=1, ahead=3),
            _waiting("b.test", hold="the amount is wrong", count=1),
            _waiting("c.test", hold="wait", count=4),
        ]
    )
    assert [(row["domain"], row["waiting"], row["held"]) for row in rows] == [
        ("b.test", 13, 1),
        ("c.test", 0, 4),
        ("a.test", 2, 0),
    ]
    assert rows[0]["why"] == {"unreachable": 7, "for later": 3, "not tried yet": 2, "being sent": 1, "held": 1}
    assert (rows[0]["oldest"], rows[0]["words"]) == (NOON - timedelta(hours=3), "no answer")
    assert (rows[1]["next_attempt_at"], rows[1]["words"]) == (None, "wait")
    assert rows[2]["words"] == "mx.a.test: come back"

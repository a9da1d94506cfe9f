"""MTA-STS: records and policies are read as RFC 8461 says, whatever somebody wrote into them."""

import random

import pytest

from gateway.outbound.mta_sts import LONGEST_AGE, Policy, read_policy, read_record

GOOD = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=STSv1;id=1"], "1"),
        (["v = STSv1 ; id = abc ; more=x"], "abc"),
        (["v=spf1 -all", "v=STSv1; id=2"], "2"),
        ([], ""),
        (["v=STSv1; id=1", "v=STSv1; id=2"], ""),  # §3.1: several are none
        (["v=STSv1; id=with-dash"], ""),
        (["v=STSv1; id=" + "a" * 33], ""),
        (["v=STSv1; id="], ""),
        (["v=STSv1"], ""),
        (["v=STSv2; id=1"], ""),
        (["v=STSv10; id=1"], ""),
        (["id=1; v=STSv1"], ""),  # the version comes first
        (["V=STSV1; id=1"], ""),
    ],
)
def test_a_record_gives_the_id_of_a_policy_or_nothing(texts: list[str], found: str) -> None:
    assert read_record(texts) == found


def test_a_policy_is_read_with_either_line_end() -> None:
    policy = Policy("enforce", ("mail.example.com", "*.example.net"), 604800)
    assert read_policy(GOOD) == policy
    assert read_policy(GOOD.replace("\r\n", "\n").rstrip()) == policy
    assert read_policy(GOOD.replace(": ", ":\t ") + "\r\nextension-1: whatever: it says\r\n") == policy


def test_of_a_repeated_field_the_first_counts() -> None:
    assert read_policy(GOOD + "mode: none\r\nmax_age: 1\r\n") == read_policy(GOOD)


def test_an_age_is_bounded_to_a_year() -> None:
    assert read_policy(GOOD.replace("604800", "9999999999")).max_age == LONGEST_AGE


def test_a_policy_of_mode_none_needs_no_mx() -> None:
    assert read_policy("version: STSv1\nmode: none\nmax_age: 86400\n") == Policy("none", (), 86400)


@pytest.mark.parametrize(
    "change",
    [
        ("STSv1", "STSv2"),
        ("version: STSv1\r\n", ""),
        ("enforce", "Enforce"),
        ("enforce", "strict"),
        ("mode: enforce\r\n", ""),
        ("604800", "-1"),
        ("604800", "1e9"),
        ("604800", "12345678901"),
        ("604800", "\u0661"),  # a digit to Python, none to anybody else
        ("max_age: 604800", ""),
        ("mx: mail.example.com\r\nmx: *.example.net\r\n", ""),
        ("mail.example.com", "*"),
        ("mail.example.com", "*.com"),
        ("mail.example.com", "mail.*.example.com"),
        ("mail.example.com", "mail.example.com,mx.evil.test"),
        ("mail.example.com", "-x.example.com"),
        ("mail.example.com", "пошта.example.com"),
        ("mail.example.com", ("a" * 60 + ".") * 5 + "com"),
        ("mode: enforce", "mode enforce"),
        ("mode: enforce", "<html>"),
        ("mode: enforce", "mode: enforce\x00"),
    ],
)
def test_what_is_no_policy_is_refused(change: tuple[str, str]) -> None:
    text = GOOD.replace(*change)
    with pytest.raises(ValueError):
        read_policy(text)


def test_too_many_patterns_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 100"):
        read_policy(GOOD + "".join(f"mx: mx{n}.example.com\r\n" for n in range(100)))


def test_no_text_does_more_than_be_refused() -> None:
    dice = random.Random(8461)
    pieces = [*GOOD.split("\r\n"), "\r", "\n", ":", " ", "\x00", "mx:", "*.", "é", "max_age:" + "9" * 400]
    for _ in range(3000):
        text = "\r\n".join(dice.choices(pieces, k=dice.randint(0, 9)))
        try:
            policy = read_policy(text)
        except ValueError:
            continue
        assert policy.mode in ("enforce", "testing", "none") and 0 <= policy.max_age <= LONGEST_AGE


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mail.example.com", True),
        ("MAIL.Example.COM.", True),
        ("mx.example.net", True),
        ("a.mx.example.net", False),  # one label only
        ("example.net", False),
        (".example.net", False),
        ("mail.example.com.evil.test", False),
        ("evilmail.example.com", False),
        ("xexample.net", False),
        ("", False),
    ],
)
def test_a_pattern_allows_its_hosts_and_no_others(host: str, allowed: bool) -> None:
    assert read_policy(GOOD).allows(host) is allowed

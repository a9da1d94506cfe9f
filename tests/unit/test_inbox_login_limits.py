"""Tries to log in are counted per address and per e-mail, given back when right, and remembered in bounded memory."""

from datetime import UTC, datetime, timedelta

from gateway.web.login_limits import Limit, LoginLimits, network_of

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_an_address_waits_after_its_tries_are_used_up_whatever_the_email() -> None:
    limits = LoginLimits((Limit(3, MINUTE),), (Limit(100, MINUTE),))
    assert [limits.take("192.0.2.1", f"{n}@x.example", NOW) for n in range(3)] == [0, 0, 0]
    assert limits.take("192.0.2.1", "new@x.example", NOW) == 61
    assert limits.take("192.0.2.2", "new@x.example", NOW) == 0
    assert limits.take("192.0.2.1", "new@x.example", NOW + MINUTE) == 0


def test_an_email_waits_whatever_the_address_and_however_it_is_spelled() -> None:
    limits = LoginLimits((Limit(100, MINUTE),), (Limit(2, MINUTE),))
    assert limits.take("192.0.2.1", "Ana@x.example", NOW) == limits.take("192.0.2.2", "ana@X.example", NOW) == 0
    assert limits.take("192.0.2.3", "ana@x.example", NOW) > 0


def test_a_refused_try_does_not_lengthen_the_wait() -> None:
    limits = LoginLimits((Limit(1, MINUTE),), (Limit(100, MINUTE),))
    limits.take("192.0.2.1", "a", NOW)
    later = NOW + timedelta(seconds=50)
    assert limits.take("192.0.2.1", "a", later) == limits.take("192.0.2.1", "a", later) == 11


def test_a_right_try_is_given_back() -> None:
    limits = LoginLimits((Limit(1, MINUTE),), (Limit(1, MINUTE),))
    for _ in range(5):
        assert limits.take("192.0.2.1", "a@x.example", NOW) == 0
        limits.give_back("192.0.2.1", "a@x.example")


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    limits = LoginLimits((Limit(1, MINUTE),), (Limit(1, MINUTE),), remembered=10)
    for n in range(1000):
        limits.take(f"10.0.{n // 250}.{n % 250}", f"{n}@x.example", NOW)
    assert len(limits._tries) == 10
    assert limits.take("10.0.3.249", "other@x.example", NOW) > 0


def test_an_ipv6_host_is_its_network_and_a_mapped_address_its_ipv4() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")

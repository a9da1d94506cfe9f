"""How often a client may do a thing: bursts, pace, what an answer promises, and memory."""

from gateway.config import Config, Receiver
from gateway.serve.seat import Seat, seat_config
from gateway.wire.rates import KNOWN_ADDRESSES, Rate


def test_a_burst_is_taken_and_then_one_at_the_pace_that_was_set() -> None:
    rate = Rate(6)
    assert [rate.take("a", 100.0) for _ in range(8)] == [0, 0, 0, 0, 0, 0, 10, 10]
    assert rate.take("b", 100.0) == 0
    assert [rate.take("a", now) for now in (109.0, 110.0, 110.0)] == [1, 0, 10]
    assert [rate.take("a", 1000.0) for _ in range(7)] == [0] * 6 + [10]


def test_who_comes_back_when_told_is_taken() -> None:
    rate, now = Rate(7), 0.0
    for _ in range(50):
        wait = rate.take("a", now)
        if wait:
            now += wait
            assert rate.take("a", now) == 0


def test_asking_again_and_again_costs_nothing_and_gains_nothing() -> None:
    rate = Rate(1)
    assert rate.take("a", 0.0) == 0
    taken = sum(rate.take("a", second / 10) == 0 for second in range(1, 1800))
    assert taken == 2


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    rate = Rate(60)
    for _ in range(60):
        rate.take("a", 1_000_000.0)
    assert rate.take("a", 5.0) == 1
    assert rate.take("a", 6.0) == 0


def test_zero_is_no_limit_in_every_seat_too() -> None:
    assert [Rate(0).take("a", 0.0) for _ in range(1000)] == [0] * 1000
    receiver = seat_config(Config(receiver=Receiver(messages_per_minute=0)), Seat(2, 4)).receiver
    assert (receiver.messages_per_minute, receiver.connections_per_minute) == (0, 75)


def test_memory_is_bounded_and_the_longest_unheard_is_forgotten() -> None:
    rate = Rate(1)
    for number in range(KNOWN_ADDRESSES + 1):
        rate.take(str(number), 0.0)
    assert rate.take("1", 0.0) == 60
    assert rate.take("0", 0.0) == 0

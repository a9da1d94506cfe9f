"""Room for one more message: what those in flight hold is counted to the byte and let go; the disk is asked seldom."""

from pathlib import Path

import pytest

from gateway.wire.capacity import LOOK_SECONDS, NO_DISK, NO_MEMORY, Capacity
from gateway.wire.smtp_data import DataReader


def fed(capacity: Capacity, wire: bytes, chunk: int, most: int = 10_000) -> DataReader:
    reader = DataReader(most, 1000, capacity)
    for at in range(0, len(wire), chunk):
        reader.feed(wire[at : at + chunk])
    return reader


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_a_message_holds_its_bytes_until_it_is_let_go(chunk: int) -> None:
    capacity = Capacity(memory=10_000)
    reader = fed(capacity, b"Subject: x\r\n\r\nhello\r\n.\r\n", chunk)
    raw = reader.take()
    assert capacity.held == len(raw) + 2  # as if a line had just ended
    reader.let_go()
    reader.let_go()
    assert capacity.held == 0


@pytest.mark.parametrize("chunk", [1, 100, 4096])
def test_a_message_that_outgrows_the_memory_is_refused_and_holds_nothing(chunk: int) -> None:
    capacity = Capacity(memory=1000)
    reader = fed(capacity, b"a: b\r\n\r\n" + b"x" * 2000 + b"\r\n.\r\n", chunk)
    assert (reader.done, reader.refusal, capacity.held) == (True, NO_MEMORY, 0)


def test_a_message_over_its_own_limit_gives_its_memory_back_at_once() -> None:
    capacity = Capacity(memory=100_000)
    reader = fed(capacity, b"a: b\r\n\r\n" + b"x" * 20_000, 1000)
    assert reader.refusal is not None and reader.refusal.code == 552
    assert capacity.held == 0


def test_none_begins_when_three_quarters_are_held_or_it_says_that_it_is_larger_than_the_rest() -> None:
    capacity = Capacity(memory=1000)
    assert capacity.hold(700)
    assert capacity.refusal(0, 0) is None
    assert capacity.refusal(51, 0) == NO_MEMORY
    assert capacity.hold(51)
    assert capacity.refusal(0, 0) == NO_MEMORY
    assert capacity.hold(249) and not capacity.hold(1)


def test_without_a_bound_everything_has_room() -> None:
    capacity = Capacity()
    assert capacity.hold(2**50) and capacity.refusal(2**50, 0) is None


def test_a_disk_that_is_nearly_full_refuses_what_would_fill_it(tmp_path: Path) -> None:
    assert Capacity(0, tmp_path, 2**60).refusal(0, 0) == NO_DISK
    assert Capacity(0, tmp_path, 1).refusal(0, 0) is None
    assert Capacity(0, tmp_path, 1).refusal(2**60, 0) == NO_DISK


def test_what_came_since_the_disk_was_asked_counts(tmp_path: Path) -> None:
    capacity = Capacity(0, tmp_path, 1)
    assert capacity.refusal(0, 0) is None
    capacity.hold(2**60)
    assert capacity.refusal(0, LOOK_SECONDS / 2) == NO_DISK
    assert capacity.refusal(0, LOOK_SECONDS) is None


def test_a_disk_that_does_not_answer_refuses_nothing(tmp_path: Path) -> None:
    assert Capacity(0, tmp_path / "gone", 2**40).refusal(0, 0) is None

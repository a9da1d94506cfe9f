"""The stages of a pull: parts that are bounded, and one step ahead of who asks, never more."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from gateway.inbound.imap_pull import ahead
from gateway.inbound.imap_reading import parts


def test_parts_are_bounded_by_mails_and_by_bytes_and_a_large_mail_is_one_alone() -> None:
    sizes = {1: 10, 2: 10, 3: 500, 4: 1, 5: 0, 6: 1, 7: 1, 8: 1}  # 5 was expunged
    assert list(parts(sizes, 3, 100)) == [[1, 2], [3], [4, 5, 6], [7, 8]]
    assert list(parts({}, 3, 100)) == []


async def _counted(begun: list[int], ended: list[str], fail_at: int = -1) -> AsyncGenerator[int]:
    try:
        for number in range(1, 6):
            begun.append(number)
            await asyncio.sleep(0)
            if number == fail_at:
                raise ValueError(number)
            yield number
    finally:
        ended.append("ended")


def test_the_next_is_at_work_while_one_is_spent_and_no_further() -> None:
    async def run() -> None:
        begun: list[int] = []
        ended: list[str] = []
        seen = []
        async for number in ahead(_counted(begun, ended)):
            for _ in range(5):
                await asyncio.sleep(0)
            seen.append(number)
            assert begun[-1] == min(number + 1, 5)
        assert seen == [1, 2, 3, 4, 5] and ended == ["ended"]

    asyncio.run(run())


def test_what_came_before_a_fault_is_spent_first_and_whoever_leaves_early_leaves_nothing_running() -> None:
    async def run() -> None:
        begun: list[int] = []
        ended: list[str] = []
        seen = []
        with pytest.raises(ValueError, match="3"):
            async for number in ahead(_counted(begun, ended, fail_at=3)):
                seen.append(number)
        assert seen == [1, 2] and ended == ["ended"]
        source = ahead(_counted(begun, ended))
        assert await anext(source) == 1
        await source.aclose()
        assert ended == ["ended", "ended"] and len(asyncio.all_tasks()) == 1

    asyncio.run(run())

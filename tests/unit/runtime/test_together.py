"""Several coroutines at once, of which one failure is enough."""

from __future__ import annotations

import asyncio

import pytest
from rushes_runtime.together import together


async def test_answers_come_in_the_order_of_the_works_and_not_of_their_ends() -> None:
    async def after(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    assert await together(after(0.02), after(0.0), after(0.01)) == [0.02, 0.0, 0.01]


async def test_one_failure_ends_the_others_and_comes_without_the_groups_around_it() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("the other")

    async def fail() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await together(wait(), fail())
    assert ended == ["the other"]

"""Threads that do short pieces of work for an event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest
from rushes_syncer.crew import Crew, crew


def _fail() -> None:
    raise ZeroDivisionError


async def test_each_gets_the_answer_or_the_failure_of_its_own_piece() -> None:
    pieces = [crew().do(lambda number=number: number * 2) for number in range(500)]  # type: ignore[misc]
    answers = await asyncio.gather(*pieces, crew().do(_fail), return_exceptions=True)
    assert answers[:-1] == [number * 2 for number in range(500)]
    assert isinstance(answers[-1], ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        await crew().do(_fail)


async def test_a_slow_piece_holds_up_no_other_and_one_that_is_given_up_is_not_begun() -> None:
    own = Crew(asyncio.get_running_loop())
    go_on = threading.Event()
    slow = [asyncio.create_task(own.do(go_on.wait)) for _ in range(31)]
    assert await own.do(lambda: "quick") == "quick"
    slow.append(asyncio.create_task(own.do(go_on.wait)))
    begun: list[int] = []
    given_up = asyncio.create_task(own.do(lambda: begun.append(1)))
    await asyncio.sleep(0)
    given_up.cancel()
    go_on.set()
    assert await asyncio.gather(*slow) == [True] * 32
    assert await own.do(lambda: begun) == []

"""How many requests an endpoint gets at once."""

from __future__ import annotations

import asyncio

import pytest
from rushes_runtime.store import StoreBusyError
from rushes_runtime.store.memory import Memory
from rushes_runtime.store.window import Pace, Window


def test_a_refusal_halves_the_window_and_a_windowful_of_answers_widens_it_by_one() -> None:
    pace = Pace(most=16)
    pace.refused(pace.begin())
    assert pace.width == 8
    for _ in range(9):
        pace.answered()
    assert pace.width == 9


def test_requests_that_were_refused_together_count_once() -> None:
    pace = Pace(most=16)
    together = [pace.begin() for _ in range(16)]
    for began in together:
        pace.refused(began)
    assert pace.width == 8


def test_a_window_is_never_shut_and_never_wider_than_its_most() -> None:
    pace = Pace(most=3)
    for _ in range(10):
        pace.refused(pace.begin())
    assert pace.width == 1
    for _ in range(100):
        pace.answered()
    assert pace.width == 3


async def test_no_more_requests_are_under_way_than_the_window_is_wide() -> None:
    window = Window("S3", Pace(most=4))
    under_way, most = 0, 0

    async def request(store: str | None = None) -> None:
        nonlocal under_way, most
        async with window.request():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            if store:
                raise StoreBusyError("slow down", store)

    await asyncio.gather(*(request() for _ in range(20)))
    assert most == 4
    for store, width in (("another", 4), ("S3", 2)):
        with pytest.raises(StoreBusyError):
            await request(store)
        assert window.pace.width == width
    most = 0
    await asyncio.gather(*(request() for _ in range(2)))
    assert most == 2


async def test_whoever_gives_up_waiting_takes_no_room() -> None:
    window = Window("S3", Pace(most=1))
    release = asyncio.Event()

    async def hold() -> None:
        async with window.request():
            await release.wait()

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(hold()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    release.set()
    await asyncio.sleep(0)
    waiting[1].cancel()  # its turn may have come already
    await asyncio.gather(holding, *waiting, return_exceptions=True)
    async with asyncio.timeout(30), window.request():
        pass


async def test_transfers_wait_for_memory_and_a_greedy_one_gets_all_of_it_alone() -> None:
    memory = Memory(total=10)
    first = await memory.borrow(6)
    greedy = asyncio.create_task(memory.borrow(1000))
    await asyncio.sleep(0)
    assert not greedy.done()
    await memory.give_back(first)
    assert await greedy == 10

"""Waiting that ends early."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def wait_or_stop(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `seconds`, or until `stop`; whether it was `stop`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


class Hint:
    """Wakes a loop before its next poll. Missing one costs a poll interval, never correctness."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def give(self) -> None:
        """Wake the loop."""
        self._event.set()

    async def wait(self, stop: asyncio.Event, seconds: float) -> None:
        """Wait for a hint, for `stop`, or for `seconds`."""
        waits = [asyncio.create_task(self._event.wait()), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        self._event.clear()

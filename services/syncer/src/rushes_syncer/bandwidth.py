"""How many bytes a second all copies of a process may move."""

from __future__ import annotations

import asyncio
import time


class Bandwidth:
    """A limit that all copies share. Whoever moved bytes waits until the limit has room for them."""

    def __init__(self, limit: float | None) -> None:
        """Args:
        limit: bytes a second; None: none.
        """
        self._limit = limit
        self._free_from = time.monotonic()

    def owed(self, moved: int, now: float) -> float:
        """Seconds to wait after so many more bytes.

        Args:
            now: by a clock that only goes on, in seconds.
        """
        if self._limit is None:
            return 0.0
        self._free_from = max(self._free_from, now) + moved / self._limit
        return self._free_from - now

    async def spend(self, moved: int) -> None:
        """Wait after so many bytes were read."""
        if wait := self.owed(moved, time.monotonic()):
            await asyncio.sleep(wait)


UNLIMITED = Bandwidth(None)

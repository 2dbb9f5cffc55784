"""How many requests a caller may make."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

_KEPT: Final = 10_000  # callers; those that have not asked for long go first


class RateLimit:
    """A bucket for each caller, which holds `burst` requests and fills again at a steady rate."""

    def __init__(self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def __contains__(self, caller: str) -> bool:
        """Whether the caller has asked before, and not so many others since that it was forgotten."""
        return caller in self._buckets

    def wait(self, caller: str) -> int:
        """Seconds after which there is a request to take; 0: there is one now."""
        held = self._held(caller)
        return 0 if held >= 1 else math.ceil((1 - held) / self._per_second)

    def take(self, caller: str) -> int:
        """Take a request out of the caller's bucket: 0, or seconds after which there is one to take."""
        wait = self.wait(caller)
        held = self._held(caller) - (0 if wait else 1)
        self._buckets.pop(caller, None)
        self._buckets[caller] = (held, self._clock())  # put last: the first has not asked for longest
        if len(self._buckets) > _KEPT:
            del self._buckets[next(iter(self._buckets))]
        return wait

    def _held(self, caller: str) -> float:
        now = self._clock()
        held, since = self._buckets.get(caller, (self._burst, now))
        return min(self._burst, held + (now - since) * self._per_second)

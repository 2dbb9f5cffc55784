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

    def take(self, caller: str) -> int:
        """Take a request out of the caller's bucket: 0, or seconds after which there is one to take."""
        now = self._clock()
        held, since = self._buckets.pop(caller, (float(self._burst), now))
        held = min(self._burst, held + (now - since) * self._per_second)
        allowed = held >= 1
        self._buckets[caller] = (held - 1 if allowed else held, now)  # put last: the first has not asked for longest
        if len(self._buckets) > _KEPT:
            del self._buckets[next(iter(self._buckets))]
        return 0 if allowed else math.ceil((1 - held) / self._per_second)

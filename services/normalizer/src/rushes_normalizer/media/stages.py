"""What a job is doing, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    """What a job is doing."""

    PROBING = "probing"
    ENCODING = "encoding"
    PICTURES = "pictures"
    VERIFYING = "verifying"


Progress = Callable[[Stage, float], None]

# Where each stage lies in the whole job. A movie's pictures are made while it is encoded; only uploads draw them apart.
_SPANS: Final = {
    Stage.PROBING: (0.0, 0.02),
    Stage.ENCODING: (0.02, 0.90),
    Stage.PICTURES: (0.90, 0.92),
    Stage.VERIFYING: (0.92, 1.0),
}
_ORDER: Final = list(Stage)
_SECONDS_BETWEEN: Final = 0.25


class Report:
    """Passes progress on: never falling, and a few times a second however often it is told.

    Being called is a sign of life: a watchdog sees that frames still come, even where the fraction stands still.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage = Stage.PROBING
        self._fraction = 0.0
        self._said_at: float | None = None

    def at(self, stage: Stage, share: float = 0.0) -> None:
        """Say that `share` (0 to 1) of a stage is done."""
        begin, end = _SPANS[stage]
        self._fraction = max(self._fraction, begin + (end - begin) * min(1.0, share))
        now = time.monotonic()
        later = _ORDER.index(stage) > _ORDER.index(self._stage)
        if later:
            self._stage = stage
        if later or self._said_at is None or self._fraction == 1.0 or now - self._said_at >= _SECONDS_BETWEEN:
            self._said_at = now
            self._progress(self._stage, self._fraction)

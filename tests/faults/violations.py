"""Promises, and how one that does not hold is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROMISES: Final = ("stuck", "lost", "invented", "false_missing", "out_of_order")


@dataclass(frozen=True)
class Violation:
    """A promise that does not hold. `check` names what has found it."""

    promise: str
    check: str
    preview: str
    seen: str

    def __str__(self) -> str:
        return f"{self.promise} ({self.check}): preview {self.preview}: {self.seen}"

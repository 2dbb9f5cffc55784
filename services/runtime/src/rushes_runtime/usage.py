"""What an attempt's children used, gathered wherever in the attempt they are started."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass
class Usage:
    """Processor time of all children, in seconds, and the memory of the largest, in bytes, where it is known."""

    cpu_seconds: float = 0.0
    peak_memory: int | None = None

    def add(self, cpu_seconds: float, peak_memory: int | None) -> None:
        """A child has ended."""
        self.cpu_seconds += cpu_seconds
        if peak_memory is not None:
            self.peak_memory = max(self.peak_memory or 0, peak_memory)


# Of the attempt that runs in this context; a worker sets it, and tasks that an attempt starts inherit it.
USAGE: Final[ContextVar[Usage | None]] = ContextVar("usage", default=None)

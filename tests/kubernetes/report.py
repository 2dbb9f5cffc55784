"""One line for each step: what was seen, and in how many seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Step:
    """A step that runs; `saw` adds to its line."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def saw(self, what: str) -> None:
        """Add a figure."""
        self.seen.append(what)


class Report:
    """Prints steps as they end."""

    def __init__(self) -> None:
        self.steps = 0

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a step; one that raises is said to have failed, and raises."""
        started = time.monotonic()
        step = Step()
        outcome = "FAILED"
        try:
            yield step
            self.steps += 1
            outcome = "ok"
        finally:
            seconds = time.monotonic() - started
            print(f"{outcome:<6} {seconds:6.1f} s  {name}{''.join(f'; {seen}' for seen in step.seen)}", flush=True)

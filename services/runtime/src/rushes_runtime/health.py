"""What a process knows of its own health, for probes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Health:
    """Started, ready, and the pulses of the loops that must tick.

    A busy worker stays ready: the control plane would kill it first.
    """

    running: bool = False
    draining: bool = False
    waiting_for: dict[str, str] = field(default_factory=dict)
    to_join: set[str] = field(default_factory=set)  # consumer groups that this process has not been in yet
    _pulses: dict[str, tuple[float, float]] = field(default_factory=dict)

    def beat(self, loop: str, *, within: float) -> None:
        """A loop ticked, and will tick again within so many seconds."""
        self._pulses[loop] = (time.monotonic(), within)

    def ended(self, loop: str) -> None:
        """A loop ended as it should."""
        self._pulses.pop(loop, None)

    def silent_loops(self) -> list[str]:
        """The loops that ought to have ticked."""
        now = time.monotonic()
        return [loop for loop, (at, within) in self._pulses.items() if now - at > within]

    @property
    def started(self) -> bool:
        """Whether the roles run and every consumer group was joined, once: a rebalance later is no new start."""
        return self.running and not self.to_join

    @property
    def ready(self) -> bool:
        """Whether this process takes part in the work."""
        return self.started and not self.draining

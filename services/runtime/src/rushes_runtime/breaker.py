"""When a store counts as down, and when to look at it again: a state machine without a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BreakerPolicy:
    """When a circuit opens, and how long it waits.

    Attributes:
        failures: in a row, after which it opens.
        window: seconds that they must lie within.
        first_wait: seconds before the first probe; doubles with each that fails.
        longest_wait: seconds between two probes.
    """

    failures: int
    window: float
    first_wait: float
    longest_wait: float


@dataclass
class Breaker:
    """The circuit to one store: closed while it works, open while it is down.

    It is told of looks at the store alone, never of a failed job: one bad object opens nothing. Each `now` is in
    seconds of one monotonic clock.
    """

    policy: BreakerPolicy
    _row: list[float] = field(default_factory=list)
    _wait: float | None = None
    _probe_at: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether nothing that needs the store should be begun."""
        return self._wait is not None

    def probe_in(self, now: float) -> float:
        """Seconds until an open circuit's next probe; 0 once it is due."""
        return max(0.0, self._probe_at - now)

    def shown(self) -> None:
        """A look found the store whole."""
        self._row.clear()
        self._wait = None

    def not_shown(self, now: float, jitter: float) -> None:
        """A look did not find the store whole.

        Args:
            jitter: 0 to 1, shortens the wait by up to a half so that workers do not probe all at once.
        """
        if self._wait is None:
            self._row = [*(at for at in self._row if now - at < self.policy.window), now]
            if len(self._row) < self.policy.failures:
                return
        self.trip(now, jitter)

    def trip(self, now: float, jitter: float) -> None:
        """Open the circuit, or let an open one wait for twice as long."""
        wait = self.policy.first_wait if self._wait is None else 2 * self._wait
        self._wait = min(wait, self.policy.longest_wait)
        self._probe_at = now + self._wait * (1 - jitter / 2)

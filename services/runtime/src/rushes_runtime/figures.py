"""Figures that only the database knows: sampled by one process of a service on a timer, never by a scrape.

Counts of a long queue take time. However long it is, they keep one connection busy for a twentieth of the time at most:
with a million jobs they come twice a minute rather than at each round.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_runtime import metrics
from rushes_runtime.database import Database

SHARE_OF_TIME: Final = 0.05

# Each is one entry of an index, however long queue and outbox are.
_AT_ONCE: Final = """
    SELECT coalesce(extract(epoch FROM now() - (
            SELECT created_at FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT 1)), 0) AS outbox_oldest,
        greatest(0, coalesce(extract(epoch FROM now() - (
            SELECT lease_until FROM task WHERE state = 'running' ORDER BY lease_until LIMIT 1)), 0)) AS lease_overdue"""
# By the indexes of what waits and of what runs: what has ended is not read.
_TASKS: Final = """
    SELECT state, lane, CASE WHEN batched THEN 'batched' WHEN large THEN 'large' ELSE 'ordinary' END AS queue,
        count(*) AS tasks, coalesce(extract(epoch FROM max(waited)), 0) AS oldest
    FROM (SELECT state, lane, batched, large, CASE WHEN NOT deferred THEN now() - available_at END AS waited
          FROM task WHERE state = 'queued'
          UNION ALL SELECT state, lane, batched, large, NULL FROM task WHERE state = 'running') AS open
    GROUP BY state, lane, queue"""
_OUTBOX: Final = "SELECT count(*) AS pending FROM outbox WHERE sent_at IS NULL"


@dataclass(frozen=True)
class Figure:
    """A value of a gauge.

    Attributes:
        passes: it is of something that may go. What is measured no more is shown no more; else it is 0 from then on.
    """

    gauge: Gauge
    value: float
    labels: tuple[str, ...] = ()
    passes: bool = False


Measure = Callable[[AsyncConnection], Awaitable[Sequence[Figure]]]


class Figures:
    """The gauges of what the database knows, in the process that samples it."""

    def __init__(self, database: Database, measure: Measure) -> None:
        """
        Args:
            measure: a service's own figures, each of which may take as long as a count of all its rows.
        """
        self._database = database
        self._measure = measure
        self._count_from = 0.0
        self._shown: set[tuple[Gauge, tuple[str, ...]]] = set()
        self._passing: set[tuple[Gauge, tuple[str, ...]]] = set()

    async def sample(self) -> None:
        """Look at what takes no time, and count what takes some if its time has come."""
        (now,) = await self._database.fetch(_AT_ONCE)
        metrics.OUTBOX_OLDEST.set(float(now.outbox_oldest))
        metrics.LEASE_OVERDUE.set(float(now.lease_overdue))
        if time.monotonic() >= self._count_from:
            began = time.monotonic()
            async with self._database.begin() as connection:
                self._show([*await _count(connection), *await self._measure(connection)])
            took = time.monotonic() - began
            self._count_from = time.monotonic() + took / SHARE_OF_TIME
        metrics.SAMPLED.set_to_current_time()

    def forget(self) -> None:
        """Show nothing, for another process samples now. A figure that stood still would outlive its truth."""
        for gauge, labels in self._shown:
            if labels:
                gauge.clear()
            else:
                gauge.set(0)
        self._shown.clear()
        self._passing.clear()
        metrics.OUTBOX_OLDEST.set(0)
        metrics.LEASE_OVERDUE.set(0)
        self._count_from = 0.0

    def _show(self, figures: Sequence[Figure]) -> None:
        values = {(figure.gauge, figure.labels): figure.value for figure in figures}
        self._shown |= set(values)
        for gauge, labels in self._passing - set(values):
            gauge.remove(*labels)
        self._shown -= self._passing - set(values)
        self._passing = {(figure.gauge, figure.labels) for figure in figures if figure.passes}
        for gauge, labels in self._shown:  # what was there before is none now
            child = gauge.labels(*labels) if labels else gauge
            child.set(values.get((gauge, labels), 0))


async def _count(connection: AsyncConnection) -> list[Figure]:
    figures = []
    for row in await connection.execute(text(_TASKS)):
        figures.append(Figure(metrics.TASKS, row.tasks, (row.state, row.lane, row.queue)))
        if row.state == "queued":
            figures.append(Figure(metrics.OLDEST_QUEUED, float(row.oldest), (row.lane, row.queue)))
    pending = (await connection.execute(text(_OUTBOX))).scalar_one()
    return [*figures, Figure(metrics.OUTBOX_PENDING, pending)]

"""What the janitor leaves to this service. It has no tasks of its own: its work is the normalizer's."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.figures import Figure
from rushes_runtime.ledger import Task
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_kitsu import dispatches, metrics


class DispatchChores:
    """Prunes dispatched jobs that have ended, and counts those that have not."""

    def __init__(self, retention: float) -> None:
        """Keep ended jobs for so many seconds; Zou asks for one for as long as its own queue knows it."""
        self._retention = retention

    async def lock(self, connection: AsyncConnection, subject: str) -> None:
        """There are no tasks."""

    async def joined(self, connection: AsyncConnection, task: Task, waiting: UUID) -> None:
        """There are no tasks."""

    async def failed(self, connection: AsyncConnection, task: Task, failure: AttemptFailedError) -> None:
        """There are no tasks."""

    async def tidy(self, connection: AsyncConnection) -> None:
        """Forget jobs that ended long ago."""
        await connection.execute(text(dispatches.PRUNE), {"age": self._retention})

    async def measure(self, connection: AsyncConnection) -> Sequence[Figure]:
        """What is open, and since when."""
        row = (await connection.execute(dispatches.OPEN)).one()
        return [Figure(metrics.OPEN, row.jobs), Figure(metrics.OLDEST, float(row.oldest))]

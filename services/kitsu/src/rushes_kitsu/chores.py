"""What the janitor leaves to this service. Its tasks are builds; uploads are the normalizer's."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from rushes_runtime.database import after_commit
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.figures import Figure
from rushes_runtime.ledger import Task
from rushes_runtime.metrics import JOBS
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_kitsu import dispatches, metrics
from rushes_kitsu.builds import parse_subject
from rushes_kitsu.outcomes import count_end


class DispatchChores:
    """Prunes dispatched jobs that have ended, and counts those that have not."""

    def __init__(self, retention: float) -> None:
        """Keep ended jobs for so many seconds; Zou asks for one for as long as its own queue knows it."""
        self._retention = retention

    async def lock(self, connection: AsyncConnection, subject: str) -> None:
        """A build has no row beside its task."""

    async def joined(self, connection: AsyncConnection, task: Task, waiting: UUID) -> None:
        """Who waits for a build waits for whichever task does it."""

    async def failed(self, connection: AsyncConnection, task: Task, failure: AttemptFailedError) -> None:
        """End the jobs that wait for a build."""
        await end_task(connection, task, failure)

    async def tidy(self, connection: AsyncConnection) -> None:
        """Forget jobs that ended long ago."""
        await connection.execute(text(dispatches.PRUNE), {"age": self._retention})

    async def measure(self, connection: AsyncConnection) -> Sequence[Figure]:
        """What is open, and since when."""
        row = (await connection.execute(dispatches.OPEN)).one()
        return [Figure(metrics.OPEN, row.jobs), Figure(metrics.OLDEST, float(row.oldest))]


async def end_task(connection: AsyncConnection, task: Task, failure: AttemptFailedError | None = None) -> None:
    """A build has ended: so have the jobs that wait for it."""
    kind, of = parse_subject(task.subject)
    code, message = (failure.code.value, failure.message) if failure else (None, None)
    ended = await dispatches.end_builds(connection, kind, of, code, message)
    labels = (kind.value, "failed" if failure else "done", code or "")

    def count() -> None:
        JOBS.labels(*labels).inc()
        for state, seconds in ended:
            count_end(state, seconds)

    after_commit(connection, count)

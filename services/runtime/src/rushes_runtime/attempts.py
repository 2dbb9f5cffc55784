"""The history of a subject's jobs: its attempts, the ended ones and the one that runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from rushes_runtime.database import Database

_HISTORY: Final = """
    SELECT fence, task_id, number, lane, worker, started_at, ended_at, outcome, code, cpu_seconds, peak_memory
    FROM attempt WHERE subject = :subject
    UNION ALL
    SELECT fence, id, tries + looks + losses + 1, lane, worker, started_at, NULL, 'running', NULL, NULL, NULL
    FROM task WHERE subject = :subject AND state = 'running'
    ORDER BY fence"""


@dataclass(frozen=True)
class Attempt:
    """One try at a job.

    Attributes:
        number: of the job's attempts, from 1; one that counted for nothing is followed by one of the same number.
        ended_at: None while it runs.
        outcome: one of `ledger.Outcome`, or `running`.
        cpu_seconds: of its children, if the worker lived to say so.
        peak_memory: bytes of its largest child, where it is known.
    """

    fence: int
    task_id: UUID
    number: int
    lane: str
    worker: str | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str
    code: str | None
    cpu_seconds: float | None
    peak_memory: int | None


async def history(database: Database, subject: str) -> list[Attempt]:
    """The attempts of a subject, in the order in which they began, as far back as they are kept."""
    return [Attempt(**row._mapping) for row in await database.fetch(_HISTORY, subject=subject)]

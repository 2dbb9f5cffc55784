"""What a fault may touch, and what it may wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from tests.faults.flow import Studio
from tests.faults.plan import ALL, PROCESSES, SYNCERS
from tests.faults.processes import Supervised
from tests.faults.stage import DATABASE_AWAY, Stage

Answer = TypeVar("Answer")
_LOOK_EVERY = 0.03


@dataclass
class Scene:
    """The stage, the studio, and what faults make excusable."""

    stage: Stage
    studio: Studio
    hung: set[UUID] = field(default_factory=set)
    lying_encoder: bool = False

    def chosen(self, target: str) -> list[Supervised]:
        """The processes that a target means."""
        return [self.stage.processes[name] for name in (PROCESSES if target == ALL else (target,))]

    async def job_of(self, process: Supervised, seconds: float = 10.0) -> UUID | None:
        """The preview of a job that a process runs now, waiting for one; None if none comes."""
        if process.name in SYNCERS:
            statement = "SELECT subject FROM syncer.task WHERE state = 'running' AND worker LIKE '%-' || $1"
        else:
            statement = (
                "SELECT subject FROM normalizer.task WHERE state = 'running' AND lane <> 'purge'"
                " AND worker LIKE '%-' || $1"
            )
        rows = await self.until(lambda: self.stage.query(statement, str(process.pid)), bool, seconds)
        return UUID(rows[0]["subject"].rpartition("/")[2]) if rows else None

    @staticmethod
    async def until(
        look: Callable[[], Awaitable[Answer]], wanted: Callable[[Answer], Any], seconds: float
    ) -> Answer | None:
        """The answer once it is as wanted; None if it is not within some seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                answer = await look()
            except DATABASE_AWAY:
                pass  # the database is away: another fault's doing
            else:
                if wanted(answer):
                    return answer
            await asyncio.sleep(_LOOK_EVERY)
        return None


async def together(works: Iterable[Awaitable[object]]) -> None:
    """All at once, each to its end."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result

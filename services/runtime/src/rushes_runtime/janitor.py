"""The janitor: leases that are over, rows that are old, and figures that only the database knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import structlog
from rushes_schemas import FailureCode
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_runtime import ledger
from rushes_runtime.database import Database, is_away
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.figures import Figure, Figures
from rushes_runtime.health import Health
from rushes_runtime.leases import RoleLease
from rushes_runtime.ledger import Outcome, Task
from rushes_runtime.waiting import wait_or_stop

log = structlog.get_logger(__name__)

_PRUNE: Final = (
    "DELETE FROM inbox WHERE received_at < now() - make_interval(secs => :age) RETURNING 1",
    "DELETE FROM outbox WHERE sent_at < now() - make_interval(secs => :age) RETURNING 1",
    "DELETE FROM task WHERE ended_at < now() - make_interval(secs => :age) RETURNING 1",
)
_PRUNE_ATTEMPTS: Final = """
    DELETE FROM attempt WHERE fence IN (
        SELECT fence FROM attempt WHERE ended_at < now() - make_interval(secs => :age) LIMIT :rows)
    RETURNING 1"""
_BATCH: Final = 10_000
_PRUNE_EVERY: Final = 600.0
_LOSS_WAIT: Final = timedelta(seconds=2)


class Subjects(Protocol):
    """What the janitor must leave to the service, because only it knows its subjects."""

    async def lock(self, connection: AsyncConnection, subject: str) -> None:
        """Lock the subject's row, before anything else of it is locked."""
        ...

    async def joined(self, connection: AsyncConnection, task: Task, waiting: UUID) -> None:
        """The task ended, and the waiting one does its work: move its requests over."""
        ...

    async def failed(self, connection: AsyncConnection, task: Task, failure: AttemptFailedError) -> None:
        """The task has ended as failed: write the transition and its event."""
        ...

    async def tidy(self, connection: AsyncConnection) -> None:
        """A service's own round: whatever must not stay as it is. However many rows it has, it looks at few of them."""
        ...

    async def measure(self, connection: AsyncConnection) -> Sequence[Figure]:
        """A service's own figures that only the database knows. It may count all rows (figures.py)."""
        ...


class Janitor:
    """One process a service does the rounds; others stand by."""

    def __init__(
        self,
        *,
        database: Database,
        subjects: Subjects,
        role: RoleLease,
        interval: float,
        task_lease: float,
        loss_limit: int,
        retention: float,
        audit_retention: float,
        health: Health,
    ) -> None:
        self._database = database
        self._subjects = subjects
        self._role = role
        self._interval = interval
        self._task_lease = timedelta(seconds=task_lease)
        self._loss_limit = loss_limit
        self._retention = retention
        self._audit_retention = audit_retention
        self._health = health
        self._figures = Figures(database, subjects.measure)
        self._leads = False
        self._looked_at: datetime | None = None  # these two by the database's clock
        self._expire_from: datetime | None = None
        self._prune_from = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Do rounds until `stop`. Leases have a loop of their own: no long round of chores keeps a job from others."""
        rounds = (self._expire, self._do_chores, self._sample)
        loops = [asyncio.create_task(self._repeat(each, stop)) for each in rounds]
        try:
            await asyncio.gather(*loops)
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            self._health.ended("janitor")
        with suppress(Exception):  # the lease ends by itself
            await self._role.give_back()

    async def _repeat(self, round_: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._health.beat("janitor", within=max(120.0, 20 * self._interval))
            try:
                await round_()
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("janitor_waits_for_database", error=repr(error)[:500])
            await wait_or_stop(stop, self._interval)

    async def _do_chores(self) -> None:
        if not self._leads:
            return
        async with self._database.begin() as connection:
            await self._subjects.tidy(connection)
        if time.monotonic() >= self._prune_from:
            for statement in _PRUNE:
                await self._database.fetch(statement, age=float(self._retention))
            while len(await self._database.fetch(_PRUNE_ATTEMPTS, age=self._audit_retention, rows=_BATCH)) == _BATCH:
                pass
            self._prune_from = time.monotonic() + _PRUNE_EVERY

    async def _expire(self) -> None:
        """Take the jobs of lost workers back, or end them if they lost too many.

        Whoever stands by looks too, so that it knows of outages when it takes over.
        """
        self._leads = await self._role.hold()
        for task in await self._lost():
            if self._leads:
                await self._take_back(task)

    async def _lost(self) -> list[Task]:
        """Tasks whose lease is over, none after an outage: every healthy worker gets a whole lease to renew first.

        An outage is a gap between two looks, by the clock that leases go by. It shows a database that was away or
        hung, one whose clock jumped, and a pause of this process, which may have paused the workers too.
        """
        async with self._database.begin() as connection:
            now = await ledger.clock(connection)
            gap = timedelta(seconds=self._interval) + self._task_lease / 3
            if self._looked_at is None or now - self._looked_at > gap:
                self._expire_from = now + self._task_lease
                log.info("leases_get_time_to_renew", last_look=self._looked_at, until=self._expire_from)
            self._looked_at = now
            assert self._expire_from
            return await ledger.expired(connection) if now >= self._expire_from else []

    async def _take_back(self, task: Task) -> None:
        async with self._database.begin() as connection:
            await self._subjects.lock(connection, task.subject)
            if await ledger.still_expired(connection, task):
                await self._requeue_or_end(connection, task)

    async def _requeue_or_end(self, connection: AsyncConnection, task: Task) -> None:
        if task.batched:
            # Two hundred share a batch, and none of them has done its work: a loss would make each run alone in its
            # process. It goes to a slot, so that what loses workers there is told from what was only beside it.
            await self._requeue(connection, task, losses=0, message="its batch lost its worker")
            return
        message = f"lost its worker {task.losses + 1} times"
        if task.losses + 1 >= self._loss_limit:
            poison = FailureCode.POISON
            if await ledger.end(connection, task, code=poison, message=message, outcome=Outcome.LOST):
                log.error("task_poison", subject=task.subject, losses=task.losses + 1)
                failure = AttemptFailedError(FailureCode.POISON, message)
                await self._subjects.failed(connection, task, failure)
            return
        await self._requeue(connection, task, losses=1, message=message)

    async def _requeue(self, connection: AsyncConnection, task: Task, *, losses: int, message: str) -> None:
        requeued = await ledger.requeue(
            connection,
            task,
            wait=_LOSS_WAIT,
            losses=losses,
            code=FailureCode.WORKER_LOST,
            message=message,
            outcome=Outcome.LOST,
        )
        if requeued.joined:
            await self._subjects.joined(connection, task, requeued.joined)
        if requeued.held:
            log.warning("lease_over", subject=task.subject, fence=task.fence, losses=task.losses + losses)

    async def _sample(self) -> None:
        if self._leads:
            await self._figures.sample()
        else:
            self._figures.forget()

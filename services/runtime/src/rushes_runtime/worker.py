"""The worker: claims tasks into slots, renews their leases, ends them under their fence."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

import structlog
from rushes_schemas import FailureCode
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_runtime import ledger, metrics
from rushes_runtime.circuits import Circuits
from rushes_runtime.database import Database, answer_of, error_text, is_away
from rushes_runtime.failures import AttemptFailedError, CountsAs, End, RetryPolicy, TryAgain, after_failure
from rushes_runtime.health import Health
from rushes_runtime.janitor import Subjects
from rushes_runtime.ledger import Outcome, Takes, Task, area_of
from rushes_runtime.usage import USAGE, Usage
from rushes_runtime.waiting import Hint

log = structlog.get_logger(__name__)

Result = TypeVar("Result")
_STORE_FAILURES: Final = {FailureCode.STORAGE_UNAVAILABLE, FailureCode.STORAGE_DENIED}
_RESULT_WAIT: Final = 2.0  # seconds between tries to write a result while the database is away


@dataclass
class Progress:
    """What an attempt says of itself; each call shows the watchdog that it is alive.

    Attributes:
        stalls_as: the failure code if it goes silent now.
    """

    stage: str = "starting"
    fraction: float = 0.0
    stalls_as: FailureCode = FailureCode.TIMEOUT
    moved_at: float = field(default_factory=time.monotonic)
    _spent: dict[str, float] = field(default_factory=dict)
    _stage_since: float = field(default_factory=time.monotonic)

    def moved(self) -> None:
        """Something happened."""
        self.moved_at = time.monotonic()

    def at(self, stage: str, fraction: float) -> None:
        """A stage reached a fraction (0 to 1) of the whole attempt."""
        if stage != self.stage:
            self._count_stage()
        if (stage, fraction) != (self.stage, self.fraction):
            self.stage, self.fraction = stage, fraction
            self.moved()

    def stages(self) -> Mapping[str, float]:
        """Seconds spent so far, by stage."""
        self._count_stage()
        return self._spent

    def _count_stage(self) -> None:
        now = time.monotonic()
        self._spent[self.stage] = self._spent.get(self.stage, 0.0) + now - self._stage_since
        self._stage_since = now

    def snapshot(self) -> dict[str, Any]:
        """As it stands on the task's row."""
        return {"stage": self.stage, "fraction": round(self.fraction, 3)}


class TooLargeError(Exception):
    """The task is work for a large machine, and this worker does not take that: it is handed on, and counts nothing."""


class Workshop(Subjects, Protocol[Result]):
    """What a service does with a task."""

    async def attempt(self, task: Task, progress: Progress, scratch: Path) -> Result:
        """Do the work, outside of any transaction, in an empty scratch folder.

        Raises:
            AttemptFailedError: with the failure code.
            TooLargeError: the task is handed on to a worker for large ones.
        """
        ...

    async def doubts(self, connection: AsyncConnection, task: Task, *, ends: bool) -> bool:
        """The source was seen absent: whether nothing may follow from it yet, so that the job waits and looks again.

        Args:
            ends: it was seen for the last time, and the task would end.
        """
        ...

    async def succeeded(self, connection: AsyncConnection, task: Task, result: Result) -> None:
        """The task has ended as done: write the transition and its event."""
        ...


@dataclass
class _Attempt:
    task: Task
    progress: Progress
    began: float = field(default_factory=time.monotonic)
    usage: Usage = field(default_factory=Usage)
    work: asyncio.Task[Any] | None = None
    reason: FailureCode | None = None  # why the watchdog cancelled it
    fenced: bool = False
    store_back_in: timedelta | None = None  # it failed because a store is down: when that is looked at again
    concluding: bool = False  # nothing is left to be watched; what came out waits for the database


@dataclass(frozen=True)
class WorkerLimits:
    """Seconds, the number of slots, and the tasks that are taken into them."""

    slots: int
    takes: Takes
    lease: float
    heartbeat: float
    poll_interval: float
    stall_timeout: float
    attempt_timeout: float
    drain_budget: float


class Worker(Generic[Result]):
    """Runs attempts in slots."""

    def __init__(
        self,
        *,
        name: str,
        database: Database,
        workshop: Workshop[Result],
        limits: WorkerLimits,
        retries: RetryPolicy,
        scratch: Path,
        health: Health,
        circuits: Circuits,
        ended: Hint,
        areas: Sequence[str] = (),
    ) -> None:
        """
        Args:
            ended: given after each end, to wake the relay in this process.
            areas: only tasks of subjects that have one of these before their first slash; each has `slots` slots of its
                own, so that one whose tasks hang delays no other. Empty: all tasks, in the same slots.
        """
        self._name = name
        self._database = database
        self._workshop = workshop
        self._limits = limits
        self._retries = retries
        self._scratch = scratch
        self._health = health
        self._circuits = circuits
        self._ended = ended
        self._running: dict[UUID, _Attempt] = {}
        self._areas: deque[str | None] = deque(areas) if areas else deque([None])
        self.hint = Hint()
        metrics.SLOTS.set(limits.slots * len(self._areas))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then let running jobs end within the drain budget and hand the others back."""
        # What a process of the same name left behind when it died.
        await asyncio.to_thread(shutil.rmtree, self._scratch, True)
        self._scratch.mkdir(parents=True)
        loops = [
            asyncio.create_task(each) for each in (self._keep_alive(), self._circuits.keep_probing(self.hint.give))
        ]
        try:
            while not stop.is_set():
                self._health.beat("worker", within=120)
                if not await self._fill():
                    await self.hint.wait(stop, self._limits.poll_interval)
            self._health.ended("worker")  # it claims no more; the renewals have a pulse of their own
            await self._drain()
        finally:
            self._health.ended("worker")
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def _fill(self) -> bool:
        """Claim one task if a slot is free; whether one was claimed."""
        if any(attempt.task.losses for attempt in self._running.values()):
            return False
        left_out = self._circuits.left_out()
        if "" in left_out:
            return False
        for _ in range(len(self._areas)):
            area = self._areas[0]
            self._areas.rotate(-1)  # the next look begins with the next one
            if self._has_room(area) and f"{area}/" not in left_out and await self._claim(area, left_out):
                return True
        return False

    def _has_room(self, area: str | None) -> bool:
        busy = sum(area is None or area_of(attempt.task.subject) == area for attempt in self._running.values())
        return busy < self._limits.slots

    async def _claim(self, area: str | None, left_out: Sequence[str]) -> bool:
        try:
            async with self._database.begin() as connection:
                task = await ledger.claim(
                    connection,
                    self._name,
                    self._limits.lease,
                    idle=not self._running,
                    takes=self._limits.takes,
                    left_out=left_out,
                    area=area,
                )
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("claim_waits_for_database", error=repr(error)[:500])
            return False
        if task is None:
            return False
        metrics.QUEUE_WAIT.labels(task.lane).observe(max(0.0, task.waited.total_seconds()))
        attempt = _Attempt(task, Progress())
        self._running[task.id] = attempt
        metrics.BUSY_SLOTS.set(len(self._running))
        attempt.work = asyncio.create_task(self._work(attempt))
        return True

    async def _work(self, attempt: _Attempt) -> None:
        task = attempt.task
        scratch = self._scratch / f"{task.id}-{task.fence}"
        USAGE.set(attempt.usage)
        known = {"subject": task.subject, "attempt": task.attempt, "fence": task.fence}
        if task.traceparent:
            known["traceparent"] = task.traceparent
        with structlog.contextvars.bound_contextvars(**known):
            try:
                log.info("attempt_started", lane=task.lane)
                outcome = await self._outcome(attempt, scratch)
                attempt.concluding = True
                took = time.monotonic() - attempt.began
                if isinstance(outcome, AttemptFailedError):
                    label, code = "failed", outcome.code.value
                    log.warning("attempt_failed", code=code, message=outcome.message, seconds=round(took, 3))
                else:
                    label, code = "done", ""
                    log.info("attempt_done", seconds=round(took, 3))
                metrics.ATTEMPTS.labels(label, code).inc()
                metrics.ATTEMPT_SECONDS.labels(label).observe(took)
                for stage, seconds in attempt.progress.stages().items():
                    metrics.STAGE_SECONDS.labels(stage).observe(seconds)
                attempt.store_back_in = await self._store_back_in(task, outcome)
                await self._conclude(attempt, outcome)
            except TooLargeError as reason:
                log.info("handed_on", reason=str(reason))
                attempt.concluding = True
                await _written(lambda: self._give_back(attempt, large=True))
            except asyncio.CancelledError:
                log.info("attempt_given_up", fenced=attempt.fenced)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
                del self._running[task.id]
                metrics.BUSY_SLOTS.set(len(self._running))
                self._ended.give()
                self.hint.give()

    async def _outcome(self, attempt: _Attempt, scratch: Path) -> Result | AttemptFailedError:
        try:
            scratch.mkdir()
            return await self._workshop.attempt(attempt.task, attempt.progress, scratch)
        except AttemptFailedError as error:
            return error
        except TooLargeError:
            raise
        except asyncio.CancelledError:
            if attempt.reason is None:
                raise
            current = asyncio.current_task()
            assert current
            current.uncancel()
            silent = time.monotonic() - attempt.progress.moved_at
            return AttemptFailedError(
                attempt.reason, f"stopped in stage {attempt.progress.stage}, silent for {silent:.0f} s"
            )
        except Exception as error:  # the job must end or be tried again, whatever we did wrong
            log.exception("attempt_broke")
            return AttemptFailedError(FailureCode.INTERNAL, error_text(error)[:500])

    async def _store_back_in(self, task: Task, outcome: Result | AttemptFailedError) -> timedelta | None:
        """If an attempt failed because a store is down: the time until that is looked at again."""
        if not (isinstance(outcome, AttemptFailedError) and outcome.code in _STORE_FAILURES):
            return None
        seconds = await self._circuits.store_is_back_in(task.subject)
        return None if seconds is None else timedelta(seconds=seconds)

    async def _conclude(self, attempt: _Attempt, outcome: Result | AttemptFailedError) -> None:
        async def write() -> None:
            async with self._database.begin() as connection:
                await self._write(connection, attempt, outcome)

        await _written(write)

    async def _write(
        self, connection: AsyncConnection, attempt: _Attempt, outcome: Result | AttemptFailedError
    ) -> None:
        task = attempt.task
        await self._workshop.lock(connection, task.subject)
        if not isinstance(outcome, AttemptFailedError):
            if await ledger.end(connection, task, usage=attempt.usage):
                await self._workshop.succeeded(connection, task, outcome)
            else:
                log.warning("fenced_off")
            return
        decision = after_failure(
            outcome.code,
            tries=task.tries,
            looks=task.looks,
            requested_at=task.created_at,
            now=datetime.now(UTC),
            policy=self._retries,
            store_back_in=attempt.store_back_in,
        )
        missing = outcome.code is FailureCode.SOURCE_MISSING
        if missing and await self._workshop.doubts(connection, task, ends=isinstance(decision, End)):
            decision = TryAgain(self._retries.confirm_absence_after, CountsAs.NOTHING)
        match decision:
            case End():
                if await ledger.end(connection, task, code=outcome.code, message=outcome.message, usage=attempt.usage):
                    await self._workshop.failed(connection, task, outcome)
                else:
                    log.warning("fenced_off")
            case TryAgain(wait, counts_as):
                requeued = await ledger.requeue(
                    connection,
                    task,
                    wait=wait,
                    tries=int(counts_as is CountsAs.TRY),
                    looks=int(counts_as is CountsAs.LOOK),
                    code=outcome.code,
                    message=outcome.message,
                    usage=attempt.usage,
                )
                if requeued.joined:
                    await self._workshop.joined(connection, task, requeued.joined)
                log.info("tried_again_later", wait=round(wait.total_seconds(), 1))

    async def _keep_alive(self) -> None:
        """Renew leases and store progress by timer; end attempts that are fenced off, silent or too long."""
        try:
            while True:
                self._health.beat("leases", within=max(120, 4 * self._limits.heartbeat))
                await asyncio.sleep(self._limits.heartbeat)
                attempts = list(self._running.values())
                for attempt in attempts:
                    self._watch(attempt)
                metrics.SCRATCH_FREE.set(shutil.disk_usage(self._scratch).free)
                # With no attempt too: while a store is away nothing is claimed, and the database is seen to answer.
                await self._renew(attempts)
        finally:
            self._health.ended("leases")

    async def _renew(self, attempts: Sequence[_Attempt]) -> None:
        held: list[tuple[Task, Mapping[str, Any] | None]] = [
            (attempt.task, attempt.progress.snapshot()) for attempt in attempts
        ]
        try:
            # A connection that a firewall forgot answers never; the next one may.
            async with asyncio.timeout(self._limits.lease / 3), self._database.begin() as connection:
                ours = await ledger.renew(connection, held, self._limits.lease)
        except Exception as error:  # a lease not renewed is found by the janitor; the loop must go on
            log.warning("renewal_failed", error=repr(error)[:500])
            return
        for attempt in attempts:
            if attempt.task.id not in ours and attempt.task.id in self._running and attempt.work:
                attempt.fenced = True
                attempt.work.cancel()

    def _watch(self, attempt: _Attempt) -> None:
        now = time.monotonic()
        silent = now - attempt.progress.moved_at > self._limits.stall_timeout
        if (
            attempt.reason is None
            and not attempt.concluding
            and (silent or now - attempt.began > self._limits.attempt_timeout)
        ):
            attempt.reason = attempt.progress.stalls_as if silent else FailureCode.TIMEOUT
            if attempt.work:
                attempt.work.cancel()

    async def _drain(self) -> None:
        began = time.monotonic()
        metrics.DRAINING.set(1)
        metrics.DRAIN_SECONDS.set_function(lambda: time.monotonic() - began)
        works = [attempt.work for attempt in self._running.values() if attempt.work]
        if not works:
            return
        log.info("draining", jobs=len(works), budget=self._limits.drain_budget)
        await asyncio.wait(works, timeout=self._limits.drain_budget)
        late = list(self._running.values())
        for attempt in late:
            if attempt.work:
                attempt.work.cancel()
        # At once, however long an attempt takes to let go (a store that hangs): its fence is over, so it can change
        # nothing any more.
        handed_back = await asyncio.gather(*(self._hand_back(attempt) for attempt in late), return_exceptions=True)
        await asyncio.gather(*works, return_exceptions=True)
        for result in handed_back:
            if isinstance(result, BaseException):
                raise result

    async def _hand_back(self, attempt: _Attempt) -> None:
        """Put a job back, its try not counted. While the database is away, its lease ends by itself."""
        subject = attempt.task.subject
        try:
            held = await self._give_back(attempt)
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("not_handed_back", subject=subject, error=repr(error)[:500])
        else:
            log.info("handed_back", subject=subject, held=held)

    async def _give_back(self, attempt: _Attempt, *, large: bool = False) -> bool:
        """Put a task back into the queue, nothing counted; whether this worker still held it."""
        task = attempt.task
        outcome = Outcome.HANDED_ON if large else None
        async with self._database.begin() as connection:
            await self._workshop.lock(connection, task.subject)
            requeued = await ledger.requeue(connection, task, large=large, outcome=outcome, usage=attempt.usage)
            if requeued.joined:
                await self._workshop.joined(connection, task, requeued.joined)
        return requeued.held


async def _written(write: Callable[[], Awaitable[object]]) -> None:
    """Write what came out, waiting for a database that is away: the fence tells whether it counts."""
    await answer_of(write, event="result_waits_for_database", every=_RESULT_WAIT)

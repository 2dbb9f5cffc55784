"""Looks for many sources at once: what a bulk request asks for is looked for before it gets a slot.

A slot is made for an encode. A job whose source is gone needs none, nor a scratch folder: the worker takes such jobs by
the hundred, asks the store for all their sources in one look, and writes what came out in one transaction. A source
that is there sends its job on to a slot, as if nothing had happened. A look that was refused, failed or took too long
says nothing of any source: its jobs wait until the store is back, or, where the store shows itself, go on to slots.

Every bulk job passes here first. So a pass over thousands of lost sources takes no slot from anybody; and what reaches
a slot does not come back here.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from rushes_runtime import batches
from rushes_runtime.batches import Back, Ending
from rushes_runtime.circuits import Circuits
from rushes_runtime.database import Database, is_away
from rushes_runtime.failures import AttemptFailedError, CountsAs, RetryPolicy, TryAgain, after_failure
from rushes_runtime.health import Health
from rushes_runtime.ledger import Task
from rushes_runtime.metrics import ATTEMPTS
from rushes_runtime.store import Store, absent_from_whole
from rushes_runtime.waiting import Hint
from rushes_schemas import FailureCode, PreviewStatus
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_normalizer import absences, metrics, previews
from rushes_normalizer.previews import Sought
from rushes_normalizer.settings import NormalizerSettings
from rushes_normalizer.transitions import NormalizeFailedError
from rushes_normalizer.workshop import PreviewWorkshop

log = structlog.get_logger(__name__)

# Of jobs. The looks of a batch take a quarter of a second, the transaction that ends them as long: an upload that meets
# one waits no longer. Sentinels and statements cost the same for a batch of any size.
_BATCH: Final = 500
# While one batch waits for the store, Python and PostgreSQL work on another.
_BATCHES_AT_ONCE: Final = 2
_RESULT_WAIT: Final = 2.0  # seconds between tries to write a result while the database is away


@dataclass(frozen=True)
class Look:
    """A job of a batch: what it looks for, and whether that is absent.

    Attributes:
        sought: None: the preview is deleted, so its job is ended or about to be.
        absent: the store, shown to be whole in this look, has no such object.
    """

    task: Task
    sought: Sought | None
    absent: bool


@dataclass
class Sorted:
    """What becomes of a batch.

    Attributes:
        missing: ends so, unless a flood of absences makes them wait.
        absent_once: look again after the pause.
        to_slots: as if nothing had happened.
        postponed: look again, when the store is back.
    """

    missing: list[tuple[Task, NormalizeFailedError]] = field(default_factory=list)
    absent_once: list[Back] = field(default_factory=list)
    to_slots: list[Back] = field(default_factory=list)
    postponed: list[Back] = field(default_factory=list)

    def tasks(self) -> list[Task]:
        """All of the batch."""
        backs = [*self.absent_once, *self.to_slots, *self.postponed]
        return [task for task, _ in self.missing] + [back.task for back in backs]


def sort_out(looks: Iterable[Look], *, store: str, policy: RetryPolicy, now: datetime) -> Sorted:
    """Decide by the rule of a slot's attempts what an absent source means; all else goes to a slot.

    Args:
        store: its name, for operators.
    """
    result = Sorted()
    for look in looks:
        task, sought = look.task, look.sought
        if sought is None or not look.absent:
            result.to_slots.append(Back(task, batched=False))
            continue
        failure = AttemptFailedError(FailureCode.SOURCE_MISSING, f"{store} has no {sought.bucket}/{sought.key}")
        decision = after_failure(
            failure.code, tries=task.tries, looks=task.looks, requested_at=task.created_at, now=now, policy=policy
        )
        if isinstance(decision, TryAgain):
            counted = int(decision.counts_as is CountsAs.LOOK)
            result.absent_once.append(Back(task, True, decision.wait, counted, failure.code, failure.message))
        else:
            ended = NormalizeFailedError(failure, uploaded_at=sought.uploaded_at, playable=False)
            result.missing.append((task, ended))
    return result


class SourceLooker:
    """Takes jobs in batches, beside the slots of a worker."""

    def __init__(
        self,
        *,
        name: str,
        settings: NormalizerSettings,
        database: Database,
        store: Store,
        workshop: PreviewWorkshop,
        policy: RetryPolicy,
        health: Health,
        circuits: Circuits,
        ended: Hint,
    ) -> None:
        """
        Args:
            ended: given after each batch, to wake the relay in this process.
        """
        self._name = name
        self._settings = settings
        self._database = database
        self._store = store
        self._workshop = workshop
        self._policy = policy
        self._health = health
        self._circuits = circuits
        self._ended = ended
        self.hint = Hint()

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop`; a batch that was begun is ended."""
        async with asyncio.TaskGroup() as loops:
            for _ in range(_BATCHES_AT_ONCE):
                loops.create_task(self._repeat(stop))
        self._health.ended("looks")

    async def _repeat(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._beat()
            looked = await self._batch(stop)
            if looked < _BATCH:
                await self.hint.wait(stop, self._next_look_in(looked))

    def _next_look_in(self, looked: int) -> float:
        """Seconds until there may be more to look for: no later than when what was just sent back is due."""
        interval = self._settings.poll_interval
        return min(interval, self._settings.missing_confirm_after) if looked else interval

    def _beat(self) -> None:
        self._health.beat("looks", within=max(120.0, 2 * self._settings.lease))

    async def _batch(self, stop: asyncio.Event) -> int:
        """Take a batch to its end; how many jobs it had."""
        if self._circuits.left_out():
            return 0
        try:
            async with self._database.begin() as connection:
                tasks = await batches.claim(connection, self._name, self._settings.lease, _BATCH)
                sought = await previews.sought(connection, [UUID(task.subject) for task in tasks])
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("looks_wait_for_database", error=repr(error)[:500])
            return 0
        if tasks:
            result = await self._look(tasks, sought, stop)
            await self._conclude(result)
            self._measure(result)
            self._ended.give()
        return len(tasks)

    async def _look(self, tasks: Sequence[Task], sought: Mapping[UUID, Sought], stop: asyncio.Event) -> Sorted:
        wanted = {each.place for each in sought.values() if self._may_end(each)}
        looks = asyncio.create_task(self._absent(wanted))
        stopped = asyncio.create_task(stop.wait())
        # A batch is not renewed, so it is done well within its lease.
        await asyncio.wait({looks, stopped}, timeout=self._settings.lease / 2, return_when=asyncio.FIRST_COMPLETED)
        looks.cancel()
        stopped.cancel()
        answer, _ = await asyncio.gather(looks, stopped, return_exceptions=True)
        if not isinstance(answer, frozenset):
            log.warning("look_failed", jobs=len(tasks), error=repr(answer)[:500], stopping=stop.is_set())
            return await self._without_answer(tasks, stop)
        found = []
        for task in tasks:
            each = sought.get(UUID(task.subject))
            found.append(Look(task, each, each is not None and each.place in answer))
        return sort_out(found, store=self._store.name, policy=self._policy, now=datetime.now(UTC))

    async def _without_answer(self, tasks: Sequence[Task], stop: asyncio.Event) -> Sorted:
        """The jobs wait for a store that is down, as its circuit finds; else what went wrong may be one job's own."""
        if stop.is_set():  # for the batches of others
            return Sorted(postponed=[Back(task, batched=True) for task in tasks])
        down = await self._circuits.store_is_back_in(tasks[0].subject)
        if down is None:
            return Sorted(to_slots=[Back(task, batched=False) for task in tasks])
        wait = timedelta(seconds=down) + self._policy.first_wait
        code, message = FailureCode.STORAGE_UNAVAILABLE, f"{self._store.name} shows no sentinels"
        return Sorted(postponed=[Back(task, True, wait, 0, code, message) for task in tasks])

    def _may_end(self, sought: Sought) -> bool:
        """With KEEP_PLAYABLE, a lost source does not tell the end of a preview that is ready: a slot looks at more."""
        return not (self._settings.keep_playable and sought.status is PreviewStatus.READY)

    async def _absent(self, places: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        keys: dict[str, list[str]] = defaultdict(list)
        for bucket, key in places:
            keys[bucket].append(key)
        absent = set[tuple[str, str]]()
        for bucket, wanted in keys.items():
            lacking = await absent_from_whole(self._store, bucket, wanted, self._settings.instance)
            absent.update((bucket, key) for key in lacking)
        return frozenset(absent)

    async def _conclude(self, result: Sorted) -> None:
        """Write what came out, waiting for a database that is away: each fence tells whether it counts.

        A newer job that came into the queue without the lock of its preview refuses the first try; the next sees it.
        """
        while True:
            try:
                async with self._database.begin() as connection:
                    await self._write(connection, result)
            except Exception as error:
                if not (is_away(error) or isinstance(error, IntegrityError)):
                    raise
                log.warning("looks_wait_for_database", error=repr(error)[:500])
                self._beat()
                await asyncio.sleep(_RESULT_WAIT)
            else:
                return

    async def _write(self, connection: AsyncConnection, result: Sorted) -> None:
        tasks = result.tasks()
        await previews.lock_alone(connection, [UUID(task.subject) for task in tasks])
        ours = await batches.held(connection, tasks)
        await self._mark_absent(connection, [back.task for back in result.absent_once if back.task.id in ours])
        doubted = await self._doubted(connection, [task for task, _ in result.missing if task.id in ours])
        ends = [(task, failure) for task, failure in result.missing if task.id not in doubted]
        await self._end(connection, ends)
        held_back = [self._held_back(task, failure) for task, failure in result.missing if task.id in doubted]
        backs = [*result.absent_once, *result.to_slots, *result.postponed, *held_back]
        for task, newer in await batches.requeue(connection, backs):
            await self._workshop.joined(connection, task, newer)

    async def _mark_absent(self, connection: AsyncConnection, tasks: Sequence[Task]) -> None:
        if tasks:
            await absences.seen(connection, [UUID(task.subject) for task in tasks])

    async def _doubted(self, connection: AsyncConnection, tasks: Sequence[Task]) -> set[UUID]:
        """Which jobs must not end yet: there is a flood of absences."""
        if not tasks:
            return set()
        limits = self._settings.flood_limits()
        held = await absences.confirmed(connection, [UUID(task.subject) for task in tasks], limits)
        if held:
            log.error("absences_held", previews=len(held), hint="a flood of absent sources: rushes-normalizer absences")
        return {task.id for task in tasks if UUID(task.subject) in held}

    def _held_back(self, task: Task, failure: NormalizeFailedError) -> Back:
        return Back(task, True, self._policy.confirm_absence_after, 0, failure.code, failure.message)

    async def _end(self, connection: AsyncConnection, ends: Sequence[tuple[Task, NormalizeFailedError]]) -> None:
        ended = await batches.end(connection, [Ending(task, failure.code, failure.message) for task, failure in ends])
        ends = [(task, failure) for task, failure in ends if task.id in ended]
        if ends:
            rows = await previews.read_all(connection, [UUID(task.subject) for task, _ in ends])
            await self._workshop.all_failed(
                connection, [(task, rows[UUID(task.subject)], failure) for task, failure in ends]
            )

    def _measure(self, result: Sorted) -> None:
        counts = {
            "missing": len(result.missing),
            "absent_once": len(result.absent_once),
            "to_slots": len(result.to_slots),
            "postponed": len(result.postponed),
        }
        for outcome, count in counts.items():
            metrics.LOOKS.labels(outcome).inc(count)
        ATTEMPTS.labels("failed", FailureCode.SOURCE_MISSING.value).inc(len(result.missing) + len(result.absent_once))
        log.info("looked", **counts)

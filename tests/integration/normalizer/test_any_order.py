"""Ledger, outbox and janitor on PostgreSQL, in any order that workers, crashes and pauses can bring about."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from aiokafka import ConsumerRecord
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from rushes_normalizer.looking import Look, sort_out
from rushes_normalizer.previews import Sought
from rushes_normalizer.transitions import NormalizeFailedError, Published
from rushes_runtime import batches, ledger
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.ledger import Task
from rushes_runtime.worker import Progress, _Attempt
from rushes_schemas import (
    Event,
    FailureCode,
    PreviewStatus,
    Priority,
    RenormalizeRequested,
    StatusChanged,
    StoredFile,
)
from sqlalchemy import text

from tests.integration.normalizer.bus_records import bus_record
from tests.integration.normalizer.parts import Parts, parts_of
from tests.world import World, upload

Answer = TypeVar("Answer")
PREVIEWS: Final = 2
WORKERS: Final = ("first", "second", "third")
LEASE: Final = 3600.0  # only `a_lease_runs_out` ends one
OUTCOMES: Final = (
    None,
    FailureCode.CORRUPT,
    FailureCode.TIMEOUT,
    FailureCode.STORAGE_UNAVAILABLE,
    FailureCode.SOURCE_MISSING,
    FailureCode.SOURCE_CHANGED,
)
_TABLES: Final = ("preview_file", "task", "request", "outbox", "attempt")


@dataclass
class Held:
    """An attempt as its worker remembers it, whoever has its task by now."""

    worker: str
    task: Task
    uploaded_at: datetime  # of the upload that it read


class AnyOrder(RuleBasedStateMachine):
    """Each step is something that one process does, or that happens to it.

    `_owners` says by the rules alone who may change a preview: the fence of the claim that was neither ended nor
    taken back. Whoever else tries must leave every table as it is.
    """

    def __init__(self, runner: asyncio.Runner, parts: Parts) -> None:
        super().__init__()
        self._runner = runner
        self._parts = parts
        self._intake = parts.intake()
        self._janitor = parts.janitor()
        self._workers = {name: parts.worker(name) for name in WORKERS}
        self._lookers = {name: parts.looker(name) for name in WORKERS}
        self._held: list[Held] = []
        self._batches: list[list[Held]] = []  # each is looked for by the worker of its members
        self._found: list[Task] = []  # by the janitor, which may pause before it acts
        self._owners: dict[str, int] = {}
        self._queued: set[str] = set()
        self._over: set[str] = set()  # subjects whose running task has outlived its lease
        self._records: list[ConsumerRecord[bytes, bytes]] = []
        self._previews: list[UUID] = []
        self._uploaded_at: dict[str, datetime] = {}
        self._fences: dict[UUID, int] = defaultdict(int)
        self._numbers: list[int] = []  # chosen by hypothesis, for one step
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)
        self._claimed: set[int] = set()
        self._change("TRUNCATE preview_file, task, request, outbox, inbox, attempt, absent_source")

    def _pick(self, values: Sequence[Answer]) -> Answer:
        return values[self._numbers.pop() % len(values)]

    @rule(numbers=st.lists(st.integers(0, 999), min_size=4, max_size=4))
    def step(self, numbers: list[int]) -> None:
        """One of the steps that somebody can take now, each as likely as it often stands here."""
        self._numbers = list(numbers)
        possible = [self.upload]
        if self._records:
            possible += [self.ask_for_another_run, self.a_record_comes_again]
        if self._queued:
            possible += [self.claim] * 3 + [self.claim_a_batch] * 2
        if self._held:
            possible += [self.finish, self.finish, self.die_before_the_commit, self.die, self.renew]
        if self._batches:
            possible += [self.finish_a_batch] * 2
        if self._owners:
            possible += [self.a_lease_runs_out, self.a_paused_worker_is_overtaken]
        if self._owners and self._held:
            possible += [self.a_worker_renews_before_the_janitor_acts]
        if self._over:
            possible += [self.the_janitor_looks]
        if self._found:
            possible += [self.the_janitor_acts, self.the_janitor_and_the_paused_worker_act_at_once]
        self._pick(possible)()

    def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return self._runner.run(work)

    def _change(self, statement: str, **values: Any) -> None:
        async def change() -> None:
            async with self._parts.database.begin() as connection:
                await connection.execute(text(statement), values)

        self._run(change())

    def _tables(self) -> dict[str, list[Any]]:
        async def read() -> dict[str, list[Any]]:
            async with self._parts.database.begin() as connection:
                return {
                    table: list((await connection.execute(text(f"SELECT * FROM {table} ORDER BY 1"))).all())
                    for table in _TABLES
                }

        return self._run(read())

    def _take_in(self, event: Event) -> None:
        record = bus_record(self._parts, event, len(self._records))
        self._records.append(record)
        self._run(self._intake.take_in([record]))

    def upload(self) -> None:
        index = self._pick(range(PREVIEWS))
        if index >= len(self._previews):
            self._previews.append(UUID(int=len(self._previews) + 1))
        self._clock += timedelta(seconds=1)
        preview_file_id = self._previews[min(index, len(self._previews) - 1)]
        self._uploaded_at[str(preview_file_id)] = self._clock
        self._take_in(upload(preview_file_id, uploaded_at=self._clock))

    def ask_for_another_run(self) -> None:
        self._take_in(
            RenormalizeRequested(
                preview_file_id=self._pick(self._previews),
                reason="r",
                requested_by="me",
                priority=self._pick(list(Priority)),
            )
        )

    def a_record_comes_again(self) -> None:
        before = self._tables()
        self._run(self._intake.take_in([self._pick(self._records)]))
        assert self._tables() == before

    def claim(self) -> None:
        """One worker, or two in the same moment; all waits are over."""
        names = self._pick([*itertools.combinations(WORKERS, 1), *itertools.combinations(WORKERS, 2)])
        self._change("UPDATE task SET available_at = now() WHERE state = 'queued'")

        async def claims() -> list[Held | None]:
            return await asyncio.gather(*(self._claim(name) for name in names))

        for held in self._run(claims()):
            if held:
                assert held.task.subject not in self._owners
                self._held.append(held)
                self._owners[held.task.subject] = held.task.fence

    async def _claim(self, name: str) -> Held | None:
        idle = all(held.worker != name for held in self._held)
        async with self._parts.database.begin() as connection:
            task = await ledger.claim(connection, name, LEASE, idle=idle)
        if task is None:
            return None
        self._claimed.add(task.fence)
        assert not task.batched
        assert idle or not task.losses
        return await self._reading(name, task)

    def claim_a_batch(self) -> None:
        """As `claim`."""
        names = self._pick([*itertools.combinations(WORKERS, 1), *itertools.combinations(WORKERS, 2)])
        self._change("UPDATE task SET available_at = now() WHERE state = 'queued'")

        async def claims() -> list[list[Held]]:
            return await asyncio.gather(*(self._claim_a_batch(name) for name in names))

        for batch in self._run(claims()):
            for held in batch:
                assert held.task.subject not in self._owners
                self._owners[held.task.subject] = held.task.fence
            if batch:
                self._batches.append(batch)

    async def _claim_a_batch(self, name: str) -> list[Held]:
        async with self._parts.database.begin() as connection:
            tasks = await batches.claim(connection, name, LEASE, PREVIEWS)
        assert all(task.batched for task in tasks)
        self._claimed |= {task.fence for task in tasks}
        return [await self._reading(name, task) for task in tasks]

    async def _reading(self, name: str, task: Task) -> Held:
        (row,) = await self._parts.database.fetch(
            "SELECT uploaded_at FROM preview_file WHERE id = :id", id=UUID(task.subject)
        )
        return Held(name, task, row.uploaded_at)

    def _owns(self, task: Task) -> bool:
        return self._owners.get(task.subject) == task.fence

    def _forget_owner(self, task: Task) -> None:
        del self._owners[task.subject]
        self._over.discard(task.subject)

    def _outcome(self, held: Held, code: FailureCode | None) -> Published | AttemptFailedError:
        if code:
            failure = AttemptFailedError(code, "as the test says")
            # What the watchdog ends has not said which upload it read.
            silent = code is FailureCode.TIMEOUT
            return failure if silent else NormalizeFailedError(failure, uploaded_at=held.uploaded_at, playable=False)
        source = StoredFile(kind="source_movie", bucket="movies", key="s", bytes=1, etag="e", sha256="0" * 64)
        return Published(source, (), None, held.uploaded_at)

    async def _conclude(self, held: Held, code: FailureCode | None) -> None:
        attempt = _Attempt(held.task, Progress())
        await self._workers[held.worker]._conclude(attempt, self._outcome(held, code))

    def finish(self) -> None:
        """A worker writes its result, twice if it doesn't hear that the first time was taken."""
        held, code = self._pick(self._held), self._pick(OUTCOMES)
        self._held.remove(held)
        before = self._tables()
        self._run(self._conclude(held, code))
        if self._owns(held.task):
            after = self._tables()
            assert after["task"] != before["task"]
            if held.uploaded_at != self._uploaded_at[held.task.subject]:  # another file has come: its own job answers
                assert (after["preview_file"], after["outbox"]) == (before["preview_file"], before["outbox"])
            self._forget_owner(held.task)
            if self._pick([True, False]):
                before = self._tables()
                self._run(self._conclude(held, code))
                assert self._tables() == before
        else:
            assert self._tables() == before

    async def _conclude_a_batch(self, batch: Sequence[Held], absent: bool) -> None:
        looker = self._lookers[batch[0].worker]
        looks = [
            Look(held.task, Sought(("movies", "s"), held.uploaded_at, PreviewStatus.READY), absent) for held in batch
        ]
        await looker._conclude(sort_out(looks, store="S3", policy=looker._policy, now=datetime.now(UTC)))

    def finish_a_batch(self) -> None:
        """As `finish`: each member that is still its worker's moves, and nothing else does."""
        batch, absent = self._pick(self._batches), self._pick([True, True, False])
        self._batches.remove(batch)
        mine = [held for held in batch if self._owns(held.task)]
        before = self._tables()
        self._run(self._conclude_a_batch(batch, absent))
        after = self._tables()
        moved = {new.id for old, new in zip(before["task"], after["task"], strict=True) if old != new}
        assert moved == {held.task.id for held in mine}
        missing = {
            UUID(held.task.subject)
            for held in mine
            if absent and held.task.looks and held.uploaded_at == self._uploaded_at[held.task.subject]
        }
        changed = {new.id for old, new in zip(before["preview_file"], after["preview_file"], strict=True) if old != new}
        assert changed == missing
        for held in mine:
            self._forget_owner(held.task)
        if self._pick([True, False]):
            self._run(self._conclude_a_batch(batch, absent))
            assert self._tables() == after

    def die_before_the_commit(self) -> None:
        held, code = self._pick(self._held), self._pick(OUTCOMES)
        self._held.remove(held)
        before = self._tables()

        async def die() -> None:
            with suppress(ConnectionAbortedError):
                async with self._parts.database.begin() as connection:
                    worker = self._workers[held.worker]
                    await worker._write(connection, _Attempt(held.task, Progress()), self._outcome(held, code))
                    raise ConnectionAbortedError

        self._run(die())
        assert self._tables() == before

    def die(self) -> None:
        name = self._pick(self._held).worker
        self._held = [held for held in self._held if held.worker != name]
        self._batches = [batch for batch in self._batches if batch[0].worker != name]

    def a_lease_runs_out(self) -> None:
        self._end_lease(self._pick(sorted(self._owners)))

    def _end_lease(self, subject: str) -> None:
        self._over.add(subject)
        self._change(
            "UPDATE task SET lease_until = now() - interval '1 second' WHERE subject = :subject AND state = 'running'",
            subject=subject,
        )

    def renew(self) -> None:
        self._renew(self._pick(self._held).worker)

    def _renew(self, name: str) -> None:
        mine = [held for held in self._held if held.worker == name]

        async def renewal() -> set[UUID]:
            async with self._parts.database.begin() as connection:
                return await ledger.renew(connection, [(held.task, None) for held in mine], LEASE)

        before = self._tables()
        ours = self._run(renewal())
        assert ours == {held.task.id for held in mine if self._owns(held.task)}
        after = self._tables()
        assert all(after[table] == before[table] for table in _TABLES if table != "task")
        self._over -= {held.task.subject for held in mine if self._owns(held.task)}
        self._held = [held for held in self._held if held.worker != name or self._owns(held.task)]

    def the_janitor_looks(self) -> None:
        async def look() -> list[Task]:
            async with self._parts.database.begin() as connection:
                return await ledger.expired(connection)

        self._found = sorted(self._run(look()), key=lambda task: task.subject)
        assert {task.subject for task in self._found} == self._over

    def the_janitor_acts(self) -> None:
        self._act(self._pick(self._found))

    def _act(self, task: Task) -> None:
        self._found.remove(task)
        before = self._tables()
        self._run(self._janitor._take_back(task))
        if self._owns(task) and task.subject in self._over:
            assert self._tables()["task"] != before["task"]
            self._forget_owner(task)
        else:
            assert self._tables() == before

    def the_janitor_and_the_paused_worker_act_at_once(self) -> None:
        task, code = self._pick(self._found), self._pick(OUTCOMES)
        if not (self._owns(task) and task.subject in self._over):
            return
        awake = [held for held in self._held if held.task.id == task.id and held.task.fence == task.fence]

        async def both() -> None:
            await asyncio.gather(self._janitor._take_back(task), *(self._conclude(held, code) for held in awake))

        events = len(self._tables()["outbox"])
        self._run(both())
        assert len(self._tables()["outbox"]) - events <= 1
        self._held = [held for held in self._held if held not in awake]
        self._forget_owner(task)

    def a_paused_worker_is_overtaken(self) -> None:
        """Several steps at once, so that it happens often."""
        self._end_lease(self._pick(sorted(self._owners)))
        self.the_janitor_looks()
        while self._found:
            self._act(self._found[0])
        self.claim()

    def a_worker_renews_before_the_janitor_acts(self) -> None:
        """The janitor's list is old by then."""
        held = self._pick(self._held)
        for subject in sorted(self._owners):
            self._end_lease(subject)
        self.the_janitor_looks()
        self._renew(held.worker)
        while self._found:
            self._act(self._found[0])

    @invariant()
    def all_promises_hold(self) -> None:
        tables = self._tables()
        self._check_versions(tables)
        self._check_requests(tables)
        self._check_history(tables)

    def _check_versions(self, tables: dict[str, list[Any]]) -> None:
        """Every version of a row stands in the outbox once, in order, and the last says what the row says."""
        events: dict[UUID, list[StatusChanged]] = defaultdict(list)
        for record in tables["outbox"]:
            event = StatusChanged.model_validate_json(record.value)
            events[event.preview_file_id].append(event)
        assert len(tables["preview_file"]) == len(self._previews)
        for row in tables["preview_file"]:
            assert [event.version for event in events[row.id]] == list(range(1, row.version + 1))
            last = events[row.id][-1]
            assert (last.internal_status, last.fence) == (row.status, row.fence)
            assert row.fence >= self._fences[row.id]
            self._fences[row.id] = row.fence

    def _check_requests(self, tables: dict[str, list[Any]]) -> None:
        """Whatever was asked has a job or an outcome; whatever is processing has a job; owners are as the rules say."""
        live = {task.id: task for task in tables["task"] if task.state in {"queued", "running"}}
        assert len(tables["request"]) == len(self._records)
        assert all(request.outcome or request.task_id in live for request in tables["request"])
        self._queued = {task.subject for task in live.values() if task.state == "queued"}
        at_work = {task.subject for task in live.values()}
        assert all(str(row.id) in at_work for row in tables["preview_file"] if row.status == "processing")
        assert {task.subject: task.fence for task in live.values() if task.state == "running"} == self._owners

    def _check_history(self, tables: dict[str, list[Any]]) -> None:
        """Each claim that is over has its row in the history, whoever ended it, and no other has one."""
        told = [attempt.fence for attempt in tables["attempt"]]
        assert len(told) == len(set(told))
        assert set(told) == self._claimed - set(self._owners.values())

    def teardown(self) -> None:
        """All workers die; the janitor and one that goes on bring everything to its end."""
        self._held.clear()
        self._batches.clear()
        for subject in sorted(self._owners):
            self._end_lease(subject)
        self.the_janitor_looks()
        while self._found:
            self._act(self._found[0])
        assert not self._owners
        self._change("UPDATE task SET available_at = now() WHERE state = 'queued'")
        while batch := self._run(self._claim_a_batch(WORKERS[0])):
            self._run(self._conclude_a_batch(batch, absent=False))
        while held := self._run(self._claim(WORKERS[0])):
            self._run(self._conclude(held, None))
        tables = self._tables()
        self._check_versions(tables)
        self._check_requests(tables)
        self._check_history(tables)
        assert all(row.status != "processing" for row in tables["preview_file"])
        assert all(request.outcome for request in tables["request"])
        assert all(task.state in {"done", "failed"} for task in tables["task"])


def test_in_any_order_no_job_has_two_owners_and_nothing_is_lost_or_stays_processing(world: World) -> None:
    with asyncio.Runner() as runner:
        opened = parts_of(world.with_settings(LEASE=str(LEASE), RETRY_LIMIT="3"))
        parts = runner.run(opened.__aenter__())

        class Machine(AnyOrder):
            def __init__(self) -> None:
                super().__init__(runner, parts)

        try:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=25,
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow],
                ),
            )
        finally:
            runner.run(opened.__aexit__(None, None, None))

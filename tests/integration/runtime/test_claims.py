"""Claims: what waits comes back by itself, and what stands at the head of the queue slows nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rushes_runtime import ledger
from rushes_runtime.database import Database
from rushes_runtime.ledger import NewTask, Takes, Task
from sqlalchemy import TextClause, text

from tests.full_queue import fill_queue, vacuum
from tests.world import World, eventually

NOW = datetime.now(UTC)
LEASE = 60.0


@pytest.fixture
async def database(world: World) -> AsyncIterator[Database]:
    """A service's database, with an empty ledger."""
    async with world.normalizer_database() as opened:
        yield opened


async def _enqueue(database: Database, *subjects: str, later: timedelta = timedelta(0)) -> None:
    """Each a second behind the one before."""
    async with database.begin() as connection:
        await ledger.enqueue(
            connection,
            [
                NewTask(subject, "upload", NOW + later + timedelta(seconds=number), {})
                for number, subject in enumerate(subjects)
            ],
        )


async def _claim(database: Database, *, idle: bool = True, takes: Takes = Takes.ALL) -> Task | None:
    async with database.begin() as connection:
        return await ledger.claim(connection, "worker", LEASE, idle=idle, takes=takes)


async def _claimed(database: Database, *, idle: bool = True) -> Task:
    task = await _claim(database, idle=idle)
    assert task
    return task


async def _requeue(database: Database, task: Task, wait: float = 0.0, losses: int = 0) -> None:
    async with database.begin() as connection:
        await ledger.requeue(connection, task, wait=timedelta(seconds=wait), losses=losses)


async def test_a_job_that_waits_is_claimed_when_its_time_has_come_though_there_is_no_janitor(
    database: Database,
) -> None:
    await _enqueue(database, "first", "second")
    await _requeue(database, await _claimed(database), wait=1.0)
    second = await _claimed(database)
    assert second.subject == "second"
    back = await eventually(lambda: _claim(database))
    assert back
    assert back.subject == "first"
    (late,) = await database.fetch("SELECT started_at - available_at AS late FROM task WHERE subject = 'first'")
    assert late.late >= timedelta(0)


async def test_jobs_that_come_back_are_claimed_in_the_order_of_their_ranks(database: Database) -> None:
    await _enqueue(database, *(f"subject-{number}" for number in range(200)))
    await database.fetch(
        "UPDATE task SET deferred = true, available_at = now() - random() * interval '1 h' RETURNING 1"
    )
    first = await _claimed(database)
    (left,) = await database.fetch("SELECT count(*) AS many FROM task WHERE deferred")
    assert left.many == 150  # a claim brings back no more at once, and each that follows does
    claimed = [first.subject, *[(await _claimed(database)).subject for _ in range(199)]]
    assert len(set(claimed)) == 200
    assert claimed[4:] == sorted(claimed[4:], key=lambda subject: int(subject.removeprefix("subject-")))
    assert await _claim(database) is None


async def test_a_request_that_joins_a_job_that_waits_makes_it_claimable_at_once(database: Database) -> None:
    await _enqueue(database, "one")
    await _requeue(database, await _claimed(database), wait=3600)
    assert await _claim(database) is None
    await _enqueue(database, "one")
    assert (await _claimed(database)).subject == "one"


async def test_what_a_worker_of_the_version_before_writes_is_claimed_in_its_time(database: Database) -> None:
    """It knows nothing of `deferred`: it neither sets nor clears it."""
    await _enqueue(database, "put off", "taken by the old one")
    await database.fetch("UPDATE task SET available_at = now() + interval '1 s' WHERE subject = 'put off' RETURNING 1")
    await database.fetch("UPDATE task SET deferred = true WHERE subject = 'taken by the old one' RETURNING 1")
    assert (await _claimed(database)).subject == "taken by the old one"
    assert await _claim(database) is None
    assert await eventually(lambda: _claim(database))


async def test_each_worker_takes_the_jobs_of_its_size_in_their_turn(database: Database) -> None:
    await _enqueue(database, *(f"subject-{number}" for number in range(5)))
    await database.fetch("UPDATE task SET large = true WHERE subject IN ('subject-0', 'subject-3') RETURNING 1")
    claimed = [await _claim(database, takes=takes) for takes in (Takes.ORDINARY, Takes.LARGE, Takes.ALL, Takes.LARGE)]
    assert [task and task.subject for task in claimed] == ["subject-1", "subject-0", "subject-2", "subject-3"]
    assert await _claim(database, takes=Takes.LARGE) is None


async def test_a_lost_job_that_is_for_others_keeps_no_worker_waiting(database: Database) -> None:
    await _enqueue(database, "lost", "second")
    await _requeue(database, await _claimed(database), losses=1)
    await database.fetch("UPDATE task SET large = true WHERE subject = 'lost' RETURNING 1")
    second = await _claim(database, idle=False, takes=Takes.ORDINARY)
    assert second
    assert second.subject == "second"
    assert await _claim(database, takes=Takes.ORDINARY) is None
    lost = await _claim(database, takes=Takes.LARGE)
    assert lost
    assert lost.subject == "lost"


async def test_a_job_stays_large_whatever_joins_it(database: Database) -> None:
    await _enqueue(database, "one")
    task = await _claimed(database)
    async with database.begin() as connection:
        await ledger.requeue(connection, task, large=True)
    await _enqueue(database, "one")
    assert await _claim(database, takes=Takes.ORDINARY) is None
    assert await _claim(database, takes=Takes.LARGE)


async def test_a_lost_job_is_claimed_in_its_turn_though_every_process_always_has_work(database: Database) -> None:
    await _enqueue(database, "lost", "second", "third")
    await _requeue(database, await _claimed(database, idle=False), losses=1)
    # The next in turn is for an idle process: busy ones let their slots run empty.
    assert await _claim(database, idle=False) is None
    assert (await _claimed(database, idle=True)).subject == "lost"
    assert (await _claimed(database, idle=False)).subject == "second"


async def test_a_lost_job_whose_turn_has_not_come_holds_nobody_up(database: Database) -> None:
    await _enqueue(database, "lost", later=timedelta(hours=1))
    await _requeue(database, await _claimed(database), losses=1)
    await _enqueue(database, "first", "second")
    assert (await _claimed(database, idle=True)).subject == "first"
    assert (await _claimed(database, idle=False)).subject == "second"


async def test_a_lost_job_whose_subject_runs_holds_nobody_up(database: Database) -> None:
    await _enqueue(database, "lost", "second")
    await _requeue(database, await _claimed(database), losses=1)
    await database.fetch("""
        INSERT INTO task (subject, lane, rank, payload, state) VALUES ('lost', 'upload', now(), '{}', 'running')
        RETURNING 1""")
    assert (await _claimed(database, idle=False)).subject == "second"


async def test_sixteen_claimers_at_once_claim_each_job_once(database: Database) -> None:
    await _enqueue(database, *(f"subject-{number}" for number in range(120)))
    await database.fetch("UPDATE task SET deferred = true WHERE ascii(right(subject, 1)) % 2 = 0 RETURNING 1")
    claimed: list[str] = []

    async def claim_all() -> None:
        while task := await _claim(database, idle=False):
            claimed.append(task.subject)

    await asyncio.gather(*(claim_all() for _ in range(16)))
    while task := await _claim(database):  # what two of them wanted in the same moment
        claimed.append(task.subject)
    assert len(claimed) == len(set(claimed)) == 120


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)


async def _plan(database: Database, statement: TextClause, **values: Any) -> dict[str, Any]:
    """What a statement did, as PostgreSQL tells it."""
    async with database.begin() as connection:
        explain = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}")
        answer = (await connection.execute(explain, values)).scalar_one()
    plan: dict[str, Any] = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
    return plan


def _pages(plan: dict[str, Any]) -> int:
    read: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return read


def _reads_no_more_than(plan: dict[str, Any], pages: int) -> bool:
    """Whether it went by indexes and read so many pages at most; a table that is read or sorted whole shows in both."""
    kinds = {node["Node Type"] for node in _nodes(plan)}
    return not kinds & {"Seq Scan", "Sort", "Incremental Sort"} and _pages(plan) <= pages


JOBS, TWINS = 30_000, 20
# Each entry of the head that is passed over costs a look at it and one for what runs; the rest is the update itself.
PAGES = 60 + 3 * TWINS


@pytest.fixture(params=["fresh", "stale"])
async def full(database: Database, request: pytest.FixtureRequest) -> Database:
    """A long queue, with what cannot be claimed now before all else.

    Stale statistics are of a time when jobs had ended and none waited.
    """
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE task SET (autovacuum_enabled = false)"))
        await connection.execute(
            text("""
                INSERT INTO task (subject, lane, rank, payload, state, ended_at)
                SELECT gen_random_uuid()::text, 'upload', now(), '{}', 'done', now() FROM generate_series(1, 10000)""")
        )
    await vacuum(database)
    await fill_queue(database, JOBS, twins=TWINS)
    if request.param == "fresh":
        await vacuum(database)
    await _claim(database)
    return database


async def test_a_claim_from_a_long_queue_reads_a_few_pages(full: Database) -> None:
    plan = await _plan(full, ledger.CLAIM[Takes.ALL], worker="w", lease=LEASE, left_out=["nobody%"])
    assert _reads_no_more_than(plan, PAGES)
    assert plan["Actual Rows"] == 1
    assert _reads_no_more_than(await _plan(full, ledger.COME_BACK), PAGES)


async def test_jobs_that_lost_their_worker_slow_no_claim_down(full: Database) -> None:
    await full.fetch("""
        UPDATE task SET losses = 1 WHERE id = ANY(ARRAY(
            SELECT id FROM task WHERE state = 'queued' AND NOT deferred ORDER BY rank OFFSET 100 LIMIT 5000))
        RETURNING 1""")
    for statement in (ledger.CLAIM[Takes.ALL], ledger.CLAIM_LOST[Takes.ALL]):
        plan = await _plan(full, statement, worker="w", lease=LEASE, left_out=["nobody%"])
        assert _reads_no_more_than(plan, PAGES)
        assert plan["Actual Rows"] == 1


@pytest.mark.parametrize("takes", [Takes.ORDINARY, Takes.LARGE])
async def test_jobs_of_the_other_size_slow_no_claim_down(full: Database, takes: Takes) -> None:
    head = "rank < (SELECT rank FROM task WHERE state = 'queued' AND NOT deferred ORDER BY rank OFFSET 5000 LIMIT 1)"
    await full.fetch(f"UPDATE task SET large = ({head}) = {takes is Takes.ORDINARY} RETURNING 1")
    await vacuum(full)
    plan = await _plan(full, ledger.CLAIM[takes], worker="w", lease=LEASE, left_out=["nobody%"])
    assert _reads_no_more_than(plan, PAGES)
    assert plan["Actual Rows"] == 1


async def test_the_last_rank_of_a_project_is_found_in_a_long_queue_by_a_few_pages(full: Database) -> None:
    shares, lanes = ["project-1", "project-2", "nobody's"], ["single", "bulk", "upload"]
    plan = await _plan(full, ledger.LAST_RANKS, shares=shares, lanes=lanes)
    assert _reads_no_more_than(plan, 30)
    assert plan["Actual Rows"] == 2

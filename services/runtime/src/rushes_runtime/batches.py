"""The ledger's statements for many tasks at once, where each is too small for a slot of its own.

Each member of a batch is claimed, ended and put back as a task of a slot is: under a lease, under a fence of its own,
with no effect for whoever was fenced off. A batch is not renewed: it is done, or given back, well within its lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json
from rushes_schemas import FailureCode
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_runtime.ledger import Outcome, Task, outcome_of, task_of

# A queue that has just been filled looks empty to the planner: it would read and sort all of it for each batch.
BY_INDEX: Final = text("SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true)")

# Claiming: those that have waited longest, without waiting for other claimers. Each gets the next fence of its own. A
# subject that runs is passed over (not as NOT EXISTS, which can become a join that reads the whole queue); should two
# claimers meet on one subject, the unique index lets one through.
CLAIM_BATCH: Final = text("""
    WITH next AS MATERIALIZED (
        SELECT id FROM task AS waiting
        WHERE state = 'queued' AND batched AND available_at <= now()
          AND (SELECT true FROM task AS other
               WHERE other.subject = waiting.subject AND other.state = 'running') IS NULL
        ORDER BY available_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE task SET state = 'running', worker = :worker, fence = nextval('fence'),
        lease_until = now() + make_interval(secs => :lease), started_at = now(), progress = NULL
    FROM next WHERE task.id = next.id
    RETURNING task.*""")

# Each attempt ends where its task ends or goes back, and by the same statement, as in ledger.py. Each task is looked up
# by its id, whatever the planner believes of a table that grows and ends by the thousand.
_HELD_BEFORE: Final = """
    WITH held AS (
        SELECT found.*, said.*
        FROM json_to_recordset(CAST(:said AS json))
            AS said (said_id uuid, said_fence bigint, code text, message text, outcome text, wait double precision,
                     more_looks integer, again boolean)
        CROSS JOIN LATERAL (
            SELECT id AS held_id, worker AS held_by, tries + looks + losses + 1 AS number FROM task
            WHERE id = said_id AND fence = said_fence AND state = 'running'{also}
            FOR UPDATE) AS found),
    ended AS ("""
_AND_TELL: Final = """
        FROM held WHERE id = ANY(:ids) AND id = held_id
        RETURNING task.*, held.*),
    told AS (
        INSERT INTO attempt (fence, task_id, subject, number, lane, worker, started_at, ended_at, outcome, code)
        SELECT fence, id, subject, number, lane, held_by, started_at, now(), outcome, code FROM ended)
    SELECT id FROM ended"""

# Ending: each once, by the holder of its fence. Whoever does not come back was fenced off.
END_BATCH: Final = text(f"""{_HELD_BEFORE.format(also="")}
        UPDATE task SET state = 'failed', ended_at = now(), lease_until = NULL,
            failure_code = code, failure_message = message{_AND_TELL}""")  # noqa: S608 - all of it is this module's own

# Back to the queue, each by the holder of its fence, at its old rank; not those whose subject has a newer task there.
_NO_NEWER: Final = """
              AND (SELECT true FROM task AS newer
                   WHERE newer.subject = task.subject AND newer.state = 'queued') IS NULL"""
REQUEUE_BATCH: Final = text(f"""{_HELD_BEFORE.format(also=_NO_NEWER)}
        UPDATE task SET state = 'queued', available_at = now() + make_interval(secs => wait),
            deferred = wait > 0 AND NOT again, batched = again, looks = task.looks + more_looks,
            worker = NULL, lease_until = NULL, failure_code = code, failure_message = message{_AND_TELL}""")  # noqa: S608

# Still held: which of a batch nobody has taken back. That stays so while the subjects' locks are held.
RUNNING: Final = text("SELECT id, fence FROM task WHERE id = ANY(:ids) AND state = 'running'")

NEWER: Final = text("SELECT subject, id FROM task WHERE subject = ANY(:subjects) AND state = 'queued'")


@dataclass(frozen=True)
class Ending:
    """A task that ends as failed; `outcome` is its attempt's."""

    task: Task
    code: FailureCode
    message: str | None
    outcome: Outcome = Outcome.FAILED


@dataclass(frozen=True)
class Back:
    """A task that goes back to the queue.

    Attributes:
        wait: before it is claimed again.
        looks: to be added to its own.
        batched: it waits for another batch; else for a slot.
    """

    task: Task
    batched: bool
    wait: timedelta = timedelta(0)
    looks: int = 0
    code: FailureCode | None = None
    message: str | None = None


async def claim(connection: AsyncConnection, worker: str, lease: float, limit: int) -> list[Task]:
    """Tasks that wait for a batch, now this worker's; `limit` at most. Call it in a transaction of its own."""
    values = {"worker": worker, "lease": float(lease), "limit": limit}
    await connection.execute(BY_INDEX)
    try:
        async with connection.begin_nested():
            result = await connection.execute(CLAIM_BATCH, values)
            return [task_of(row) for row in result.mappings()]
    except IntegrityError:
        return []  # another worker took a task of one of these subjects in the same moment; look again later


async def held(connection: AsyncConnection, tasks: Sequence[Task]) -> set[UUID]:
    """The ids of the tasks that are still this worker's, which stays so while their subjects' locks are held."""
    result = await connection.execute(RUNNING, {"ids": [task.id for task in tasks]})
    fences: dict[UUID, int] = {row.id: row.fence for row in result}
    return {task.id for task in tasks if fences.get(task.id) == task.fence}


async def end(connection: AsyncConnection, endings: Sequence[Ending]) -> set[UUID]:
    """End tasks as failed; the ids of those that were still this worker's."""
    if not endings:
        return set()
    rows = [_said(each.task, each.code, each.message, each.outcome) for each in endings]
    values = {"said": to_json(rows).decode(), "ids": [each.task.id for each in endings]}
    return {row.id for row in await connection.execute(END_BATCH, values)}


async def requeue(connection: AsyncConnection, backs: Sequence[Back]) -> list[tuple[Task, UUID]]:
    """Put tasks back into the queue, at their old rank.

    If a newer task of the subject waits already, the older one ends and the newer does the work. The subjects are
    locked, so none comes to the queue meanwhile.

    Returns:
        Each task that has ended so, with the id of the newer one.
    """
    if not backs:
        return []
    rows = [
        {
            **_said(each.task, each.code, each.message, outcome_of(looks=each.looks, code=each.code)),
            "wait": each.wait.total_seconds(),
            "more_looks": each.looks,
            "again": each.batched,
        }
        for each in backs
    ]
    values = {"said": to_json(rows).decode(), "ids": [each.task.id for each in backs]}
    queued = {row.id for row in await connection.execute(REQUEUE_BATCH, values)}
    left = {each.task.subject: each for each in backs if each.task.id not in queued}
    if not left:
        return []
    found = await connection.execute(NEWER, {"subjects": list(left)})
    newer: dict[UUID, UUID] = {left[row.subject].task.id: row.id for row in found}
    overtaken = [each for each in left.values() if each.task.id in newer]
    ended = await end(connection, [_overtaken(each) for each in overtaken])
    return [(each.task, newer[each.task.id]) for each in overtaken if each.task.id in ended]


def _overtaken(back: Back) -> Ending:
    outcome = outcome_of(looks=back.looks, code=back.code)
    return Ending(back.task, back.code or FailureCode.WORKER_LOST, back.message, outcome)


def _said(task: Task, code: FailureCode | None, message: str | None, outcome: Outcome) -> dict[str, Any]:
    return {"said_id": task.id, "said_fence": task.fence, "code": code, "message": message, "outcome": outcome.value}

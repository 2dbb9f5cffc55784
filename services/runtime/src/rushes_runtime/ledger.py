"""The ledger: tasks in PostgreSQL, and the few statements that carry its guarantees.

A task is claimed by one worker at a time, under a lease and a fence. Whoever lost its lease can change
nothing: every statement below that ends or moves a running task names its fence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias
from uuid import UUID

from pydantic_core import to_json
from rushes_schemas import FailureCode
from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_runtime.database import Database
from rushes_runtime.usage import Usage

# Joining: at most one task of a subject waits. A new request moves it forward, never back. Whoever asks for a slot gets
# one.
ENQUEUE: Final = text("""
    INSERT INTO task AS waiting (subject, lane, share, rank, payload, batched, large)
    SELECT subject, lane, share, rank, payload, batched, large
    FROM json_to_recordset(CAST(:tasks AS json))
        AS new (subject text, lane text, share text, rank timestamptz, payload jsonb, batched boolean, large boolean)
    ON CONFLICT (subject) WHERE state = 'queued' DO UPDATE SET
        lane = CASE WHEN excluded.rank < waiting.rank THEN excluded.lane ELSE waiting.lane END,
        rank = least(waiting.rank, excluded.rank),
        share = excluded.share, payload = excluded.payload, batched = waiting.batched AND excluded.batched,
        large = waiting.large OR excluded.large,
        available_at = now(), deferred = false, tries = 0, looks = 0
    RETURNING id, subject""")

# Spreading: the rank behind which a share's next task in a lane comes. Nothing is locked: of two transactions at once,
# neither sees what the other enqueues, and their tasks come side by side.
LAST_RANKS: Final = text("""
    SELECT share, lane, last.rank
    FROM unnest(CAST(:shares AS text[]), CAST(:lanes AS text[])) AS asked (share, lane)
    CROSS JOIN LATERAL (
        SELECT rank FROM task
        WHERE state = 'queued' AND task.share = asked.share AND task.lane = asked.lane
        ORDER BY rank DESC LIMIT 1) AS last""")

# Coming back: deferred tasks whose time has come can be claimed again. Every claimer does this first, so that they
# need nobody else. Many at once come back over several claims, faster than they are claimed.
COME_BACK: Final = text("""
    UPDATE task SET deferred = false
    WHERE id = ANY(ARRAY(
        SELECT id FROM task WHERE state = 'queued' AND deferred AND available_at <= now()
        ORDER BY available_at LIMIT 50 FOR UPDATE SKIP LOCKED))""")

# A subject that runs is passed over. No more of them can wait than tasks run. Not as NOT EXISTS: that can become a join
# that reads and sorts the whole queue.
_NO_TWIN: Final = """
    (SELECT true FROM task AS other WHERE other.subject = next.subject AND other.state = 'running') IS NULL"""
_CAN_BE_CLAIMED: Final = f"""
    state = 'queued' AND NOT deferred AND NOT batched AND available_at <= now()
    AND subject NOT LIKE ALL (CAST(:left_out AS text[])) AND {_NO_TWIN}"""
_LOST: Final = f"losses > 0 AND {_CAN_BE_CLAIMED}"

# Claiming: lowest rank first, without waiting for other claimers. Each claim takes the next fence. Should two claimers
# meet on one subject, the unique index lets one through. Subjects whose store is down are passed over. What waits for a
# batch (batches.py) is not for a slot.
_CLAIM: Final = """
    UPDATE task SET state = 'running', worker = :worker, fence = nextval('fence'),
        lease_until = now() + make_interval(secs => :lease), started_at = now(), progress = NULL
    WHERE id = ({next})
    RETURNING *"""


class Takes(StrEnum):
    """The tasks that a worker takes. Those for large machines are marked when they are enqueued, or handed on."""

    ALL = "all"
    ORDINARY = "ordinary"
    LARGE = "large"


_OF_SIZE: Final = {Takes.ALL: "", Takes.ORDINARY: " AND NOT large", Takes.LARGE: " AND large"}


# When the next one in turn has lost a worker, nothing is claimed: else a process that always has work would never be
# idle enough for it.
def _claim_next(which: str) -> TextClause:
    return text(
        _CLAIM.format(
            next=f"""
        SELECT id FROM task AS next
        WHERE losses = 0 AND {_CAN_BE_CLAIMED}{which}
          AND rank <= coalesce((SELECT rank FROM task AS next WHERE {_LOST}{which} ORDER BY rank LIMIT 1), 'infinity')
        ORDER BY rank LIMIT 1 FOR UPDATE SKIP LOCKED"""  # noqa: S608 - nothing but this module's own words
        )
    )


# A task that lost a worker before is claimed only by a process that runs nothing else.
def _claim_lost(which: str) -> TextClause:
    lost = f"SELECT id FROM task AS next WHERE {_LOST}{which} ORDER BY rank LIMIT 1 FOR UPDATE SKIP LOCKED"  # noqa: S608
    return text(_CLAIM.format(next=lost))


CLAIM: Final = {takes: _claim_next(size) for takes, size in _OF_SIZE.items()}
CLAIM_LOST: Final = {takes: _claim_lost(size) for takes, size in _OF_SIZE.items()}
# Of one area alone: what stands before the first slash of a subject. A service that uses it has an index of that.
_OF_AREA: Final = " AND split_part(subject, '/', 1) = :area"
CLAIM_OF_AREA: Final = _claim_next(_OF_AREA)
CLAIM_LOST_OF_AREA: Final = _claim_lost(_OF_AREA)

# Renewing: only what this worker still holds under the same fence comes back.
RENEW: Final = text("""
    UPDATE task SET lease_until = now() + make_interval(secs => :lease), progress = mine.progress
    FROM json_to_recordset(CAST(:held AS json)) AS mine (id uuid, fence bigint, progress jsonb)
    WHERE task.id = mine.id AND task.fence = mine.fence AND task.state = 'running'
    RETURNING task.id""")

# An attempt ends where its task ends or goes back, and by the same statement: none is missing in the history.
_HELD_BEFORE: Final = """
    WITH held AS (SELECT id AS held_id, worker AS held_by, tries + looks + losses + 1 AS number
                  FROM task WHERE id = :id AND fence = :fence AND state = 'running' FOR UPDATE),
    ended AS ("""
_AND_TELL: Final = """
        RETURNING task.*, held.*),
    told AS (
        INSERT INTO attempt (fence, task_id, subject, number, lane, worker, started_at, ended_at, outcome, code,
                             cpu_seconds, peak_memory)
        SELECT fence, id, subject, number, lane, held_by, started_at, now(), CAST(:outcome AS text),
            CAST(:code AS text), CAST(:cpu_seconds AS double precision), CAST(:peak_memory AS bigint)
        FROM ended)
    SELECT id FROM ended"""

# Ending: once, by the holder of the fence. No row back means fenced off.
END: Final = text(f"""{_HELD_BEFORE}
        UPDATE task SET state = :state, ended_at = now(), lease_until = NULL,
            failure_code = CAST(:code AS text), failure_message = :message
        FROM held WHERE id = held_id{_AND_TELL}""")  # noqa: S608 - all of it is this module's own

# Back to the queue, by the holder of the fence (or by the janitor, for a lease that is over); then for a slot.
REQUEUE: Final = text(f"""{_HELD_BEFORE}
        UPDATE task SET state = 'queued', available_at = now() + make_interval(secs => :wait), deferred = :wait > 0,
            tries = tries + :tries, looks = looks + :looks, losses = losses + :losses, worker = NULL,
            lease_until = NULL, progress = NULL, batched = false, large = large OR :large,
            failure_code = CAST(:code AS text), failure_message = :message
        FROM held WHERE id = held_id{_AND_TELL}""")  # noqa: S608 - all of it is this module's own

WAITING: Final = text("SELECT id FROM task WHERE subject = :subject AND state = 'queued'")

EXPIRED: Final = text("""
    SELECT * FROM task WHERE state = 'running' AND lease_until < now() ORDER BY lease_until LIMIT :limit""")

# Looked at again under its lock: a worker may have renewed, or ended, since the list was made.
STILL_EXPIRED: Final = text("""
    SELECT 1 FROM task WHERE id = :id AND fence = :fence AND state = 'running' AND lease_until < now()
    FOR UPDATE""")

# A lease that is over is still held while nobody has taken the task back: a renewal may come.
HELD: Final = "SELECT 1 FROM task WHERE id = :id AND fence = :fence AND state = 'running'"

# Where a payload keeps the W3C trace context of its event.
_TRACEPARENT: Final = "traceparent"

ShareInLane: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class NewTask:
    """Work to be enqueued; `rank` is the time of its request plus its lane's offset.

    Attributes:
        share: whose work it is. Shares take turns within a lane; those who have none are one.
        batched: it waits for a batch (batches.py) before it waits for a slot.
        large: known to be work for a large machine.
        traceparent: the W3C trace context of the event that asks for it.
    """

    subject: str
    lane: str
    rank: datetime
    payload: Mapping[str, Any]
    share: str = ""
    batched: bool = False
    large: bool = False
    traceparent: str | None = None


@dataclass(frozen=True)
class Task:
    """A claimed task: one attempt under one fence.

    Attributes:
        waited: in the queue, since it could be claimed.
    """

    id: UUID
    subject: str
    lane: str
    payload: Mapping[str, Any]
    fence: int
    tries: int
    looks: int
    losses: int
    created_at: datetime
    batched: bool
    waited: timedelta = timedelta(0)

    @property
    def traceparent(self) -> str | None:
        """The trace of the event that asked for it last, if it had one."""
        trace: str | None = self.payload.get(_TRACEPARENT)
        return trace

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.tries + self.looks + self.losses + 1


def area_of(subject: str) -> str:
    """What stands before a subject's first slash."""
    return subject.partition("/")[0]


def task_of(row: RowMapping) -> Task:
    """A `Task` of what the database gives."""
    return Task(
        row["id"],
        row["subject"],
        row["lane"],
        row["payload"],
        row["fence"],
        row["tries"],
        row["looks"],
        row["losses"],
        row["created_at"],
        row["batched"],
        row["started_at"] - row["available_at"],
    )


async def last_ranks(connection: AsyncConnection, tasks: Sequence[NewTask]) -> dict[ShareInLane, datetime]:
    """The last rank of what waits already, of each share and lane of new tasks."""
    places = sorted({(task.share, task.lane) for task in tasks})
    found = await connection.execute(
        LAST_RANKS, {"shares": [share for share, _ in places], "lanes": [lane for _, lane in places]}
    )
    return {(row.share, row.lane): row.rank for row in found}


async def enqueue(connection: AsyncConnection, tasks: Sequence[NewTask]) -> dict[str, UUID]:
    """Enqueue tasks, or let them join the waiting ones of their subjects.

    Returns:
        The id of the waiting task by subject.
    """
    if not tasks:
        return {}
    rows = [
        {
            "subject": task.subject,
            "lane": task.lane,
            "share": task.share,
            "rank": task.rank,
            "payload": {**task.payload, _TRACEPARENT: task.traceparent} if task.traceparent else task.payload,
            "batched": task.batched,
            "large": task.large,
        }
        for task in sorted(tasks, key=lambda task: task.subject)
    ]
    result = await connection.execute(ENQUEUE, {"tasks": to_json(rows).decode()})
    return {row.subject: row.id for row in result}


async def claim(
    connection: AsyncConnection,
    worker: str,
    lease: float,
    *,
    idle: bool,
    takes: Takes = Takes.ALL,
    left_out: Sequence[str] = (),
    area: str | None = None,
) -> Task | None:
    """The next task, now this worker's, or None.

    Args:
        idle: this process runs nothing else.
        left_out: how subjects begin that are passed over.
        area: only of subjects that have this before their first slash, of all sizes; None: of all.
    """
    await connection.execute(COME_BACK)
    values: dict[str, Any] = {"worker": worker, "lease": float(lease), "left_out": [f"{each}%" for each in left_out]}
    usual, lost = CLAIM[takes], CLAIM_LOST[takes]
    if area is not None:
        usual, lost = CLAIM_OF_AREA, CLAIM_LOST_OF_AREA
        values["area"] = area
    try:
        async with connection.begin_nested():
            row = (await connection.execute(usual, values)).mappings().one_or_none()
            if row is None and idle:
                row = (await connection.execute(lost, values)).mappings().one_or_none()
    except IntegrityError:
        return None  # another worker took a task of this subject in the same moment; look again later
    return task_of(row) if row else None


async def renew(
    connection: AsyncConnection, held: Sequence[tuple[Task, Mapping[str, Any] | None]], lease: float
) -> set[UUID]:
    """Renew leases and store progress; the ids that are still this worker's."""
    rows = [{"id": task.id, "fence": task.fence, "progress": progress} for task, progress in held]
    result = await connection.execute(RENEW, {"held": to_json(rows).decode(), "lease": float(lease)})
    return {row.id for row in result}


class Outcome(StrEnum):
    """What became of an attempt; it stands in the history."""

    DONE = "done"
    FAILED = "failed"
    TRIED_AGAIN = "tried again"
    ABSENT_ONCE = "absent once"
    POSTPONED = "postponed"  # a store is down, or a flood of absences: it counts for nothing
    HANDED_BACK = "handed back"
    HANDED_ON = "handed on"  # it is work for a large machine
    LOST = "lost"
    CANCELLED = "cancelled"


async def end(
    connection: AsyncConnection,
    task: Task,
    *,
    code: FailureCode | None = None,
    message: str | None = None,
    outcome: Outcome | None = None,
    usage: Usage | None = None,
) -> bool:
    """End a task as done, or with a code as failed. False: this worker was fenced off.

    Args:
        outcome: of the attempt, if it is not the task's own.
    """
    state = "failed" if code else "done"
    values = {"id": task.id, "fence": task.fence, "state": state, "code": code, "message": message}
    told = _told(outcome or (Outcome.FAILED if code else Outcome.DONE), usage)
    result = await connection.execute(END, {**values, **told})
    return result.one_or_none() is not None


def _told(outcome: Outcome, usage: Usage | None) -> dict[str, Any]:
    return {
        "outcome": outcome.value,
        "cpu_seconds": usage.cpu_seconds if usage else None,
        "peak_memory": usage.peak_memory if usage else None,
    }


@dataclass(frozen=True)
class Requeued:
    """What a requeue came to.

    Attributes:
        held: False: this worker was fenced off, nothing happened.
        joined: the waiting task of the same subject that does the work instead, if there was one.
    """

    held: bool
    joined: UUID | None = None


async def requeue(
    connection: AsyncConnection,
    task: Task,
    *,
    wait: timedelta = timedelta(0),
    tries: int = 0,
    looks: int = 0,
    losses: int = 0,
    large: bool = False,
    code: FailureCode | None = None,
    message: str | None = None,
    outcome: Outcome | None = None,
    usage: Usage | None = None,
) -> Requeued:
    """Put a running task back into the queue, to be claimed by a slot after `wait`.

    If a newer task of the subject waits already, this one ends and that one does the work.

    Args:
        large: it was found to be work for a large machine, and stays so.
        outcome: of the attempt, if what it counts as does not tell.
    """
    outcome = outcome or outcome_of(tries=tries, looks=looks, losses=losses, code=code)
    values = {
        "id": task.id,
        "fence": task.fence,
        "wait": wait.total_seconds(),
        "tries": tries,
        "looks": looks,
        "losses": losses,
        "large": large,
        "code": code,
        "message": message,
        **_told(outcome, usage),
    }
    try:
        async with connection.begin_nested():
            result = await connection.execute(REQUEUE, values)
            return Requeued(result.one_or_none() is not None)
    except IntegrityError:
        found = await waiting(connection, task.subject)
        code = code or FailureCode.WORKER_LOST
        held = await end(connection, task, code=code, message=message, outcome=outcome, usage=usage)
        return Requeued(held, found)


def outcome_of(*, tries: int = 0, looks: int = 0, losses: int = 0, code: FailureCode | None) -> Outcome:
    """What became of an attempt whose task goes back to the queue."""
    if losses:
        return Outcome.LOST
    if looks:
        return Outcome.ABSENT_ONCE
    if tries:
        return Outcome.TRIED_AGAIN
    return Outcome.POSTPONED if code else Outcome.HANDED_BACK


async def waiting(connection: AsyncConnection, subject: str) -> UUID | None:
    """The task of a subject that waits in the queue, if there is one."""
    result = await connection.execute(WAITING, {"subject": subject})
    id_: UUID | None = result.scalar_one_or_none()
    return id_


def without_task(subject: str) -> str:
    """The condition, in SQL, that a subject has no task that waits or runs.

    Each is looked for in the indexes of these by itself: as NOT EXISTS that could become a join that reads all of both.

    Args:
        subject: an expression of the statement around it.
    """
    queued, running = (
        f"(SELECT true FROM task WHERE subject = {subject} AND state = '{state}') IS NULL"  # noqa: S608 - of our own words
        for state in ("queued", "running")
    )
    return f"{queued} AND {running}"


async def clock(connection: AsyncConnection) -> datetime:
    """The time by which leases go, the same throughout a transaction."""
    result = await connection.execute(text("SELECT now()"))
    now: datetime = result.scalar_one()
    return now


async def expired(connection: AsyncConnection, limit: int = 100) -> list[Task]:
    """Running tasks whose lease is over."""
    result = await connection.execute(EXPIRED, {"limit": limit})
    return [task_of(row) for row in result.mappings()]


async def still_expired(connection: AsyncConnection, task: Task) -> bool:
    """Whether a task's lease is over, locking the task."""
    result = await connection.execute(STILL_EXPIRED, {"id": task.id, "fence": task.fence})
    return result.one_or_none() is not None


async def still_held(connection: AsyncConnection, task: Task) -> bool:
    """Whether this attempt still holds its task, which stays so while the subject's lock is held."""
    result = await connection.execute(text(HELD), {"id": task.id, "fence": task.fence})
    return result.one_or_none() is not None


async def is_held(database: Database, task: Task) -> bool:
    """Whether this attempt still holds its task: nobody has claimed it since."""
    return bool(await database.fetch(HELD, id=task.id, fence=task.fence))

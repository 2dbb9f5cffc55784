"""Whose turn it is: priorities, projects, and the age of a request, in one rank."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from uuid import UUID, uuid4

from rushes_runtime import ledger
from rushes_schemas import Event, PreviewUploaded, Priority, RenormalizeRequested

from tests.integration.normalizer.bus_records import bus_record
from tests.integration.normalizer.parts import Parts, parts_of
from tests.world import World, upload

BUSY, QUIET = uuid4(), uuid4()
_numbers = count()


async def _take_in(parts: Parts, events: Sequence[Event]) -> None:
    await parts.intake().take_in([bus_record(parts, event, next(_numbers)) for event in events])


def _uploads(many: int, project_id: UUID | None) -> list[PreviewUploaded]:
    return [upload(project_id=project_id) for _ in range(many)]


def _request(event: PreviewUploaded, priority: Priority = Priority.SINGLE) -> RenormalizeRequested:
    return RenormalizeRequested(preview_file_id=event.preview_file_id, reason="r", requested_by="me", priority=priority)


async def _queue(parts: Parts) -> list[str]:
    """Subjects as their turns come."""
    return [task.subject for task in await parts.database.fetch("SELECT subject FROM task ORDER BY rank")]


def _subjects(events: Sequence[PreviewUploaded]) -> list[str]:
    return [str(event.preview_file_id) for event in events]


async def test_an_upload_does_not_wait_for_a_thousand_of_another_project(world: World) -> None:
    (one,) = _uploads(1, QUIET)
    async with parts_of(world) as parts:
        await _take_in(parts, _uploads(1000, BUSY))
        await _take_in(parts, [one])
        claimed = []
        while str(one.preview_file_id) not in claimed:
            async with parts.database.begin() as connection:
                task = await ledger.claim(connection, "worker", 60.0, idle=False)
            assert task
            claimed.append(task.subject)
    # The two transactions that write a batch side by side rank one each at once.
    assert len(claimed) <= 4


async def test_projects_with_long_queues_take_turns(world: World) -> None:
    first, second = _uploads(400, BUSY), _uploads(400, QUIET)
    async with parts_of(world.with_settings(PROJECT_STEP="60")) as parts:
        await _take_in(parts, first)
        await _take_in(parts, second)
        heads = (await _queue(parts))[:200]
    assert len(set(heads) & set(_subjects(second))) > 70


async def test_a_project_alone_is_served_oldest_first(world: World) -> None:
    uploads = _uploads(120, BUSY)
    async with parts_of(world) as parts:
        for start in range(0, len(uploads), 40):
            await _take_in(parts, uploads[start : start + 40])
        assert await _queue(parts) == _subjects(uploads)


async def test_uploads_without_a_project_are_one_project(world: World) -> None:
    uploads, (one,) = _uploads(40, None), _uploads(1, QUIET)
    async with parts_of(world) as parts:
        await _take_in(parts, uploads)
        await _take_in(parts, [one])
        assert await _queue(parts) == [_subjects(uploads)[0], str(one.preview_file_id), *_subjects(uploads)[1:]]


async def test_no_queue_of_a_project_is_so_long_that_a_request_waits_behind_later_ones_for_ever(world: World) -> None:
    async with parts_of(world.with_settings(PROJECT_DELAY="600")) as parts:
        await _take_in(parts, _uploads(1000, BUSY))
        (last,) = await parts.database.fetch("""
            SELECT max(rank) < max(created_at) + interval '605 seconds' AS soon,
                max(rank) > max(created_at) + interval '500 seconds' AS stands_back
            FROM task""")
    assert (last.soon, last.stands_back) == (True, True)


async def test_a_lower_priority_never_overtakes_the_long_queue_of_a_project(world: World) -> None:
    (quiet, other), thousand = _uploads(2, QUIET), _uploads(1000, BUSY)
    lanes = world.with_settings(SINGLE_OFFSET="1200", BULK_OFFSET="2400")  # PROJECT_DELAY would allow for more
    async with parts_of(lanes) as parts:
        await _take_in(parts, [quiet, other])
        await parts.database.fetch("DELETE FROM task RETURNING id")
        await _take_in(parts, thousand)
        await _take_in(parts, [_request(other, Priority.BULK)])
        await _take_in(parts, [_request(quiet)])
        queue = await _queue(parts)
    assert queue[1000:] == [str(quiet.preview_file_id), str(other.preview_file_id)]


async def test_a_request_that_joins_a_waiting_job_never_moves_it_back(world: World) -> None:
    first, *others = _uploads(40, BUSY)
    async with parts_of(world) as parts:
        await _take_in(parts, [first, *others])
        before = await parts.database.fetch("SELECT id, rank FROM task ORDER BY rank")
        await _take_in(parts, [_request(first), upload(first.preview_file_id, project_id=BUSY)])
        after = await parts.database.fetch("SELECT id, rank FROM task ORDER BY rank")
        open_requests = await parts.database.fetch("SELECT 1 FROM request WHERE task_id = :id", id=before[0].id)
    assert [tuple(row) for row in after] == [tuple(row) for row in before]
    assert len(open_requests) == 3


async def test_an_upload_that_joins_a_bulk_job_brings_it_forward_behind_its_projects_uploads(world: World) -> None:
    first, *others = _uploads(41, BUSY)
    async with parts_of(world) as parts:
        await _take_in(parts, [first])
        await parts.database.fetch("DELETE FROM task RETURNING id")
        await _take_in(parts, [_request(first, Priority.BULK)])
        await _take_in(parts, others)
        assert (await _queue(parts))[-1] == str(first.preview_file_id)
        (waiting,) = await parts.database.fetch("SELECT rank - created_at AS later FROM task WHERE lane = 'bulk'")
        await _take_in(parts, [upload(first.preview_file_id, project_id=BUSY)])
        (joined,) = await parts.database.fetch(
            "SELECT lane, rank - created_at AS later FROM task WHERE subject = :subject",
            subject=str(first.preview_file_id),
        )
        assert (await _queue(parts))[-1] == str(first.preview_file_id)
    assert joined.lane == "upload"
    assert joined.later < waiting.later


async def test_an_orphan_gets_its_job_in_the_queue_of_its_project(world: World) -> None:
    async with parts_of(world) as parts:
        await _take_in(parts, _uploads(1, BUSY))
        await parts.database.fetch("DELETE FROM task RETURNING id")
        await parts.database.fetch("UPDATE preview_file SET updated_at = now() - interval '1 hour' RETURNING id")
        async with parts.database.begin() as connection:
            await parts.workshop.tidy(connection)
        (task,) = await parts.database.fetch("SELECT share FROM task")
    assert task.share == str(BUSY)

"""The history of jobs: each attempt has its row, whoever ended it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from rushes_runtime import ledger
from rushes_runtime.attempts import history
from rushes_runtime.ledger import Outcome
from rushes_schemas import PreviewDeleted, RenormalizeRequested

from tests.integration.normalizer.parts import Parts, parts_of
from tests.pace import pace
from tests.world import World, eventually, playing, put_source, upload


async def _outcomes(parts: Parts, preview_file_id: UUID) -> list[str]:
    return [attempt.outcome for attempt in await history(parts.database, str(preview_file_id))]


@pytest.mark.extended
async def test_each_attempt_has_its_row_whoever_ended_it(world: World, slow_clip: Path) -> None:
    slow = world.with_settings(DRAIN_BUDGET="0.01", DEFAULT_HEIGHT="720", LEASE=str(pace()), JANITOR_INTERVAL="0.2")
    event = upload()
    id_ = event.preview_file_id
    async with parts_of(slow) as parts, playing(parts.intake()):
        await put_source(parts.store, id_, slow_clip)
        await world.send(event)
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task"))
        async with playing(parts.worker("stops")):
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE progress->>'stage' = 'encoding'"))
        async with parts.database.begin() as connection:
            assert await ledger.claim(connection, "dies", 1.0, idle=True)
        async with playing(parts.janitor()):
            await eventually(partial(_outcomes, parts, id_), lambda found: found == [Outcome.HANDED_BACK, Outcome.LOST])
        async with playing(parts.worker("ends")):
            await eventually(partial(_outcomes, parts, id_), lambda found: len(found) == 3 and found[-1] == "done")
        await world.send(RenormalizeRequested(preview_file_id=id_, reason="again", requested_by="me"))
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE state = 'queued'"))
        async with parts.database.begin() as connection:
            assert await ledger.claim(connection, "is too late", 60.0, idle=True)
        assert await _outcomes(parts, id_) == ["handed back", "lost", "done", "running"]
        await world.send(PreviewDeleted(preview_file_id=id_, deleted_at=datetime.now(UTC)))
        await eventually(partial(_outcomes, parts, id_), lambda found: found[-1] == Outcome.CANCELLED)
        attempts = await history(parts.database, str(id_))
        code, said, errors = await world.command("rushes-normalizer", "history", str(id_), "--json")
    assert [attempt.number for attempt in attempts] == [1, 1, 2, 1]
    assert [attempt.code for attempt in attempts] == [None, "worker_lost", None, None]
    assert [bool(attempt.cpu_seconds) for attempt in attempts] == [True, False, True, False]
    done = attempts[2]
    assert done.started_at is not None
    assert done.ended_at is not None
    assert 0 < (done.cpu_seconds or 0) < 4 * (done.ended_at - done.started_at).total_seconds() + 1
    assert (done.peak_memory or 0) > 20_000_000
    assert (REGISTRY.get_sample_value("rushes_child_cpu_seconds_total", {"program": "ffmpeg"}) or 0) > 0
    assert code == 0, errors
    assert [attempt["outcome"] for attempt in json.loads(said)["attempts"]] == [
        "handed back",
        "lost",
        "done",
        "cancelled",
    ]


async def test_an_absence_leaves_a_row_for_each_look_and_a_failure_its_code(world: World) -> None:
    event = upload()
    async with parts_of(world) as parts, playing(parts.intake(), parts.worker()):
        await world.send(event)
        await eventually(
            partial(_outcomes, parts, event.preview_file_id), lambda found: found == ["absent once", "failed"]
        )
        attempts = await history(parts.database, str(event.preview_file_id))
        code, said, _ = await world.command("rushes-normalizer", "history", str(event.preview_file_id))
    assert [(attempt.number, attempt.code) for attempt in attempts] == [(1, "source_missing"), (2, "source_missing")]
    assert code == 0
    assert "absent once" in said
    assert said.endswith("2 attempts\n")


async def test_old_attempts_are_pruned_and_young_ones_stay(world: World) -> None:
    async with parts_of(world.with_settings(AUDIT_RETENTION="3600")) as parts:
        await parts.database.fetch("""
            INSERT INTO attempt (fence, task_id, subject, number, lane, ended_at, outcome)
            SELECT n, gen_random_uuid(), 'one', 1, 'bulk', now() - n * interval '1 second', 'done'
            FROM generate_series(3500, 15500) AS n RETURNING 1""")
        async with playing(parts.janitor()):
            oldest = partial(parts.database.fetch, "SELECT max(fence) AS age, count(*) AS rows FROM attempt")
            ((age, rows),) = await eventually(oldest, lambda found: found[0].age <= 3600)
    assert age > 3500
    assert rows <= 101

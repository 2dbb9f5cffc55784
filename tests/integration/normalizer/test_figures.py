"""Figures of the database: sampled by one process, cheap however many rows there are, and no scrape's business."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from uuid import UUID

import aiohttp
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from rushes_normalizer import orphans
from rushes_runtime import figures as figures_module
from rushes_runtime import metrics
from rushes_runtime.figures import SHARE_OF_TIME, Figure, Figures
from rushes_runtime.health import Health
from rushes_runtime.operations import serve_operations
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.full_queue import fill_queue
from tests.integration.normalizer.parts import Parts, parts_of
from tests.pace import pace
from tests.world import World, eventually, playing, upload

WAITING = text("""
    INSERT INTO preview_file (id, status, version, uploaded_at, upload_extension, source, created_at, updated_at)
    SELECT gen_random_uuid(), 'processing', 1, now(), 'mp4', '{"bucket": "movies", "key": "k"}',
        now() - random() * interval '1 day', now() - interval '1 hour'
    FROM generate_series(1, :rows)""")
ALL_QUEUED = text("""
    INSERT INTO task (subject, lane, rank, payload) SELECT id, 'upload', now(), '{}' FROM preview_file""")


def shown(name: str, **labels: str) -> float | None:
    """A value as it would be scraped."""
    return REGISTRY.get_sample_value(name, labels)


async def _queue_one(parts: Parts, world: World) -> UUID:
    event = upload()
    await world.send(event)
    async with playing(parts.intake()):
        await eventually(lambda: parts.database.fetch("SELECT id FROM preview_file"))
    return event.preview_file_id


async def test_what_the_database_knows_is_shown_while_this_process_leads(world: World) -> None:
    async with parts_of(world) as parts:
        figures = Figures(parts.database, parts.workshop.measure)
        await _queue_one(parts, world)
        await parts.database.fetch("UPDATE task SET available_at = now() - interval '90 seconds' RETURNING id")
        await parts.database.fetch("UPDATE outbox SET created_at = now() - interval '30 seconds' RETURNING id")
        await parts.database.fetch("UPDATE preview_file SET updated_at = now() - interval '60 seconds' RETURNING id")
        await figures.sample()
        assert shown("rushes_tasks", state="queued", lane="upload", queue="ordinary") == 1
        assert shown("rushes_oldest_queued_seconds", lane="upload", queue="ordinary") == pytest.approx(90, abs=10)
        assert shown("rushes_outbox_pending") == 1
        assert shown("rushes_outbox_oldest_seconds") == pytest.approx(30, abs=10)
        assert shown("rushes_previews", status="processing") == 1
        assert shown("rushes_oldest_preview_seconds", status="processing") == pytest.approx(60, abs=10)
        assert time.time() - (shown("rushes_sampled_timestamp_seconds") or 0) < 10 * pace()

        await parts.database.fetch("DELETE FROM task RETURNING id")
        figures._count_from = 0.0
        await figures.sample()
        assert shown("rushes_tasks", state="queued", lane="upload", queue="ordinary") == 0

        figures.forget()
        assert shown("rushes_tasks", state="queued", lane="upload", queue="ordinary") is None
        assert shown("rushes_previews", status="processing") is None
        assert shown("rushes_outbox_oldest_seconds") == shown("rushes_outbox_pending") == 0


async def test_a_janitor_that_stands_by_shows_nothing(world: World) -> None:
    async with parts_of(world) as parts:
        await _queue_one(parts, world)
        await parts.database.fetch(
            "INSERT INTO role_lease VALUES ('janitor', 'another', now() + interval '1 hour') RETURNING role"
        )
        metrics.TASKS.labels("queued", "upload", "ordinary").set(7)  # as it was when this process led
        janitor = parts.janitor()
        janitor._figures._shown.add((metrics.TASKS, ("queued", "upload", "ordinary")))
        async with playing(janitor):
            await eventually(
                lambda: _value("rushes_tasks", state="queued", lane="upload", queue="ordinary"),
                lambda value: value is None,
            )


async def _value(name: str, **labels: str) -> float | None:
    return shown(name, **labels)


async def test_a_lease_that_is_over_is_shown(world: World) -> None:
    async with parts_of(world) as parts:
        await _queue_one(parts, world)
        await parts.database.fetch(
            "UPDATE task SET state = 'running', lease_until = now() - interval '400 seconds' RETURNING id"
        )
        await Figures(parts.database, parts.workshop.measure).sample()
        assert shown("rushes_lease_overdue_seconds") == pytest.approx(400, abs=10)


async def test_a_long_queue_is_counted_so_seldom_that_it_takes_no_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(figures_module, "time", SimpleNamespace(monotonic=lambda: clock.seconds))

    async def counted_in_a_second(connection: AsyncConnection) -> Sequence[Figure]:
        clock.seconds += 1
        return []

    def bulk() -> float | None:
        return shown("rushes_tasks", state="queued", lane="bulk", queue="ordinary")

    async with parts_of(world) as parts:
        await fill_queue(parts.database, 20_000, twins=10)
        figures = Figures(parts.database, counted_in_a_second)
        await figures.sample()
        assert bulk() == 16_000
        metrics.TASKS.labels("queued", "bulk", "ordinary").set(7)
        clock.seconds += 0.99 / SHARE_OF_TIME
        await figures.sample()
        assert bulk() == 7, "counted again too early"
        clock.seconds += 0.02 / SHARE_OF_TIME
        await figures.sample()
        assert bulk() == 16_000


async def test_a_scrape_asks_no_database(world: World) -> None:
    async with parts_of(world) as parts:
        await Figures(parts.database, parts.workshop.measure).sample()
    # The database is closed, and would be opened again by whoever asks it.
    async with (
        serve_operations(Health(), "127.0.0.1", 0) as address,
        aiohttp.ClientSession() as client,
        client.get(f"{address}/metrics") as answer,
    ):
        served = await answer.text()
    assert {family.name for family in text_string_to_metric_families(served)} >= {"rushes_tasks", "rushes_previews"}
    assert (await parts.database.engine()).pool.checkedin() == 0  # type: ignore[attr-defined]  # of a QueuePool


async def test_orphans_are_found_a_few_rows_at_a_time_and_all_of_them(world: World) -> None:
    async with parts_of(world) as parts, parts.database.begin() as connection:
        await connection.execute(WAITING, {"rows": 7})
        place = orphans.START
        given = []
        for _ in range(4):
            place = await orphans.give_jobs(connection, place, rows=2)
            given.append((await connection.execute(text("SELECT count(*) FROM task"))).scalar_one())
        assert given == [2, 4, 6, 7]
        assert place == orphans.START
        await orphans.give_jobs(connection, place)
        assert (await connection.execute(text("SELECT count(*) FROM task"))).scalar_one() == 7


async def test_a_look_for_orphans_costs_the_same_however_many_uploads_wait(world: World) -> None:
    async with parts_of(world) as parts:
        async with parts.database.begin() as connection:
            await connection.execute(WAITING, {"rows": 30_000})
            await connection.execute(ALL_QUEUED)
        place, slowest = orphans.START, 0.0
        for _ in range(10):
            async with parts.database.begin() as connection:
                began = time.monotonic()
                place = await orphans.give_jobs(connection, place)
                slowest = max(slowest, time.monotonic() - began)
        assert place != orphans.START
        assert slowest < 0.5 * pace(), "1,000 rows, not 30,000"

"""An existing Zou's previews come to Rushes, from a database with the columns that Zou's has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from rushes_embedded.stack import Stack
from rushes_kitsu.importing import import_previews
from rushes_kitsu.zou_rows import ZouDatabaseError, open_zou, page_after
from rushes_runtime.store import Store, Unconditional, open_store
from rushes_schemas import ObjectKind, StatusChanged, object_key
from rushes_schemas.outputs import PLACES
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from tests.integration.kitsu.bridge import kitsu_database
from tests.world import World

MOVIE = (ObjectKind.SOURCE_MOVIE, ObjectKind.HIGH_DEFINITION, ObjectKind.LOW_DEFINITION, ObjectKind.THUMBNAIL)
_TABLES = """
    CREATE TABLE task (id uuid PRIMARY KEY, project_id uuid);
    CREATE TABLE preview_file (
        id uuid PRIMARY KEY, name varchar(250), original_name varchar(250), extension varchar(6), revision integer,
        position integer, file_size bigint, status varchar(255) NOT NULL, validation_status varchar(255),
        width integer, height integer, duration double precision, task_id uuid, person_id uuid,
        created_at timestamp DEFAULT (now() AT TIME ZONE 'UTC'));
    CREATE TABLE api_event (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(80) NOT NULL, data jsonb,
        created_at timestamp DEFAULT (now() AT TIME ZONE 'UTC'))"""


@dataclass
class ZouDatabase:
    """A database like Zou's."""

    url: str
    connection: asyncpg.Connection
    task_id: UUID
    project_id: UUID

    async def add(self, *, status: str = "ready", extension: str = "mp4") -> UUID:
        """A preview's row; its id."""
        preview = uuid4()
        await self.connection.execute(
            "INSERT INTO preview_file (id, name, extension, status, width, height, duration, task_id) "
            "VALUES ($1, 'sh010', $2, $3, 1920, 1080, 2.5, $4)",
            *(preview, extension, status, self.task_id),
        )
        return preview

    async def tell(self, name: str, preview: UUID) -> None:
        """An event of Zou's log."""
        data = json.dumps({"preview_file_id": str(preview)})
        await self.connection.execute("INSERT INTO api_event (name, data) VALUES ($1, $2)", name, data)


@asynccontextmanager
async def zou_database(world: World, stack: Stack) -> AsyncIterator[ZouDatabase]:
    url = stack.postgres.create_database(f"{world.environment['INSTANCE']}_zou".replace("-", "_"))
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(_TABLES)
        task, project = uuid4(), uuid4()
        await connection.execute("INSERT INTO task VALUES ($1, $2)", task, project)
        yield ZouDatabase(url, connection, task, project)
    finally:
        await connection.close()


async def put(store: Store, folder: Path, preview: UUID, *kinds: ObjectKind) -> None:
    """Store an object of each kind."""
    file = folder / "object"
    file.write_bytes(b"some bytes")
    for kind in kinds:
        place = PLACES[kind]
        key = object_key(kind, preview)
        await store.upload(place.bucket, key, file, content_type=place.content_type, condition=Unconditional())


async def counted(world: World, zou: ZouDatabase, *options: str) -> dict[str, Any]:
    """What `rushes-kitsu import` says it did."""
    code, out, error = await world.command("rushes-kitsu", "import", "--json", *options, ZOU_DATABASE_URL=zou.url)
    assert code == 0, error
    answer: dict[str, Any] = json.loads(out)
    return answer


async def imported(world: World) -> dict[UUID, list[StatusChanged]]:
    """The events of the import, by preview."""
    by_preview: dict[UUID, list[StatusChanged]] = {}
    for record in await world.records("status-changed"):
        event = StatusChanged.model_validate_json(record.value)
        by_preview.setdefault(event.preview_file_id, []).append(event)
    return by_preview


async def test_previews_are_counted_by_what_there_is_of_them_and_nothing_is_written(
    world: World, stack: Stack, tmp_path: Path
) -> None:
    async with zou_database(world, stack) as zou, world.store() as store, kitsu_database(world) as database:
        await put(store, tmp_path, await zou.add(), *MOVIE)
        await put(store, tmp_path, await zou.add(), *MOVIE[1:])
        await put(store, tmp_path, await zou.add(extension="png"), ObjectKind.ORIGINAL)
        await put(store, tmp_path, await zou.add(extension="png"), ObjectKind.SQUARE_THUMBNAIL)
        await put(store, tmp_path, await zou.add(extension="pdf"), ObjectKind.FILE)
        await put(store, tmp_path, await zou.add(extension="pdf"), *MOVIE)
        await zou.add(status="missing")
        await put(store, tmp_path, await zou.add(status="processing"), ObjectKind.SOURCE_MOVIE)
        await put(store, tmp_path, uuid4(), *MOVIE)  # of no row
        assert await counted(world, zou, "--dry-run") == {
            "dry_run": True,
            "previews": 8,
            "source": 4,
            "outputs": 2,
            "nothing": 2,
            "in_work": 1,
        }
        assert await database.fetch("SELECT * FROM outbox") == []
        assert await database.fetch("SELECT * FROM import_progress") == []


async def test_what_was_imported_is_known_to_the_normalizer_and_what_it_knew_is_left_alone(
    world: World, stack: Stack, tmp_path: Path
) -> None:
    async with zou_database(world, stack) as zou, world.store() as store, kitsu_database(world):
        ready, broken, known = await zou.add(), await zou.add(status="broken"), await zou.add()
        in_work = await zou.add(status="processing")
        await put(store, tmp_path, ready, *MOVIE)
        told = StatusChanged.model_validate(
            {
                "preview_file_id": known,
                "id": known,
                "version": 7,
                "fence": 1,
                "status": "ready",
                "internal_status": "ready",
                "occurred_at": "2026-01-02T03:04:05Z",
            }
        )
        await world.send(told)
        serving = world.process("rushes-kitsu", "serve", log="kitsu", NOMAD_PORT="0", NOMAD_LINGER="0")
        seen = await counted(world, zou, "--wait")
        assert (seen["written"], seen["known"], seen["in_work"]) == (2, 1, 1)
        serving.stop()
        events = await imported(world)
        assert set(events) == {ready, broken, known}
        (event,) = events[ready]
        assert {stored.kind for stored in event.files} == {kind.value for kind in MOVIE}
        assert event.project_id == zou.project_id
        async with world.normalizer_database() as normalizer:
            code, _, error = await world.command("rushes-normalizer", "republish", "--after-restore")
            assert code == 1  # of the preview that is known there is too little
            assert "1 previews have no row" in error
            rows = await normalizer.fetch("SELECT id, status, width, project_id FROM preview_file")
        found = {row.id: (row.status, row.width, row.project_id) for row in rows}
        assert found == {
            ready: ("ready", 1920, zou.project_id),
            broken: ("broken", 1920, zou.project_id),
        }
        assert in_work not in found


async def test_a_pass_that_was_broken_off_goes_on_where_it_was(world: World, stack: Stack, tmp_path: Path) -> None:
    settings = world.normalizer_settings()
    async with zou_database(world, stack) as zou, world.store() as store, kitsu_database(world) as database:
        previews = sorted([await zou.add() for _ in range(1500)])
        for preview in (previews[0], previews[999], previews[1000], previews[1499]):
            await put(store, tmp_path, preview, *MOVIE)

        def break_off(_count: int) -> None:
            raise InterruptedError

        async def import_all(done: Any) -> Any:
            async with open_zou(make_url(zou.url)) as connection, open_store(settings.store) as opened:
                return await import_previews(
                    connection, opened, database, settings.kafka, source="zou", expose_missing=False, done=done
                )

        with pytest.raises(InterruptedError):
            await import_all(break_off)
        seen = await import_all(lambda _count: None)
        assert (seen.resumed_after, seen.written) == (previews[999], 500)
        values = [json.loads(row.value) for row in await database.fetch("SELECT value FROM outbox ORDER BY id")]
        assert [value["id"] for value in values] == [str(preview) for preview in previews]
        with_files = [UUID(value["id"]) for value in values if value["files"]]
        assert with_files == [previews[0], previews[999], previews[1000], previews[1499]]


async def test_zous_database_is_held_to_reading(world: World, stack: Stack) -> None:
    async with zou_database(world, stack) as zou, open_zou(make_url(zou.url)) as connection:
        with pytest.raises(DBAPIError, match="read-only"):
            await connection.execute(text("DELETE FROM preview_file"))


async def test_a_database_that_is_not_zous_is_named(world: World, stack: Stack) -> None:
    url = make_url(world.environment["DATABASE_URL"])
    async with open_zou(url) as connection:
        with pytest.raises(ZouDatabaseError, match=r"ZOU_DATABASE_URL.*preview_file"):
            await page_after(connection, None, 10)
    with pytest.raises(ZouDatabaseError, match="ZOU_DATABASE_URL"):
        async with open_zou(url.set(port=1)):
            pass

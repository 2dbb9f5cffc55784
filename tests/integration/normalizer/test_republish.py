"""The current state is published again: after a switch is flipped, and after an old backup was restored."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rushes_normalizer.republishing import Found, catch_up, republish
from rushes_runtime.database import Database
from rushes_runtime.store import Unconditional
from rushes_schemas import PreviewDeleted, PreviewStatus, RenormalizeRequested

from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.parts import Parts, parts_of
from tests.movies import ffmpeg
from tests.world import World, eventually, playing, put_source, source_key, upload

pytestmark = pytest.mark.any_broker

TABLES = ("preview_file", "request", "task", "inbox", "outbox")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of a small movie."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x54:rate=10:duration=0.5", "-pix_fmt", "yuv420p", path)
    return path


async def _statements(database: Database, *statements: str) -> None:
    async with database.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def _back_up(database: Database) -> None:
    await _statements(
        database,
        *(f"CREATE TABLE backup_{table} AS TABLE {table}" for table in TABLES),
        "CREATE TABLE backup_fence AS SELECT last_value FROM fence",
    )


async def _restore(database: Database) -> None:
    for table in TABLES:
        columns = "string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)"
        (names,) = await database.fetch(
            f"SELECT {columns} FROM information_schema.columns "
            f"WHERE table_schema = 'normalizer' AND table_name = '{table}'"
        )
        await _statements(
            database,
            f"TRUNCATE {table}",
            f"INSERT INTO {table} ({names[0]}) OVERRIDING SYSTEM VALUE SELECT {names[0]} FROM backup_{table}",
        )
    await _statements(database, "SELECT setval('fence', (SELECT last_value FROM backup_fence))")


async def _rows(parts: Parts) -> dict[UUID, Any]:
    return {row.id: row for row in await parts.database.fetch("SELECT * FROM preview_file")}


async def test_flipping_expose_missing_shows_missing_after_a_republish(world: World) -> None:
    missing, broken = kept_preview(PreviewStatus.MISSING, failure_code="source_missing"), kept_preview()
    async with parts_of(world) as parts:
        await keep(parts.database, missing, broken)
        code, said, errors = await world.command(
            "rushes-normalizer", "republish", "--status", "missing", EXPOSE_MISSING="true"
        )
        assert (code, "1 previews" in said) == (0, True), errors
        async with playing(parts.relay()):
            (event,) = await eventually(lambda: world.statuses(missing.id))
        assert (event.version, event.status, event.previous_status) == (missing.version + 1, "missing", "missing")
        assert event.job is None
        assert await world.statuses(broken.id) == []
        assert (await _rows(parts))[broken.id].version == broken.version


async def test_all_previews_of_many_batches_are_republished_once(world: World) -> None:
    rows = [kept_preview() for _ in range(1203)]
    async with world.normalizer_database() as database:
        await keep(database, *rows)
        assert await republish(database, [], expose_missing=False) == len(rows)
        versions = await database.fetch("SELECT version, count(*) AS previews FROM preview_file GROUP BY version")
        outbox = await database.fetch("SELECT count(DISTINCT key) AS keys, count(*) AS events FROM outbox")
    assert [tuple(version) for version in versions] == [(3, len(rows))]
    assert tuple(outbox[0]) == (len(rows), len(rows))


@pytest.mark.parametrize("arguments", [[], ["--all", "--after-restore"], ["--all", "--status", "missing"]])
async def test_a_republish_that_says_not_what_is_refused(world: World, arguments: list[str]) -> None:
    code, _, errors = await world.command("rushes-normalizer", "republish", *arguments)
    assert (code, "--after-restore" in errors) == (2, True)


async def test_an_old_backup_under_a_running_site_ends_right(world: World, clip: Path) -> None:
    lost, waiting, new, gone, same = (upload(upload_generation=number) for number in range(5))
    for command in ("migrate", "--store"), ("migrate",):
        assert (await world.command("rushes-syncer", *command))[0] == 0
    world.process("rushes-syncer", "run", log="syncer")
    ids = {event.preview_file_id for event in (lost, waiting, new, gone, same)}

    async def renormalized(parts: Parts, preview_file_id: UUID, status: str) -> None:
        asked = RenormalizeRequested(preview_file_id=preview_file_id, reason="again", requested_by="me")
        (request,) = await world.send(asked)
        ended = "SELECT 1 FROM request WHERE event_id = :id AND outcome = :status"
        await eventually(lambda: parts.database.fetch(ended, id=request, status=status))

    async def site() -> dict[UUID, Any]:
        async with world.syncer_database() as database:
            rows = await database.fetch("SELECT preview_file_id AS id, version, status, deleted FROM site_preview")
        return {row.id: row for row in rows}

    async def settled(parts: Parts, *, previews: int, deleted: int = 0) -> bool:
        """Whether there are so many previews, the site has seen each one's version, and none is in processing."""
        rows, seen = await _rows(parts), await site()
        counts = (len(rows), sum(row.deleted_at is not None for row in rows.values()))
        return counts == (previews, deleted) == (len(seen), sum(row.deleted for row in seen.values())) and all(
            row.status != "processing" and seen[each].version == row.version for each, row in rows.items()
        )

    try:
        async with parts_of(world) as parts:
            for event in (lost, waiting, new, gone, same):
                await put_source(parts.store, event.preview_file_id, clip)
            async with playing(parts.intake(), parts.relay()):
                async with playing(parts.worker()):
                    await world.send(lost, gone, same)
                    await eventually(lambda: settled(parts, previews=3))
                await world.send(waiting)
                await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE state = 'queued'"))
                await _back_up(parts.database)
                async with playing(parts.worker(), parts.janitor()):
                    await world.send(new)
                    await parts.store.delete("movies", source_key(lost.preview_file_id), condition=Unconditional())
                    await renormalized(parts, lost.preview_file_id, "missing")
                    deleted = PreviewDeleted(preview_file_id=gone.preview_file_id, deleted_at=datetime.now(UTC))
                    await world.send(deleted)
                    await eventually(lambda: settled(parts, previews=5, deleted=1))
            before = await _rows(parts)
            assert {each for each in before if before[each].deleted_at} == {gone.preview_file_id}
            await _restore(parts.database)
            assert len(await _rows(parts)) == 4

            code, said, errors = await world.command("rushes-normalizer", "republish", "--after-restore", "--json")
            assert code == 0, errors
            assert json.loads(said)["after_restore"] == {"behind": 2, "added": 1, "deleted": 1}
            async with playing(parts.intake(), parts.relay(), parts.worker(), parts.janitor()):
                await eventually(lambda: settled(parts, previews=5, deleted=1))
                await renormalized(parts, new.preview_file_id, "ready")
                await eventually(lambda: settled(parts, previews=5, deleted=1))
            after = await _rows(parts)
            seen = await site()
            for each in ids:
                said_last = (await world.statuses(each))[-1]
                row = after[each]
                assert row.version > before[each].version
                assert row.status == before[each].status
                assert (said_last.version, said_last.internal_status) == (row.version, row.status)
                assert (seen[each].status, seen[each].deleted) == (row.status, row.deleted_at is not None)
                assert row.fence >= before[each].fence
                assert (row.upload_generation, row.upload_extension) == (before[each].upload_generation, "mp4")
            assert after[new.preview_file_id].fence > max(row.fence for row in before.values())
    finally:
        world.stop_processes()


async def test_a_tombstone_deletes_the_restored_row_and_its_version_goes_on(world: World) -> None:
    kept = kept_preview(version=5, deleted_at=datetime.now(UTC))
    async with parts_of(world.with_settings(TOMBSTONE_AFTER="0.1")) as parts:
        await keep(parts.database, kept)
        async with playing(parts.janitor(), parts.relay()):
            await eventually(lambda: world.records("status-changed"))
        await _statements(parts.database, "UPDATE preview_file SET deleted_at = NULL, tombstone_at = NULL, version = 2")
        assert await catch_up(parts.database, parts.settings.kafka) == {kept.id: Found.DELETED}
        row = (await _rows(parts))[kept.id]
    assert (row.version, row.deleted_at is None) == (5, False)


async def test_a_record_that_is_too_old_to_make_a_row_of_is_said_so(world: World) -> None:
    kept = kept_preview()
    async with parts_of(world) as parts:
        await keep(parts.database, kept)
        await republish(parts.database, [], expose_missing=False)
        stripped = "UPDATE outbox SET value = convert_to((convert_from(value, 'UTF8')::jsonb - 'upload')::text, 'UTF8')"
        await _statements(parts.database, stripped)
        async with playing(parts.relay()):
            await eventually(lambda: world.statuses(kept.id))
        await _statements(parts.database, "TRUNCATE preview_file")
        assert await catch_up(parts.database, parts.settings.kafka) == {kept.id: Found.UNKNOWN}
        code, _, errors = await world.command("rushes-normalizer", "republish", "--after-restore")
    assert (code, "1 previews have no row" in errors) == (1, True)

"""The current state is published again, and a row that is behind the topic catches up with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from rushes_normalizer.republishing import Found, catch_up, republish
from rushes_runtime.database import Database
from rushes_schemas import PreviewStatus

from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.parts import Parts, parts_of
from tests.world import World, eventually, playing


async def _statements(database: Database, *statements: str) -> None:
    async with database.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


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

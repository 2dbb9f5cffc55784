"""What was published stays named on the row, whatever events come together in one batch."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from rushes_schemas import Event, ObjectKind, PreviewDeleted, RenormalizeRequested, StoredFile, object_key

from tests.integration.normalizer.bus_records import bus_record
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.parts import parts_of
from tests.world import World, upload


async def test_whatever_comes_in_one_batch_a_preview_keeps_its_files(world: World) -> None:
    kept = [kept_preview() for _ in range(3)]
    files: dict[Any, StoredFile] = {}
    for row in kept:
        key = object_key(ObjectKind.LOW_DEFINITION, row.id)
        values = {"kind": "low_definition", "bucket": "movies", "key": key, "bytes": 1, "etag": "e"}
        files[row.id] = StoredFile.model_validate(values)
    asked, deleted, replaced = (row.id for row in kept)
    events: list[Event] = [
        RenormalizeRequested(preview_file_id=each, reason="r", requested_by="me") for each in (asked, deleted, replaced)
    ]
    events += [PreviewDeleted(preview_file_id=deleted, deleted_at=datetime.now(UTC)), upload(replaced)]
    async with parts_of(world) as parts:
        await keep(parts.database, *(replace(row, files=(files[row.id],)) for row in kept))
        await parts.intake().take_in([bus_record(parts, event, number) for number, event in enumerate(events)])
        rows = await parts.database.fetch("SELECT id, version, files FROM preview_file")
        told = await parts.database.fetch("SELECT key, value FROM outbox")
    assert {row.id: row.version for row in rows} == {asked: 2, deleted: 3, replaced: 3}
    assert {row.id: row.files[0]["key"] for row in rows} == {each: files[each].key for each in files}
    assert {row.key.decode() for row in told} == {str(deleted), str(replaced)}
    assert all(files[row.id].key in value for row in rows for key, value in _texts(told) if key == str(row.id))


def _texts(told: list[Any]) -> list[tuple[str, str]]:
    return [(row.key.decode(), row.value.decode()) for row in told]

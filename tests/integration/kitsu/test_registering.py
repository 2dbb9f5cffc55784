"""What Zou handles itself becomes known to Rushes, and what it knows of a dispatched movie goes with it."""

from __future__ import annotations

from uuid import UUID

import pytest
from rushes_embedded.stack import Stack
from rushes_schemas import PreviewUploaded

from tests.integration.kitsu.bridge import Bridge, bridge_of, logged
from tests.integration.kitsu.test_import import zou_database
from tests.world import World, eventually
from tests.zou_stand_in import zou_stand_in

pytestmark = pytest.mark.extended


async def told(world: World) -> dict[str, list[UUID]]:
    """Previews that Rushes was told of, by what it was told."""
    records = [record for record in await world.records("preview-uploaded") if record.value]
    found: dict[str, list[UUID]] = {"deleted": [], "uploaded": []}
    for record in records:
        what = "deleted" if b"deleted_at" in record.value else "uploaded"
        found[what].append(UUID(record.key.decode()))
    return found


async def test_pictures_files_and_deletions_of_zou_are_told_of_once_by_however_many(world: World, stack: Stack) -> None:
    async with zou_database(world, stack) as zou, bridge_of(world), zou_stand_in() as api:
        settings = {"ZOU_URL": api.address, "ZOU_TOKEN": "t", "FOLLOW_INTERVAL": "0.2", "ZOU_DATABASE_URL": zou.url}
        before = await zou.add(extension="png")
        await zou.connection.execute("UPDATE preview_file SET created_at = created_at - interval '1 day'")
        for name in ("first", "second"):
            world.process("rushes-kitsu", "follow", log=name, **settings)
            await eventually(lambda: logged(world, "zou_found", name))  # noqa: B023
        picture, file = await zou.add(extension="png"), await zou.add(extension="pdf")
        movie, unready = await zou.add(), await zou.add(extension="png", status="processing")
        gone, kept = await zou.add(extension="png"), await zou.add()
        await zou.connection.execute("DELETE FROM preview_file WHERE id = $1", gone)
        for preview in (picture, file, movie, unready, picture):
            await zou.tell("preview-file:add-file", preview)
        for preview in (gone, kept):  # an event alone deletes nothing: Zou still has this one
            await zou.tell("preview-file:delete", preview)
        await eventually(lambda: told(world), lambda found: len(found["uploaded"]) == 2 and len(found["deleted"]) == 1)
        await zou.connection.execute("UPDATE preview_file SET status = 'ready' WHERE id = $1", unready)
        await zou.tell("preview-file:update", unready)
        await eventually(lambda: told(world), lambda found: unready in found["uploaded"])
        found = await told(world)
        assert (found["deleted"], sorted(found["uploaded"])) == ([gone], sorted([picture, file, unready]))
        assert before not in found["uploaded"]
        (event,) = [event for event in await _uploads(world) if event.preview_file_id == picture]
    assert event.source
    assert (event.source.bucket, event.source.key) == ("pictures", f"original-{picture}")
    assert (event.project_id, event.name) == (zou.project_id, "sh010")


async def test_a_dispatched_movie_carries_the_project_that_zous_database_tells(world: World, stack: Stack) -> None:
    async with zou_database(world, stack) as zou, bridge_of(world, ZOU_DATABASE_URL=zou.url) as bridge:
        known = await zou.add(status="processing")
        await bridge.dispatched(known)
        (event,) = await eventually(bridge.events)
        assert (event.project_id, event.task_id, event.name) == (zou.project_id, zou.task_id, "sh010")
        await _goes_on_without(bridge)


async def test_a_movie_is_taken_without_its_project_where_zous_database_is_away(world: World) -> None:
    away = "postgresql+asyncpg://u:p@127.0.0.1:1/zoudb"
    async with bridge_of(world, ZOU_DATABASE_URL=away) as bridge:
        await _goes_on_without(bridge)
        assert await logged(world, "project_unknown")


async def _goes_on_without(bridge: Bridge) -> None:
    """A preview that Zou's database doesn't tell of is an upload all the same."""
    job = await bridge.dispatched()
    uploads = await eventually(
        bridge.events, lambda found: any(event.preview_file_id == job.preview_file_id for event in found)
    )
    (event,) = [event for event in uploads if event.preview_file_id == job.preview_file_id]
    assert event.project_id is None


async def _uploads(world: World) -> list[PreviewUploaded]:
    return [
        PreviewUploaded.model_validate_json(record.value)
        for record in await world.records("preview-uploaded")
        if record.value and b"uploaded_at" in record.value
    ]

"""What Rushes says of previews is kept for Zou: the newest version of each, and nothing that Zou said itself."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from rushes_kitsu.dispatches import EVENT_SOURCE
from rushes_kitsu.job_ids import JobId
from rushes_runtime.database import Database
from rushes_schemas import Envelope, StatusChanged

from tests.integration.kitsu.bridge import JOB, bridge_of, kitsu_database, logged, state_of
from tests.world import World, eventually
from tests.zou_stand_in import zou_stand_in

pytestmark = pytest.mark.extended

THEN = datetime.now(UTC) - timedelta(hours=2)
HIGH = {"kind": "high_definition", "bucket": "movies", "key": "previews-1", "bytes": 77, "etag": "e"}


def event(preview: UUID, version: int, status: str = "ready", **changed: Any) -> StatusChanged:
    """A version of a preview."""
    facts = {"width": 320, "height": 180, "duration": 2.0, "files": [HIGH]}
    return state_of(JobId(JOB, preview, uuid4()), THEN, version=version, internal_status=status, **{**facts, **changed})


async def kept(database: Database) -> dict[UUID, tuple[Any, ...]]:
    """Version, status and the size of what plays, by preview."""
    rows = await database.fetch("SELECT preview_file_id, version, status, width, file_size FROM announced")
    return {row[0]: tuple(row[1:]) for row in rows}


async def test_the_newest_version_of_each_preview_is_kept_unless_it_is_in_work_or_was_zous_own(world: World) -> None:
    lost, made, again, deleted, imported, last = (uuid4() for _ in range(6))
    async with bridge_of(world), kitsu_database(world) as database:
        await world.send(event(lost, 1), event(lost, 2, "missing"), event(made, 5), event(made, 4, "broken"))
        await world.send(event(again, 1), event(deleted, 1))
        await eventually(lambda: kept(database), lambda found: len(found) == 4)
        await database.fetch("UPDATE announced SET settled_at = now() RETURNING 1")
        await world.send(event(made, 5), event(again, 2, "processing"), event(deleted, 2, deleted=True))
        theirs = Envelope(event(imported, 1), source=EVENT_SOURCE)
        async with world.producer() as producer:
            topic = world.prefix + theirs.topic
            await producer.send_and_wait(topic, key=theirs.key(), value=theirs.value(), headers=theirs.headers())
        await world.send(event(last, 1, "broken"))
        await eventually(lambda: kept(database), lambda found: last in found)
        await eventually(lambda: kept(database), lambda found: len(found) == 3)
        assert await kept(database) == {
            lost: (2, "missing", None, None),
            made: (5, "ready", 320, 77),
            last: (1, "broken", None, None),
        }
        unsettled = await database.fetch("SELECT preview_file_id FROM announced WHERE settled_at IS NULL")
        assert [row[0] for row in unsettled] == [last]


async def test_two_that_follow_share_the_previews_and_a_zou_that_comes_back_is_set_right(world: World) -> None:
    previews = [uuid4() for _ in range(20)]
    async with bridge_of(world), kitsu_database(world) as database, zou_stand_in() as zou:
        zou.up, zou.status = False, "broken"
        settings = {"ZOU_URL": zou.address, "ZOU_TOKEN": "t", "FOLLOW_INTERVAL": "0.2"}
        for name in ("first", "second"):
            world.process("rushes-kitsu", "follow", log=name, **settings)
        await world.send(*(event(preview, 1) for preview in previews))
        for name in ("first", "second"):
            await eventually(lambda: logged(world, "zou_away", name))  # noqa: B023
        zou.up = True
        unsettled = "SELECT 1 FROM announced WHERE settled_at IS NULL"
        await eventually(lambda: database.fetch(unsettled), lambda rows: not rows)
        assert zou.written == {str(preview): "ready" for preview in previews}
        assert zou.writes == len(previews)


async def test_a_newer_upload_that_is_in_work_is_never_written_over(world: World) -> None:
    preview, other = uuid4(), uuid4()
    async with bridge_of(world) as bridge, kitsu_database(world) as database, zou_stand_in() as zou:
        zou.status = "broken"
        await world.send(event(preview, 1))
        await eventually(lambda: kept(database))
        await bridge.dispatched(preview)
        await world.send(event(other, 1))
        world.process("rushes-kitsu", "follow", log="follow", ZOU_URL=zou.address, ZOU_TOKEN="t", FOLLOW_INTERVAL="0.2")
        await eventually(lambda: asyncio.sleep(0, str(other) in zou.written))
        assert str(preview) not in zou.written


@pytest.mark.parametrize(("version", "old"), [("0.20.9", True), ("1.0.96", True), ("1.0.97", False), ("1.1", False)])
async def test_a_zou_that_is_older_than_any_that_was_tried_is_named_and_set_right_all_the_same(
    world: World, version: str, old: bool
) -> None:
    preview = uuid4()
    async with bridge_of(world), zou_stand_in() as zou:
        zou.version, zou.status = version, "broken"
        await world.send(event(preview, 1))
        world.process("rushes-kitsu", "follow", log="follow", ZOU_URL=zou.address, ZOU_TOKEN="t", FOLLOW_INTERVAL="0.2")
        await eventually(lambda: asyncio.sleep(0, str(preview) in zou.written))
    log = [json.loads(line) for line in (world.folder / "follow.log").read_text().splitlines()]
    (found,) = [each for each in log if each["event"] == "zou_found"]
    warnings = [(each["level"], each["version"], each["tried_with"]) for each in log if each["event"] == "zou_is_old"]
    assert (found["version"], warnings) == (version, [("warning", version, "1.0.97")] if old else []), "once"


async def test_a_token_that_has_expired_is_named_and_nothing_is_lost_until_a_new_one_counts(
    world: World, tmp_path: Path
) -> None:
    preview = uuid4()
    token = tmp_path / "token"
    token.write_text("old")
    async with bridge_of(world), zou_stand_in() as zou:
        zou.status, zou.expired = "broken", "old"
        settings = {"ZOU_URL": zou.address, "ZOU_TOKEN_FILE": str(token), "FOLLOW_INTERVAL": "0.2"}
        world.process("rushes-kitsu", "follow", log="follow", **settings)
        await world.send(event(preview, 1))
        await eventually(lambda: logged(world, "Zou refuses ZOU_TOKEN (401): it has expired", "follow"))
        assert zou.writes == 0
        token.write_text("new")
        await eventually(lambda: asyncio.sleep(0, str(preview) in zou.written))


async def test_a_preview_that_zou_deletes_in_the_middle_keeps_no_other_from_being_set_right(world: World) -> None:
    gone, going, stays = (uuid4() for _ in range(3))
    async with bridge_of(world), kitsu_database(world) as database, zou_stand_in() as zou:
        zou.status, zou.gone, zou.going = "broken", {str(gone)}, {str(going)}
        for preview in (gone, going, stays):
            await world.send(event(preview, 1))
        world.process("rushes-kitsu", "follow", log="follow", ZOU_URL=zou.address, ZOU_TOKEN="t", FOLLOW_INTERVAL="0.2")
        unsettled = "SELECT 1 FROM announced WHERE settled_at IS NULL"
        await eventually(lambda: asyncio.sleep(0, str(stays) in zou.written))
        await eventually(lambda: database.fetch(unsettled), lambda rows: not rows)
        assert (set(zou.written), str(going) in zou.gone) == ({str(stays)}, True)
        assert not await logged(world, "zou_away", "follow")

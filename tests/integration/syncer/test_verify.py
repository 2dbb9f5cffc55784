"""`verify` finds what differs, says so, and puts right what it may."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from rushes_runtime.store import SENTINEL_KEY, LocalStore, Unconditional
from rushes_schemas import ObjectKind, PreviewStatus, StoredFile, object_key

from tests.integration.syncer.follower import Follower, change, follower
from tests.world import World, eventually, playing


async def _verify(world: World, *options: str, code: int, **settings: str) -> dict[str, Any]:
    """The report of `verify` on the one site."""
    ended, said, errors = await world.command("rushes-syncer", "verify", "--json", *options, **settings)
    assert ended == code, said + errors
    (report,) = json.loads(said)["sites"]
    found: dict[str, Any] = report
    return found


async def _followed(lyon: Follower, project: UUID | None = None) -> tuple[UUID, list[StoredFile]]:
    """A preview that the site holds, and its files; the last two are at the site."""
    preview = uuid4()
    files = await lyon.publish(preview, b"x")
    async with playing(lyon.intake, lyon.worker):
        await lyon.world.send(change(preview, 1, PreviewStatus.READY, files, project_id=project))
        await eventually(
            lambda: lyon.database.fetch("SELECT 1 FROM held WHERE preview_file_id = :id", id=preview),
            lambda rows: len(rows) == 2,
        )
    return preview, files


def _file(lyon: Follower, stored: StoredFile) -> Path:
    assert isinstance(lyon.site, LocalStore)
    return lyon.site.path(stored.bucket, stored.key)


async def _stray(lyon: Follower) -> str:
    """An object that only the site has; its key."""
    path = lyon.world.folder / "stray"
    path.write_bytes(b"stray")
    key = object_key(ObjectKind.LOW_DEFINITION, uuid4())
    await lyon.site.upload("movies", key, path, content_type="video/mp4", condition=Unconditional())
    return key


@pytest.mark.extended
async def test_drift_is_told_by_project_and_repaired_and_extras_go_only_on_demand(world: World) -> None:
    ours, other = uuid4(), uuid4()
    async with follower(world) as lyon:
        _, (_, gone, _) = await _followed(lyon, ours)
        _, (_, _, changed) = await _followed(lyon, other)
        assert (await _verify(world, code=0))["same"] == 4
        good = _file(lyon, changed).read_bytes()
        _file(lyon, gone).unlink()
        _file(lyon, changed).write_bytes(bytes(len(good)))
        stray = await _stray(lyon)

        report = await _verify(world, code=1)
        assert [report[name] for name in ("drift", "missing", "different", "extra", "same")] == [True, 1, 1, 1, 2]
        by_project = {each["project_id"]: each for each in report["projects"]}
        assert {
            project: (each["missing"], each["different"], each["extra"]) for project, each in by_project.items()
        } == {str(ours): (1, 0, 0), str(other): (0, 1, 0), None: (0, 0, 1)}
        assert {(each["drift"], each["key"]) for each in report["objects"]} == {
            ("missing", gone.key),
            ("different", changed.key),
            ("extra", stray),
        }
        (row,) = await lyon.database.fetch("SELECT lacking, different, extra, passed_at FROM site WHERE name = 'lyon'")
        assert tuple(row)[:3] == (1, 1, 1)
        assert row.passed_at
        _, table, _ = await world.command("rushes-syncer", "verify")
        assert str(ours) in table
        assert f"missing movies/{gone.key}" in table
        report = await _verify(world, "--project", str(ours), code=1)
        assert [report[name] for name in ("missing", "different", "extra")] == [1, 0, 0]

        report = await _verify(world, "--repair", code=1)
        assert (report["copied"], report["removed"], report["left"]) == (2, 0, 1)
        assert (_file(lyon, gone).exists(), _file(lyon, changed).read_bytes()) == (True, good)
        assert stray in await lyon.held()
        report = await _verify(world, "--repair", "--remove-extra", code=0)
        assert (report["extra"], report["removed"], report["left"]) == (1, 1, 0)
        assert not (await _verify(world, code=0))["drift"]
        (row,) = await lyon.database.fetch("SELECT lacking, different, extra FROM site WHERE name = 'lyon'")
        assert tuple(row) == (0, 0, 0)


async def test_only_a_deep_look_sees_bytes_that_changed_in_silence(world: World) -> None:
    async with follower(world) as lyon:
        _, (_, rotten, unknown) = await _followed(lyon)
        path = _file(lyon, rotten)
        before, good = path.stat(), path.read_bytes()
        path.write_bytes(bytes(len(good)))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        # Copied by other means: only its size is known.
        await lyon.database.fetch("DELETE FROM held WHERE key = :key RETURNING 1", key=unknown.key)
        assert (await _verify(world, code=0))["same"] == 2
        report = await _verify(world, "--deep", code=1)
        assert [each["key"] for each in report["objects"]] == [rotten.key]
        (proven,) = await lyon.database.fetch("SELECT sha256, source_etag FROM held WHERE key = :key", key=unknown.key)
        assert tuple(proven) == (unknown.sha256, unknown.etag), "what was read and is the same is known from now on"
        await _verify(world, "--deep", "--repair", code=0)
        assert path.read_bytes() == good


async def test_nothing_is_removed_on_the_word_of_a_store_that_is_not_whole_or_has_lost_an_object(world: World) -> None:
    async with follower(world) as lyon:
        _, files = await _followed(lyon)
        held = await lyon.held()
        for stored in files:
            await lyon.main.delete(stored.bucket, stored.key, condition=Unconditional())
        report = await _verify(world, "--repair", "--remove-extra", code=1)
        assert (report["extra"], report["removed"]) == (2, 0)
        assert all("the main store has lost it" in failure for failure in report["failures"])
        stray = await _stray(lyon)
        await lyon.main.delete("movies", SENTINEL_KEY, condition=Unconditional())
        code, said, errors = await world.command("rushes-syncer", "verify", "--repair", "--remove-extra")
        assert code == 1
        assert f"shows no {SENTINEL_KEY}" in errors, said
        assert await lyon.held() == held | {stray}


async def test_what_a_worker_is_about_to_copy_is_no_drift(world: World) -> None:
    async with follower(world) as lyon:
        preview = uuid4()
        files = await lyon.publish(preview, b"x")
        assert (await _verify(world, code=1))["missing"] == 2
        async with playing(lyon.intake):
            await world.send(change(preview, 1, PreviewStatus.READY, files))
            await eventually(lambda: lyon.database.fetch("SELECT 1 FROM task WHERE state = 'queued'"))
        report = await _verify(world, code=0)
        assert (report["missing"], report["waiting"]) == (0, 2)


async def test_what_a_deletion_leaves_at_a_site_is_kept_and_with_prune_it_is_extra(world: World) -> None:
    async with follower(world) as lyon:
        preview, files = await _followed(lyon)
        async with playing(lyon.intake):
            await world.send(change(preview, 2, PreviewStatus.READY, files, deleted=True))
            await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site_preview WHERE deleted"))
        for stored in files:
            await lyon.main.delete(stored.bucket, stored.key, condition=Unconditional())
        report = await _verify(world, code=0)
        assert (report["kept"], report["drift"]) == (2, False)
        report = await _verify(world, "--repair", "--remove-extra", code=0, PRUNE="true")
        assert (report["extra"], report["removed"]) == (2, 2)
        assert await lyon.held() == set()

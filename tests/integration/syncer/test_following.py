"""The syncer: each site gets what it should hold, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast
from uuid import uuid4

import pytest
from rushes_runtime import ledger
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import SENTINEL_KEY, ObjectStat, Store, Unconditional
from rushes_runtime.store.interface import SmallObjects
from rushes_runtime.worker import Progress
from rushes_schemas import ObjectKind, PreviewStatus, StoredFile
from rushes_syncer.workshop import CopyWorkshop

from tests.integration.syncer.follower import change, follower
from tests.world import World, eventually, playing


def _site(world: World, kind: str) -> World:
    if kind == "local":
        return world
    names = ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    same = {f"SITES__LYON__{name}": world.environment[f"STORE__{name}"] for name in names}
    return world.with_settings(
        SITES__LYON__KIND="s3", SITES__LYON__BUCKET_PREFIX=f"{world.environment['STORE__BUCKET_PREFIX']}lyon-", **same
    )


@pytest.mark.parametrize("kind", ["local", "s3"])
async def test_a_ready_preview_is_copied_without_its_source_and_verified(world: World, kind: str) -> None:
    preview = uuid4()
    async with follower(_site(world, kind)) as lyon, playing(lyon.intake, lyon.worker):
        files = await lyon.publish(preview, b"first ")
        await world.send(change(preview, 2, PreviewStatus.READY, files))
        wanted = {stored.key for stored in files if stored.kind != ObjectKind.SOURCE_MOVIE}
        await eventually(lyon.held, lambda held: held == wanted)
        target = world.folder / "read-back"
        for stored in files[1:]:
            assert (await lyon.site.download(stored.bucket, stored.key, target)).sha256 == stored.sha256
        again = await lyon.publish(preview, b"second ")
        await world.send(change(preview, 3, PreviewStatus.READY, again))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM held WHERE sha256 = :sha", sha=again[1].sha256))
        assert (await lyon.site.download(again[1].bucket, again[1].key, target)).sha256 == again[1].sha256


async def test_broken_and_missing_are_skipped_if_so_configured_and_follow_once_ready(world: World) -> None:
    broken, missing, ready = uuid4(), uuid4(), uuid4()
    skipping = world.with_settings(SKIP_BROKEN="true", SKIP_MISSING="true")
    async with follower(skipping) as lyon, playing(lyon.intake, lyon.worker):
        files = {each: await lyon.publish(each, b"x") for each in (broken, missing, ready)}
        await world.send(
            change(broken, 2, PreviewStatus.BROKEN, files[broken]),
            change(missing, 2, PreviewStatus.MISSING, files[missing]),
            change(ready, 2, PreviewStatus.READY, files[ready]),
        )
        await eventually(lyon.held, lambda held: len(held) == 2)
        assert {str(ready) in key for key in await lyon.held()} == {True}
        await world.send(change(broken, 3, PreviewStatus.READY, files[broken]))
        await eventually(lyon.held, lambda held: len(held) == 4)
        decisions = await lyon.database.fetch(
            "SELECT decision FROM site_preview WHERE preview_file_id = :id", id=missing
        )
    assert [row.decision for row in decisions] == ["skip_missing"]


async def test_every_row_is_copied_by_default_and_sources_only_on_demand(world: World) -> None:
    preview = uuid4()
    async with follower(world.with_settings(SYNC_SOURCE_MOVIES="true")) as lyon, playing(lyon.intake, lyon.worker):
        files = await lyon.publish(preview, b"x")
        await world.send(change(preview, 2, PreviewStatus.BROKEN, files))
        await eventually(lyon.held, lambda held: held == {stored.key for stored in files})


async def test_a_record_that_is_not_newer_changes_nothing_and_an_unknown_status_is_copied(world: World) -> None:
    preview = uuid4()
    async with follower(world.with_settings(SKIP_BROKEN="true")) as lyon, playing(lyon.intake, lyon.worker):
        files = await lyon.publish(preview, b"x")
        await world.send(change(preview, 5, "archived", files))
        await eventually(lyon.held, lambda held: len(held) == 2)
        await world.send(change(preview, 4, PreviewStatus.BROKEN, []), change(uuid4(), 1, PreviewStatus.PROCESSING, []))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site_preview"), lambda rows: len(rows) == 2)
        (row,) = await lyon.database.fetch(
            "SELECT version, status FROM site_preview WHERE preview_file_id = :id", id=preview
        )
    assert (row.version, row.status) == (5, "archived")


async def test_an_object_that_is_not_the_published_one_never_reaches_the_site(world: World) -> None:
    preview = uuid4()
    async with follower(world.with_settings(RETRY_LIMIT="2")) as lyon, playing(lyon.intake, lyon.worker):
        files = await lyon.publish(preview, b"x")
        wrong = [stored.model_copy(update={"sha256": "0" * 64}) for stored in files]
        await world.send(change(preview, 2, PreviewStatus.READY, wrong))
        await eventually(
            lambda: lyon.database.fetch("SELECT 1 FROM site_preview WHERE failure_code = 'source_changed'")
        )
        assert await lyon.held() == set()


class _PausingPuts:
    """Small objects of a site, written in threads after something that the event loop does."""

    def __init__(
        self,
        objects: SmallObjects,
        loop: asyncio.AbstractEventLoop,
        pause: Callable[[], Coroutine[Any, Any, None]] | None,
    ) -> None:
        self._objects = objects
        self._loop = loop
        self._pause = pause

    def put(self, *what: Any, **options: Any) -> ObjectStat:
        if self._pause:
            asyncio.run_coroutine_threadsafe(self._pause(), self._loop).result()
        return self._objects.put(*what, **options)


class _Pausing:
    """A site of which the first write waits for something."""

    def __init__(self, site: Store, pause: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._site = site
        self._pause: Callable[[], Coroutine[Any, Any, None]] | None = pause

    def __getattr__(self, name: str) -> Any:
        return getattr(self._site, name)

    async def small(self, bucket: str) -> _PausingPuts:
        pause, self._pause = self._pause, None
        return _PausingPuts(await self._site.small(bucket), asyncio.get_running_loop(), pause)


@pytest.mark.parametrize("kind", ["local", "s3"])
@pytest.mark.parametrize("before", [None, b"first "], ids=["the site holds nothing", "the site holds an older one"])
async def test_a_copy_that_pauses_before_its_write_and_is_overtaken_writes_over_nothing(
    world: World, kind: str, before: bytes | None
) -> None:
    preview = uuid4()
    async with follower(_site(world, kind)) as lyon, playing(lyon.intake):

        async def copied(version: int, content: bytes) -> list[StoredFile]:
            files = await lyon.publish(preview, content)
            await world.send(change(preview, version, PreviewStatus.READY, files))
            async with playing(lyon.worker):
                held = "SELECT 1 FROM held WHERE sha256 = :sha"
                await eventually(lambda: lyon.database.fetch(held, sha=files[2].sha256))
            return files

        async def overtaken() -> None:
            await lyon.database.fetch("UPDATE task SET state = 'queued' WHERE state = 'running' RETURNING 1")
            await copied(4, b"third ")

        if before:
            await copied(2, before)
        files = await lyon.publish(preview, b"second ")
        await world.send(change(preview, 3, PreviewStatus.READY, files))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM task WHERE state = 'queued'"))
        async with lyon.database.begin() as connection:
            task = await ledger.claim(connection, "paused", 3, idle=True)
        assert task
        site = cast("Store", _Pausing(lyon.site, overtaken))
        rules = {"lyon": world.syncer_settings().rules_of("lyon")}
        paused = CopyWorkshop(lyon.database, lyon.main, {"lyon": site}, rules, world.environment["INSTANCE"])
        scratch = world.folder / "paused"
        scratch.mkdir()
        with pytest.raises(AttemptFailedError, match="was changed while it was copied"):
            await paused.attempt(task, Progress(), scratch)
        for stored in files[1:]:
            await lyon.site.download(stored.bucket, stored.key, scratch / "read-back")
            assert (scratch / "read-back").read_bytes().startswith(b"third ")


async def test_tombstones_are_nothing_to_do(world: World) -> None:
    async with follower(world) as lyon, world.producer() as producer, playing(lyon.intake):
        await producer.send_and_wait(f"{world.prefix}status-changed", key=b"x", value=None)
        preview = uuid4()
        await world.send(change(preview, 1, PreviewStatus.PROCESSING, []))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site_preview"))
        assert not await lyon.database.fetch("SELECT 1 FROM outbox")


@pytest.mark.parametrize("kind", ["local", "s3"])
@pytest.mark.parametrize("end", ["missing", "deleted"])
async def test_what_becomes_missing_or_is_deleted_stays_at_the_site_unless_it_is_pruned(
    world: World, kind: str, end: str
) -> None:
    preview, kept = uuid4(), uuid4()
    ends: dict[str, Any] = {"status": PreviewStatus.READY, "deleted": True}
    if end == "missing":
        ends = {"status": PreviewStatus.MISSING, "deleted": False}
    async with follower(_site(world, kind)) as lyon, playing(lyon.intake, lyon.worker):
        files = {each: await lyon.publish(each, b"x") for each in (preview, kept)}
        await world.send(*(change(each, 2, PreviewStatus.READY, files[each]) for each in (preview, kept)))
        held = await eventually(lyon.held, lambda held: len(held) == 4)
        await world.send(change(preview, 3, ends["status"], files[preview], deleted=ends["deleted"]))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site_preview WHERE version = 3"))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM task WHERE state <> 'done'"), lambda rows: not rows)
        assert await lyon.held() == held
    async with follower(_site(world, kind).with_settings(PRUNE="true")) as lyon, playing(lyon.intake, lyon.worker):
        await world.send(change(preview, 4, ends["status"], files[preview], deleted=ends["deleted"]))
        left = await eventually(lyon.held, lambda held: len(held) == 2)
        assert {str(kept) in key for key in left} == {True}
        rows = await eventually(
            lambda: lyon.database.fetch("SELECT DISTINCT preview_file_id FROM held"), lambda rows: len(rows) == 1
        )
        assert [row.preview_file_id for row in rows] == [kept]
        await world.send(change(preview, 5, PreviewStatus.READY, files[preview]))
        await eventually(lyon.held, lambda now: now == held)


async def test_a_prune_removes_only_what_is_named_after_its_preview(world: World) -> None:
    preview, other = uuid4(), uuid4()
    settings = world.with_settings(PRUNE="true", SYNC_SOURCE_MOVIES="true")
    async with follower(settings) as lyon, playing(lyon.intake, lyon.worker):
        own, others = await lyon.publish(preview, b"x"), await lyon.publish(other, b"x")
        foreign = [
            others[0],  # a source that both share
            others[1],
            others[1].model_copy(update={"key": SENTINEL_KEY}),
            others[1].model_copy(update={"key": "scans/sh010.mov"}),
        ]
        await world.send(change(other, 2, PreviewStatus.READY, others), change(preview, 2, PreviewStatus.READY, own))
        await eventually(lyon.held, lambda held: len(held) == 6)
        await world.send(change(preview, 3, PreviewStatus.READY, [*own, *foreign], deleted=True))
        left = await eventually(lyon.held, lambda held: not any(str(preview) in key for key in held))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM task WHERE state <> 'done'"), lambda rows: not rows)
        assert await lyon.held() == left == {stored.key for stored in others}
        assert await lyon.site.stat("movies", SENTINEL_KEY)
        rows = await lyon.database.fetch("SELECT key FROM held")
    assert {row.key for row in rows} == left


@pytest.mark.parametrize("comes_back", [True, False])
async def test_an_object_that_the_main_store_does_not_show_is_looked_for_twice(world: World, comes_back: bool) -> None:
    preview = uuid4()
    async with follower(world) as lyon, playing(lyon.intake, lyon.worker):
        files = await lyon.publish(preview, b"first ")
        hidden = files[-1]
        await lyon.main.delete(hidden.bucket, hidden.key, condition=Unconditional())
        await world.send(change(preview, 1, PreviewStatus.READY, files))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM task WHERE looks = 1 AND state = 'queued'"))
        if comes_back:
            await lyon.publish(preview, b"first ")
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM task WHERE state = 'done'"))
        assert (hidden.key in await lyon.held()) == comes_back

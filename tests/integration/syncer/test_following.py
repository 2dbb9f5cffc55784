"""The syncer: each site gets what it should hold, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from rushes_normalizer.hashing import sha256_of
from rushes_runtime import ledger
from rushes_runtime.circuits import NeededStore
from rushes_runtime.database import Database
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.store import ObjectStat, Store, Unconditional, open_store, place_sentinels
from rushes_runtime.store.interface import SmallObjects
from rushes_runtime.waiting import Hint
from rushes_runtime.wiring import make_circuits, make_worker
from rushes_runtime.worker import Progress, Worker
from rushes_schemas import ObjectKind, PreviewStatus, StatusChanged, StoredFile, object_key
from rushes_schemas.outputs import BUCKETS, PLACES
from rushes_syncer.application import rules_of
from rushes_syncer.intake import CONTRACTS_BY_TOPIC, StatusIntake
from rushes_syncer.sites import subject_prefix
from rushes_syncer.workshop import CopyResult, CopyWorkshop

from tests.world import World, eventually, playing

pytestmark = pytest.mark.any_broker
KINDS = (ObjectKind.SOURCE_MOVIE, ObjectKind.LOW_DEFINITION, ObjectKind.SQUARE_THUMBNAIL)


@dataclass
class Follower:
    """The syncer's roles for the site `lyon`."""

    world: World
    database: Database
    main: Store
    site: Store
    intake: Intake
    worker: Worker[CopyResult]

    async def publish(self, preview_file_id: UUID, content: bytes) -> list[StoredFile]:
        """Objects in the main store, as a normalizer leaves them."""
        files = []
        for kind in KINDS:
            path = self.world.folder / f"{kind}-{preview_file_id}"
            path.write_bytes(content + kind.encode())
            place, key = PLACES[kind], object_key(kind, preview_file_id)
            stat = await self.main.upload(
                place.bucket, key, path, content_type=place.content_type, condition=Unconditional()
            )
            values = {"kind": kind.value, "bucket": place.bucket, "key": key, "bytes": stat.bytes, "etag": stat.etag}
            files.append(StoredFile.model_validate({**values, "sha256": await sha256_of(path)}))
        return files

    async def held(self) -> set[str]:
        """Keys at the site."""
        return {
            stat.key
            for bucket in BUCKETS
            async for stat in self.site.list(bucket)
            if not stat.key.startswith("sentinel")
        }


@asynccontextmanager
async def follower(world: World) -> AsyncIterator[Follower]:
    async with AsyncExitStack() as resources:
        settings = world.syncer_settings()
        database = await resources.enter_async_context(world.syncer_database())
        main = await resources.enter_async_context(world.store())
        site = await resources.enter_async_context(open_store(settings.sites["lyon"]))
        await place_sentinels(site, BUCKETS, settings.instance)
        rules = rules_of(settings)
        intake = Intake(
            service="syncer",
            group=f"{settings.instance}.syncer.lyon",
            kafka=settings.kafka,
            contracts=CONTRACTS_BY_TOPIC,
            database=database,
            handler=StatusIntake("lyon", rules),
            health=Health(),
            took_in=lambda: None,
            tombstones=True,
        )
        workshop = CopyWorkshop(database, main, {"lyon": site}, rules, settings.instance)
        stores = [NeededStore("main", main), NeededStore("lyon", site, subject_prefix("lyon"))]
        worker = make_worker(
            settings,
            database,
            workshop,
            Health(),
            circuits=make_circuits(settings, stores),
            confirm_absence_after=1,
            ended=Hint(),
        )
        yield Follower(world, database, main, site, intake, worker)


def _change(preview_file_id: UUID, version: int, status: PreviewStatus | str, files: list[StoredFile]) -> StatusChanged:
    values: dict[str, Any] = {
        "preview_file_id": preview_file_id,
        "id": preview_file_id,
        "version": version,
        "fence": version,
        "status": status,
        "internal_status": status,
        "files": files,
        "occurred_at": datetime.now(UTC),
    }
    return StatusChanged.model_validate(values)


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
        await world.send(_change(preview, 2, PreviewStatus.READY, files))
        wanted = {stored.key for stored in files if stored.kind != ObjectKind.SOURCE_MOVIE}
        await eventually(lyon.held, lambda held: held == wanted)
        target = world.folder / "read-back"
        for stored in files[1:]:
            assert (await lyon.site.download(stored.bucket, stored.key, target)).sha256 == stored.sha256
        again = await lyon.publish(preview, b"second ")
        await world.send(_change(preview, 3, PreviewStatus.READY, again))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM held WHERE sha256 = :sha", sha=again[1].sha256))
        assert (await lyon.site.download(again[1].bucket, again[1].key, target)).sha256 == again[1].sha256


async def test_broken_and_missing_are_skipped_if_so_configured_and_follow_once_ready(world: World) -> None:
    broken, missing, ready = uuid4(), uuid4(), uuid4()
    skipping = world.with_settings(SKIP_BROKEN="true", SKIP_MISSING="true")
    async with follower(skipping) as lyon, playing(lyon.intake, lyon.worker):
        files = {each: await lyon.publish(each, b"x") for each in (broken, missing, ready)}
        await world.send(
            _change(broken, 2, PreviewStatus.BROKEN, files[broken]),
            _change(missing, 2, PreviewStatus.MISSING, files[missing]),
            _change(ready, 2, PreviewStatus.READY, files[ready]),
        )
        await eventually(lyon.held, lambda held: len(held) == 2)
        assert {str(ready) in key for key in await lyon.held()} == {True}
        await world.send(_change(broken, 3, PreviewStatus.READY, files[broken]))
        await eventually(lyon.held, lambda held: len(held) == 4)
        decisions = await lyon.database.fetch(
            "SELECT decision FROM site_preview WHERE preview_file_id = :id", id=missing
        )
    assert [row.decision for row in decisions] == ["skip_missing"]


async def test_every_row_is_copied_by_default_and_sources_only_on_demand(world: World) -> None:
    preview = uuid4()
    async with follower(world.with_settings(SYNC_SOURCE_MOVIES="true")) as lyon, playing(lyon.intake, lyon.worker):
        files = await lyon.publish(preview, b"x")
        await world.send(_change(preview, 2, PreviewStatus.BROKEN, files))
        await eventually(lyon.held, lambda held: held == {stored.key for stored in files})


async def test_a_record_that_is_not_newer_changes_nothing_and_an_unknown_status_is_copied(world: World) -> None:
    preview = uuid4()
    async with follower(world.with_settings(SKIP_BROKEN="true")) as lyon, playing(lyon.intake, lyon.worker):
        files = await lyon.publish(preview, b"x")
        await world.send(_change(preview, 5, "archived", files))
        await eventually(lyon.held, lambda held: len(held) == 2)
        await world.send(
            _change(preview, 4, PreviewStatus.BROKEN, []), _change(uuid4(), 1, PreviewStatus.PROCESSING, [])
        )
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
        await world.send(_change(preview, 2, PreviewStatus.READY, wrong))
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
            await world.send(_change(preview, version, PreviewStatus.READY, files))
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
        await world.send(_change(preview, 3, PreviewStatus.READY, files))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM task WHERE state = 'queued'"))
        async with lyon.database.begin() as connection:
            task = await ledger.claim(connection, "paused", 3, idle=True)
        assert task
        site = cast("Store", _Pausing(lyon.site, overtaken))
        rules = rules_of(world.syncer_settings())
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
        await world.send(_change(preview, 1, PreviewStatus.PROCESSING, []))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site_preview"))
        assert not await lyon.database.fetch("SELECT 1 FROM outbox")


async def test_a_full_pass_copies_only_what_differs(world: World, tmp_path: Path) -> None:
    first, second, broken = uuid4(), uuid4(), uuid4()
    async with follower(world) as lyon:
        for each in (first, second, broken):
            await lyon.publish(each, b"x")
        async with playing(lyon.intake):
            await world.send(_change(broken, 2, PreviewStatus.BROKEN, []))
            await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site_preview"))
        code, said, errors = await world.command("rushes-syncer", "full", "--skip-broken", "--json")
        assert code == 0, errors
        assert '"copied": 4' in said
        assert '"skipped": 5' in said
        assert len(await lyon.held()) == 4
        await lyon.publish(first, b"changed ")
        code, said, errors = await world.command("rushes-syncer", "full", "--skip-broken", "--json")
        assert (code, '"copied": 2' in said, '"held": 2' in said) == (0, True, True), said + errors


async def test_a_site_that_is_down_delays_no_other_and_gets_its_copies_once_it_is_back(world: World) -> None:
    two = world.with_settings(SITES__OSLO__KIND="local", SITES__OSLO__ROOT=str(world.folder / "oslo"))
    settings = two.syncer_settings()
    code, _, said = await two.command("rushes-syncer", "migrate")
    assert code == 0, said
    async with two.store() as main, two.syncer_database() as database, open_store(settings.sites["lyon"]) as lyon:
        await place_sentinels(lyon, BUCKETS, settings.instance)
        path = world.folder / "object"
        path.write_bytes(b"made")
        previews, files = [uuid4() for _ in range(6)], {}
        for preview in previews:
            key = object_key(ObjectKind.LOW_DEFINITION, preview)
            stat = await main.upload("movies", key, path, content_type="video/mp4", condition=Unconditional())
            values = {"kind": "low_definition", "bucket": "movies", "key": key, "bytes": 4, "etag": stat.etag}
            files[preview] = [StoredFile.model_validate({**values, "sha256": await sha256_of(path)})]
        process = two.process("rushes-syncer", "run")
        try:
            await two.send(*(_change(preview, 2, PreviewStatus.READY, files[preview]) for preview in previews))
            of_site = "SELECT state, tries FROM task WHERE subject LIKE :site"
            await eventually(
                lambda: database.fetch(of_site, site="lyon/%"),
                lambda rows: [row.state for row in rows] == ["done"] * 6,
            )
            await eventually(lambda: database.fetch(of_site, site="oslo/%"), lambda rows: len(rows) == 6)
            assert {tuple(row) for row in await database.fetch(of_site, site="oslo/%")} == {("queued", 0)}
            assert not await database.fetch("SELECT 1 FROM task WHERE subject LIKE 'oslo/%' AND fence > 0"), (
                "none begun"
            )
            async with open_store(settings.sites["oslo"]) as oslo:
                await place_sentinels(oslo, BUCKETS, settings.instance)
            await eventually(
                lambda: database.fetch(of_site, site="oslo/%"),
                lambda rows: [tuple(row) for row in rows] == [("done", 0)] * 6,
            )
            assert process.poll() is None
        finally:
            two.stop_processes()


@pytest.mark.parametrize("comes_back", [True, False])
async def test_an_object_that_the_main_store_does_not_show_is_looked_for_twice(world: World, comes_back: bool) -> None:
    preview = uuid4()
    async with follower(world) as lyon, playing(lyon.intake, lyon.worker):
        files = await lyon.publish(preview, b"first ")
        hidden = files[-1]
        await lyon.main.delete(hidden.bucket, hidden.key, condition=Unconditional())
        await world.send(_change(preview, 1, PreviewStatus.READY, files))
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM task WHERE looks = 1 AND state = 'queued'"))
        if comes_back:
            await lyon.publish(preview, b"first ")
        await eventually(lambda: lyon.database.fetch("SELECT 1 FROM task WHERE state = 'done'"))
        assert (hidden.key in await lyon.held()) == comes_back

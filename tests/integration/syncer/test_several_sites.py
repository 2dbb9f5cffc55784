"""Sites side by side: what one of them does to its copies is no other's business."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from rushes_embedded.stack import Stack
from rushes_normalizer.hashing import sha256_of
from rushes_runtime import ledger
from rushes_runtime.circuits import NeededStore
from rushes_runtime.health import Health
from rushes_runtime.ledger import NewTask
from rushes_runtime.store import Store, Unconditional, Writing, open_store, place_sentinels
from rushes_runtime.waiting import Hint
from rushes_runtime.wiring import make_circuits, make_worker
from rushes_schemas import ObjectKind, PreviewStatus, StoredFile, object_key
from rushes_schemas.outputs import BUCKETS
from rushes_syncer import sites
from rushes_syncer.deciding import Decision, SyncRules
from rushes_syncer.sites import SitePreview, subject_prefix
from rushes_syncer.workshop import CopyWorkshop

from tests.faults.s3_proxy import S3Proxy
from tests.integration.syncer.follower import Follower, Streamed, change, follower, keys_of
from tests.world import World, eventually, playing

pytestmark = pytest.mark.extended


class _Hanging:
    """A site that shows what it has, and whose writes never end."""

    def __init__(self, site: Store) -> None:
        self._site = site
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._site, name)

    @asynccontextmanager
    async def write(self, *place: Any, **options: Any) -> AsyncIterator[Writing]:
        self.asked += 1
        await asyncio.Event().wait()
        async with self._site.write(*place, **options) as writing:
            yield writing


async def _to_copy(lyon: Follower, site: str, files: dict[UUID, list[StoredFile]]) -> None:
    """What an intake of the site leaves."""
    rows = [
        SitePreview(site, preview, 1, "ready", None, tuple(stored), False, Decision.COPY)
        for preview, stored in files.items()
    ]
    async with lyon.database.begin() as connection:
        await sites.save(connection, rows)
        await ledger.enqueue(connection, [NewTask(row.subject, "copy", datetime.now(UTC), {}) for row in rows])


@pytest.mark.parametrize("both", [True, False], ids=["one process for both sites", "a process for one of them"])
async def test_a_site_whose_writes_hang_takes_no_slot_of_another(world: World, both: bool) -> None:
    async with follower(world) as lyon:
        settings = world.syncer_settings()
        previews = {each: await lyon.publish(each, b"x") for each in (uuid4(), uuid4(), uuid4())}
        hanging = _Hanging(lyon.site)
        await _to_copy(lyon, "oslo", previews)  # first, so that its copies come first
        await _to_copy(lyon, "lyon", previews)
        stores = {"lyon": lyon.site, "oslo": cast("Store", hanging)}
        if not both:
            del stores["oslo"]
        needed = [NeededStore(name, store, subject_prefix(name)) for name, store in stores.items()]
        rules = dict.fromkeys(stores, SyncRules())
        worker = make_worker(
            settings.model_copy(update={"slots": 1, "drain_budget": 0.1}),
            lyon.database,
            CopyWorkshop(lyon.database, cast("Store", Streamed(lyon.main)), stores, rules, settings.instance),
            Health(),
            circuits=make_circuits(settings, [NeededStore("main", lyon.main), *needed]),
            confirm_absence_after=1,
            ended=Hint(),
            areas=list(stores),
        )
        async with playing(worker):
            await eventually(
                lambda: lyon.database.fetch("SELECT 1 FROM task WHERE subject LIKE 'lyon/%' AND state = 'done'"),
                lambda rows: len(rows) == 3,
            )
            assert hanging.asked == int(both), "one slot of its own, and no more"
        of_oslo = await lyon.database.fetch("SELECT state, tries, losses FROM task WHERE subject LIKE 'oslo/%'")
        assert {tuple(row) for row in of_oslo} == {("queued", 0, 0)}
        assert len(await keys_of(lyon.site)) == 6


async def test_the_bandwidth_of_a_site_limits_its_copies_and_no_others(world: World) -> None:
    two = world.with_settings(
        SITES__OSLO__KIND="local", SITES__OSLO__ROOT=str(world.folder / "oslo"), SITES__LYON__BANDWIDTH="200k"
    )
    await two.prepare()
    preview = uuid4()
    async with follower(two) as lyon:
        files = await lyon.publish(preview, b"x" * 200 * 1024)
        two.process("rushes-syncer", "run")
        try:
            await two.send(change(preview, 2, PreviewStatus.READY, files))
            took = "SELECT subject, extract(epoch FROM ended_at - started_at) AS seconds FROM task WHERE state = 'done'"
            rows = await eventually(lambda: lyon.database.fetch(took), lambda rows: len(rows) == 2)
        finally:
            two.stop_processes()
    seconds = {row.subject.partition("/")[0]: row.seconds for row in rows}
    assert seconds["lyon"] > 1.9, "two objects of 200 kB"
    assert seconds["oslo"] < seconds["lyon"]


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
            await two.send(*(change(preview, 2, PreviewStatus.READY, files[preview]) for preview in previews))
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


@pytest.mark.parametrize("command", ["run", "full"])
async def test_a_site_that_gives_no_answer_delays_no_other(world: World, stack: Stack, command: str) -> None:
    proxy = S3Proxy(stack.objects.endpoint_url, ("bergen",))
    at_bergen = {
        "KIND": "s3",
        "ENDPOINT_URL": f"http://127.0.0.1:{proxy.ports['bergen']}",
        "BUCKET_PREFIX": f"{world.environment['STORE__BUCKET_PREFIX']}bergen-",
        "READ_TIMEOUT": "300",  # longer than this waits
        **{name: world.environment[f"STORE__{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")},
    }
    # By its name it comes first wherever one comes after the other.
    two = world.with_settings(**{f"SITES__BERGEN__{name}": value for name, value in at_bergen.items()})
    preview = uuid4()
    async with proxy.serve(), follower(two) as lyon:
        await two.prepare()
        files = await lyon.publish(preview, b"x")
        wanted = {stored.key for stored in files[1:]}
        with proxy.trouble("silent", frozenset({"bergen"})):
            process = two.process("rushes-syncer", command)
            try:
                if command == "run":
                    await two.send(change(preview, 2, PreviewStatus.READY, files))
                await eventually(lyon.held, lambda held: held == wanted)
                if command == "full":
                    await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site WHERE passed_at IS NOT NULL"))
                assert process.poll() is None, "it still waits for the other one"
            finally:
                if command == "full":
                    two.stop_processes()
        try:
            if command == "full":
                two.process("rushes-syncer", command)
            async with open_store(two.syncer_settings().sites["bergen"]) as bergen:
                await eventually(lambda: keys_of(bergen), lambda held: held == wanted)
        finally:
            two.stop_processes()

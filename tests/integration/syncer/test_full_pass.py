"""A full pass: a site gets what differs, in order, and a killed one goes on where it was."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from rushes_runtime.store import (
    ObjectStat,
    Store,
    StoreDeniedError,
    Unconditional,
    Writing,
    open_store,
    place_sentinels,
)
from rushes_schemas import ObjectKind, PreviewStatus, object_key
from rushes_schemas.outputs import BUCKETS
from rushes_syncer.deciding import SyncRules
from rushes_syncer.full import PassOptions, PassReport, full_pass
from rushes_syncer.passes import Order
from rushes_syncer.putting_right import Effort
from rushes_syncer.survey import Scope, Sides

from tests.integration.syncer.follower import Follower, Streamed, change, follower, keys_of
from tests.world import World, eventually, playing


class _Unwatched:
    """Nobody looks."""

    def looked(self, objects: int) -> None:
        pass

    def found(self, objects: int, size: int) -> None:
        pass

    def copied(self, size: int) -> None:
        pass


async def _full(world: World, *options: str, code: int = 0, **settings: str) -> list[dict[str, Any]]:
    """The reports of `full`."""
    ended, said, errors = await world.command("rushes-syncer", "full", "--json", *options, **settings)
    assert ended == code, said + errors
    reports: list[dict[str, Any]] = json.loads(said)["sites"]
    return reports


async def _put(store: Store, world: World, size: int, kind: ObjectKind = ObjectKind.HIGH_DEFINITION) -> str:
    """An object of so many bytes of a preview that nobody announced; its key."""
    path = world.folder / "put"
    path.write_bytes(os.urandom(size))
    key = object_key(kind, uuid4())
    await store.upload("movies", key, path, content_type="video/mp4", condition=Unconditional())
    return key


async def test_a_full_pass_copies_only_what_differs(world: World, tmp_path: Path) -> None:
    first, second, broken = uuid4(), uuid4(), uuid4()
    async with follower(world) as lyon:
        for each in (first, second, broken):
            await lyon.publish(each, b"x")
        async with playing(lyon.intake):
            await world.send(change(broken, 2, PreviewStatus.BROKEN, []))
            await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site_preview"))
        code, said, errors = await world.command("rushes-syncer", "full", "--skip-broken", "--json")
        assert code == 0, errors
        assert '"copied": 4' in said
        assert '"skipped": 5' in said
        assert len(await lyon.held()) == 4
        await lyon.publish(first, b"changed ")
        code, said, errors = await world.command("rushes-syncer", "full", "--skip-broken", "--json")
        assert (code, '"copied": 2' in said, '"held": 2' in said) == (0, True, True), said + errors


class _Told:
    """A site that tells in which order it was written to, and may refuse."""

    def __init__(self, site: Store, refused: str = "") -> None:
        self._site = site
        self._refused = refused
        self.written: list[str] = []
        self.tried = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._site, name)

    @asynccontextmanager
    async def write(self, bucket: str, key: str, **options: Any) -> AsyncIterator[Writing]:
        self.tried += 1
        if bucket == self._refused:
            raise StoreDeniedError(f"403 for {bucket}")
        async with self._site.write(bucket, key, **options) as writing:
            yield writing
        self.written.append(key)


async def _pass(
    lyon: Follower, site: Store, scope: Scope | None = None, *, order: Order = "biggest", workers: int = 1
) -> PassReport:
    sides = Sides(lyon.database, cast("Store", Streamed(lyon.main)), site, lyon.world.environment["INSTANCE"])
    options = PassOptions(scope or Scope(SyncRules()), Effort(order, workers, attempts=1))
    return await full_pass(sides, "lyon", options, watch=_Unwatched())


@pytest.mark.parametrize("order", ["biggest", "newest"])
async def test_the_biggest_or_the_newest_are_copied_first(world: World, order: Order) -> None:
    async with follower(world) as lyon:
        sizes = {await _put(lyon.main, world, size): size for size in (20, 3000, 1)}
        listed = [stat async for stat in lyon.main.list("movies") if stat.key in sizes]

        def place(stat: ObjectStat) -> Any:
            return stat.bytes if order == "biggest" else stat.modified

        if order == "newest":  # whole seconds on some servers: make them differ
            listed = await _apart(world, lyon.main, listed)
        site = _Told(lyon.site)
        await _pass(lyon, cast("Store", site), order=order)
        assert site.written == [stat.key for stat in sorted(listed, key=place, reverse=True)]


async def _apart(world: World, store: Store, listed: list[ObjectStat]) -> list[ObjectStat]:
    """The same objects, each written in a second of its own, the smallest first."""
    found: list[ObjectStat] = []
    for stat in sorted(listed, key=lambda each: each.bytes):
        path = world.folder / "again"
        path.write_bytes(b"x" * stat.bytes)
        last = found[-1].modified if found else datetime.min.replace(tzinfo=UTC)

        async def write(stat: ObjectStat = stat, path: Path = path) -> ObjectStat:
            await store.upload("movies", stat.key, path, content_type="video/mp4", condition=Unconditional())
            written = await store.stat("movies", stat.key)
            assert written
            return written

        found.append(await eventually(write, lambda stat, last=last: stat.modified > last))  # type: ignore[misc]
    return found


async def test_a_pass_of_a_project_or_since_a_moment_leaves_the_rest_alone(world: World) -> None:
    ours, other = uuid4(), uuid4()
    in_project: dict[UUID, UUID] = {uuid4(): ours, uuid4(): other}
    async with follower(world) as lyon:
        for preview in in_project:
            await lyon.publish(preview, b"x")
        async with playing(lyon.intake):
            await world.send(
                *(change(each, 1, PreviewStatus.READY, [], project_id=project) for each, project in in_project.items())
            )
            await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site_preview"), lambda rows: len(rows) == 2)
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        (report,) = await _full(world, "--since", later)
        assert (report["copied"], report["skipped"]) == (0, 6)
        (report,) = await _full(world, "--project", str(ours), "--since", "1h")
        assert (report["copied"], report["skipped"]) == (2, 4)
        assert {str(preview)[:8] in key for key in await lyon.held() for preview in in_project} == {True, False}
        (passed,) = await lyon.database.fetch("SELECT passed_at FROM site")
        assert passed.passed_at is None, "it was no look at the whole site"


async def test_a_site_is_filled_from_another_site_and_then_the_same_as_the_main_store(world: World) -> None:
    two = world.with_settings(SITES__OSLO__KIND="local", SITES__OSLO__ROOT=str(world.folder / "oslo"))
    async with follower(two) as lyon, open_store(two.syncer_settings().sites["oslo"]) as oslo:
        await place_sentinels(oslo, BUCKETS, two.environment["INSTANCE"])
        await lyon.publish(uuid4(), b"x")
        await _full(two, "--site", "lyon")
        stranger = await _put(lyon.site, world, 5)
        (report,) = await _full(two, "--source", "lyon")
        assert (report["site"], report["copied"]) == ("oslo", 3)
        assert await keys_of(oslo) == await keys_of(lyon.site) != set()
        origins = await lyon.database.fetch(
            "SELECT site, key, sha256, source_etag FROM held WHERE key <> :stranger", stranger=stranger
        )
        by_site = {
            name: {(row.key, row.sha256, row.source_etag) for row in origins if row.site == name}
            for name in ("lyon", "oslo")
        }
        assert by_site["oslo"] == by_site["lyon"], "the ledger knows whose copies they are"
        (report,) = await _full(two, "--site", "oslo", "--dry-run")
        assert (report["copied"], report["held"], report["extra"]) == (0, 2, 1)
        assert (await two.command("rushes-syncer", "full", "--source", "lyon", "--site", "lyon"))[0] == 2


async def test_what_fails_is_listed_and_stops_nothing_else_and_a_later_pass_puts_it_right(world: World) -> None:
    async with follower(world) as lyon:
        good, bad = await _put(lyon.main, world, 10), await _put(lyon.main, world, 20)
        prefix, _, name = bad.partition("-")
        in_the_way = world.folder / "lyon" / "movies" / prefix / name[:3] / name[3:6] / name
        in_the_way.mkdir(parents=True)
        (report,) = await _full(world, "--number-attempts", "1", code=1)
        assert (report["copied"], report["failed"]) == (1, 1)
        assert report["failures"][0].startswith(f"movies/{bad}: ")
        (row,) = await lyon.database.fetch("SELECT lacking, different, extra FROM site WHERE name = 'lyon'")
        assert tuple(row) == (1, 0, 0) or tuple(row) == (0, 1, 0)
        in_the_way.rmdir()
        (report,) = await _full(world)
        assert (report["copied"], report["held"], report["failed"]) == (1, 1, 0)
        assert await lyon.held() == {good, bad}


async def test_a_bucket_that_refuses_everything_is_given_up_and_the_others_are_copied(world: World) -> None:
    async with follower(world) as lyon:
        for _ in range(40):
            await _put(lyon.main, world, 100)
        await lyon.publish(uuid4(), b"x")
        site = _Told(lyon.site, refused="movies")
        report = await _pass(lyon, cast("Store", site))
        assert (report.failed, report.copied) == (41, 1), "two movies of the preview, one a source"
        assert site.tried < 30
        assert await keys_of(lyon.site) == set(site.written)
        assert any("not tried: 20 others" in failure for failure in report.failures)


@pytest.mark.extended
async def test_a_pass_that_was_killed_goes_on_where_it_was(world: World) -> None:
    async with follower(world) as lyon:
        keys = {await _put(lyon.main, world, 1 << 20) for _ in range(60)}
        process = world.process("rushes-syncer", "full", "--force-resync", "--bandwidth", "10M")
        copied = "SELECT key FROM difference WHERE state = 'copied'"
        before = await eventually(lambda: lyon.database.fetch(copied))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert len(before) < len(keys), "it was killed before its end"
        made = {stat.key: stat.etag async for stat in lyon.site.list("movies")}
        (report,) = await _full(world, "--force-resync")
        assert (report["resumed"], report["copied"], report["failed"]) == (True, 60, 0)
        assert await lyon.held() == keys
        after = {stat.key: stat.etag async for stat in lyon.site.list("movies")}
        assert {row.key for row in before} <= {key for key in made if after[key] == made[key]}, "none is copied twice"
        (report,) = await _full(world)
        assert (report["resumed"], report["copied"], report["held"]) == (False, 0, 60)


async def test_two_passes_over_one_site_come_one_after_the_other(world: World) -> None:
    async with follower(world) as lyon:
        for _ in range(5):
            await _put(lyon.main, world, 10)
        reports = await asyncio.gather(_full(world), _full(world))
        assert sorted(report["copied"] for (report,) in reports) == [0, 5]

"""OpenStack Swift, by its S3 API, as a site and as a source. It keeps no conditions of writes: Rushes looks instead."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from rushes_runtime.store import (
    IfAbsent,
    IfMatch,
    ObjectStat,
    PreconditionFailedError,
    Store,
    StoreUnavailableError,
    Unconditional,
    absent_from_whole,
)
from rushes_schemas import ObjectKind, object_key
from rushes_syncer.copying import copy_object

from tests.integration.syncer.copies import content, put, read
from tests.integration.syncer.follower import follower
from tests.swift_server import Swift
from tests.world import World

pytestmark = pytest.mark.extended

KEY = object_key(ObjectKind.HIGH_DEFINITION, UUID(int=7, version=4))
SMALL, PARTED = 20_000, (11 << 20) + 17
MADE = datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC)


@asynccontextmanager
async def _store(world: World, swift: Swift, kind: str, name: str) -> AsyncIterator[Store]:
    settings = {"STORE__BUCKET_PREFIX": f"{world.environment['STORE__BUCKET_PREFIX']}{name}-"}
    if kind == "local":
        settings |= {"STORE__KIND": "local", "STORE__ROOT": str(world.folder / name)}
    if kind == "swift":
        settings |= swift.settings("STORE__")
    async with world.with_settings(**settings).store() as opened:
        yield opened


@pytest.mark.parametrize("size", [0, SMALL, PARTED])
@pytest.mark.parametrize(
    ("source", "target"), [("s3", "swift"), ("swift", "s3"), ("local", "swift"), ("swift", "local"), ("swift", "swift")]
)
async def test_an_object_is_copied_to_swift_and_from_it(
    world: World, swift: Swift, source: str, target: str, size: int
) -> None:
    async with _store(world, swift, source, "main") as main, _store(world, swift, target, "lyon") as site:
        published = await put(main, KEY, content(size), modified=MADE, content_type="video/quicktime")
        sha256 = hashlib.sha256(content(size)).hexdigest()
        copied = await copy_object(main, site, "movies", KEY, over=IfAbsent(), size=size, sha256=sha256)
        assert await read(site, KEY) == content(size)
        shown = await site.stat("movies", KEY)
        assert shown
        assert (copied.bytes, copied.sha256) == (size, sha256)
        assert (copied.source_etag, copied.etag) == (published.etag, shown.etag)
        async with site.read("movies", KEY) as reading:
            assert reading.modified.replace(microsecond=0) == MADE
            assert reading.content_type in {None, "video/mp4" if source == "local" else "video/quicktime"}
        again = await put(main, KEY, content(size + 1))
        copied = await copy_object(main, site, "movies", KEY, over=IfMatch(shown.etag))
        assert (copied.source_etag, await read(site, KEY)) == (again.etag, content(size + 1))


async def test_swift_copies_by_itself_what_was_read_and_no_later_version(world: World, swift: Swift) -> None:
    async with _store(world, swift, "swift", "main") as main, _store(world, swift, "swift", "lyon") as site:
        assert site.shares_server(main)

        async def copy(condition: IfAbsent | IfMatch) -> ObjectStat | None:
            return await site.copy_within(
                main, "movies", KEY, stat=stat, content_type="video/mp4", condition=condition, modified=MADE
            )

        stat = await put(main, KEY, content(SMALL))
        assert await copy(IfAbsent())
        assert await read(site, KEY) == content(SMALL)
        for condition in (IfAbsent(), IfMatch("other")):
            with pytest.raises(PreconditionFailedError):
                await copy(condition)
        copy_of_it = IfMatch((await site.stat("movies", KEY) or stat).etag)
        newer = await put(main, KEY, content(SMALL + 1))
        with pytest.raises(PreconditionFailedError):
            await copy(copy_of_it)
        assert await read(site, KEY) == content(SMALL)
        stat = newer
        assert await copy(copy_of_it)
        assert await read(site, KEY) == content(SMALL + 1)


async def test_swift_says_absent_only_with_its_sentinel(world: World, swift: Swift) -> None:
    async with _store(world, swift, "swift", "main") as main:
        await put(main, KEY, b"x")
        instance = world.environment["INSTANCE"]
        lost = object_key(ObjectKind.HIGH_DEFINITION, uuid4())
        assert await absent_from_whole(main, "movies", [KEY, lost], instance) == {lost}
        for key in (KEY, "sentinel-rushes"):
            await main.delete("movies", key, condition=Unconditional())
        client = swift.client()
        client.delete_bucket(Bucket=f"{world.environment['STORE__BUCKET_PREFIX']}main-movies")
        client.close()
        with pytest.raises(StoreUnavailableError, match="shows no sentinel-rushes"):
            await absent_from_whole(main, "movies", [KEY, lost], instance)


async def test_swift_is_refused_with_a_hint_unless_the_settings_say_that_rushes_looks(
    world: World, swift: Swift
) -> None:
    kept = world.with_settings(**swift.settings("SITES__LYON__", CONDITIONS="kept"))
    code, said, errors = await kept.command("rushes-syncer", "migrate", "--store")
    assert code == 2, said + errors
    assert "does not keep the conditions of writes" in errors
    assert "CONDITIONS=looked_at" in errors
    looked_at = world.with_settings(**swift.settings("SITES__LYON__"))
    code, said, errors = await looked_at.command("rushes-syncer", "migrate", "--store")
    assert code == 0, said + errors


@pytest.mark.parametrize(("main", "site"), [("s3", "swift"), ("swift", "local")])
async def test_a_pass_fills_a_site_and_a_deep_look_proves_and_repairs_it(
    world: World, swift: Swift, main: str, site: str
) -> None:
    settings: dict[str, str] = {}
    if site == "swift":
        lyon_prefix = f"{world.environment['STORE__BUCKET_PREFIX']}lyon-"
        settings |= swift.settings("SITES__LYON__", BUCKET_PREFIX=lyon_prefix)
    if main == "swift":
        settings |= swift.settings("STORE__")
    world = world.with_settings(**settings)
    async with follower(world) as lyon:
        for each in (b"x", content(PARTED)):
            await lyon.publish(uuid4(), each)
        keys = await _keys(lyon.main)

        async def command(name: str, *options: str, expected: int) -> dict[str, int]:
            code, said, errors = await world.command("rushes-syncer", name, "--json", *options)
            assert code == expected, said + errors
            (report,) = json.loads(said)["sites"]
            counts: dict[str, int] = report
            return counts

        if site == "swift":
            kept = world.with_settings(SITES__LYON__CONDITIONS="kept")
            code, said, errors = await kept.command("rushes-syncer", "full")
            assert (code, "CONDITIONS=looked_at" in errors) == (2, True), said + errors
            assert not await _keys(lyon.site)
        assert (await command("full", expected=0))["copied"] == 4  # source movies stay
        assert len(await _keys(lyon.site)) == 4
        assert (await command("verify", expected=0))["same"] == 4
        assert (await command("verify", "--deep", expected=0))["same"] == 4
        rotten = next(key for key in keys if key.startswith("lowdef-"))
        good = await read(lyon.main, rotten)
        await put(lyon.site, rotten, bytes(len(good)))
        assert (await command("verify", expected=1))["different"] == 1
        assert (await command("verify", "--deep", "--repair", expected=0))["copied"] == 1
        assert await read(lyon.site, rotten) == good


async def _keys(store: Store) -> set[str]:
    return {
        stat.key for bucket in ("movies", "pictures") async for stat in store.list(bucket) if "-rushes" not in stat.key
    }

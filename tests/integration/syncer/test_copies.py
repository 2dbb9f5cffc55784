"""One object goes from store to store: in all directions, whole or not at all, and as it was published."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from aiohttp import web
from rushes_embedded.stack import Stack
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import (
    IfAbsent,
    IfMatch,
    ObjectAbsentError,
    ObjectStat,
    PreconditionFailedError,
    Store,
    open_store,
    server_copy,
)
from rushes_runtime.store.endpoint import Endpoint
from rushes_runtime.store.interface import Small, SmallObjects
from rushes_runtime.store.local import LocalStore
from rushes_schemas import FailureCode, ObjectKind, object_key
from rushes_schemas.outputs import BUCKETS
from rushes_syncer import abandoned
from rushes_syncer.abandoned import AbandonedUploads, remove_abandoned
from rushes_syncer.bandwidth import Bandwidth
from rushes_syncer.copying import SmallCopy, copy_object, copy_together

from tests.faults.s3_proxy import S3Proxy
from tests.integration.syncer.copies import COPYING, content, put, read
from tests.integration.syncer.follower import keys_of
from tests.world import World, eventually, playing

KEY = object_key(ObjectKind.HIGH_DEFINITION, UUID(int=7, version=4))
SMALL, PARTED = 20_000, (11 << 20) + 17
MADE = datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC)
CLIENT = "syncer"


def _site(world: World, stack: Stack, kind: str, name: str, **settings: str) -> World:
    """The world with another main store: a folder, or buckets at the S3 server by one or another of its names."""
    if kind == "local":
        return world.with_settings(STORE__KIND="local", STORE__ROOT=str(world.folder / name), **settings)
    address = stack.objects.endpoint_url
    if kind == "s3 elsewhere":
        address = address.replace("127.0.0.1", "localhost")
    prefix = world.environment["STORE__BUCKET_PREFIX"] + name + "-"
    return world.with_settings(**{"STORE__ENDPOINT_URL": address, "STORE__BUCKET_PREFIX": prefix, **settings})


@asynccontextmanager
async def _stores(world: World, stack: Stack, source: str, target: str) -> AsyncIterator[tuple[Store, Store]]:
    async with (
        _site(world, stack, source, "main").store() as main,
        _site(world, stack, target, "lyon").store() as site,
    ):
        yield main, site


@pytest.mark.parametrize("size", [0, SMALL, pytest.param(PARTED, marks=pytest.mark.extended)])
@pytest.mark.parametrize("target", ["local", "s3", "s3 elsewhere"])
@pytest.mark.parametrize("source", ["local", "s3"])
async def test_an_object_is_copied_from_any_store_to_any_other(
    world: World, stack: Stack, source: str, target: str, size: int
) -> None:
    async with _stores(world, stack, source, target) as (main, site):
        published = await put(main, KEY, content(size), modified=MADE, content_type="video/quicktime")
        moved: list[int] = []
        sha256 = hashlib.sha256(content(size)).hexdigest()
        copied = await copy_object(
            main, site, "movies", KEY, over=IfAbsent(), size=size, sha256=sha256, moved=moved.append
        )
        assert await read(site, KEY) == content(size)
        shown = await site.stat("movies", KEY)
        assert shown
        assert (copied.bytes, copied.sha256, sum(moved)) == (size, sha256, size)
        assert (copied.source_etag, copied.etag) == (published.etag, shown.etag)
        async with site.read("movies", KEY) as reading:
            assert reading.modified.replace(microsecond=0) == MADE
            kept = {"video/quicktime"} if source == "s3" else {"video/mp4"}  # a folder knows no types
            assert {reading.content_type} == (kept if target != "local" else {None})


@pytest.mark.parametrize("size", [SMALL, pytest.param(PARTED, marks=pytest.mark.extended)])
@pytest.mark.parametrize("target", ["local", "s3", "s3 elsewhere"])
async def test_what_is_not_the_published_object_never_reaches_a_site(
    world: World, stack: Stack, target: str, size: int
) -> None:
    async with _stores(world, stack, "s3", target) as (main, site):
        before = await put(site, KEY, b"before")
        await put(main, KEY, content(size))
        with pytest.raises(AttemptFailedError) as failure:
            await copy_object(main, site, "movies", KEY, over=IfMatch(before.etag), size=size, sha256="0" * 64)
        assert failure.value.code is FailureCode.SOURCE_CHANGED
        assert await site.stat("movies", KEY) == await _as_shown(site, before)
        assert await _abandoned(site) == 0


async def _as_shown(site: Store, stat: ObjectStat) -> ObjectStat:
    shown = await site.stat("movies", KEY)
    assert shown
    assert (shown.bytes, shown.etag) == (stat.bytes, stat.etag)
    return shown


async def _abandoned(site: Store) -> int:
    return await remove_abandoned(site, timedelta(minutes=-1))


@pytest.mark.parametrize("size", [SMALL, pytest.param(PARTED, marks=pytest.mark.extended)])
@pytest.mark.parametrize("target", ["local", "s3", "s3 elsewhere"])
async def test_an_object_that_another_wrote_meanwhile_is_left_as_it_is(
    world: World, stack: Stack, target: str, size: int
) -> None:
    async with _stores(world, stack, "s3", target) as (main, site):
        await put(main, KEY, content(size))
        await put(site, KEY, b"another's")
        for over in (IfAbsent(), IfMatch("older")):
            with pytest.raises(AttemptFailedError, match="was changed while it was copied"):
                await copy_object(main, site, "movies", KEY, over=over, size=size)
        assert await read(site, KEY) == b"another's"
        assert await _abandoned(site) == 0


async def test_an_absent_source_is_said_to_be_absent(world: World, stack: Stack) -> None:
    for target in ("s3", "s3 elsewhere"):
        async with _stores(world, stack, "s3", target) as (main, site):
            for size in (None, SMALL):
                with pytest.raises(ObjectAbsentError):
                    await copy_object(main, site, "movies", KEY, over=IfAbsent(), size=size)


async def test_an_object_that_has_grown_since_it_was_listed_is_copied_whole(world: World, stack: Stack) -> None:
    async with _stores(world, stack, "s3", "local") as (main, site):
        await put(main, KEY, content(PARTED))
        copied = await copy_object(main, site, "movies", KEY, over=IfAbsent(), size=SMALL)
        assert copied.bytes == PARTED
        assert await read(site, KEY) == content(PARTED)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.mark.parametrize("target", ["local", "s3 elsewhere"])
async def test_of_small_objects_together_those_that_do_not_go_are_left_out(
    world: World, stack: Stack, threads: ThreadPoolExecutor, target: str
) -> None:
    good, absent, other, large, taken, last = keys = _keys(6)
    async with _stores(world, stack, "s3", target) as (main, site):
        for key in (good, other, taken, last):
            await put(main, key, b"published")
        await put(main, large, content(PARTED))
        await put(site, taken, b"another's")
        published = hashlib.sha256(b"published").hexdigest()
        copies = [SmallCopy(key, IfAbsent(), "0" * 64 if key == other else published) for key in keys]
        copied = await copy_together(main, site, "movies", copies, threads)
        shown = {key: await site.stat("movies", key) for key in keys}
        assert {key: copy.etag for key, copy in copied.items()} == {
            key: stat.etag for key, stat in shown.items() if stat and key in {good, last}
        }
        assert len(copied) == 2
        assert {key for key, stat in shown.items() if stat is None} == {absent, other, large}
        assert await read(site, taken) == b"another's"


async def test_of_small_objects_together_none_is_tried_after_one_at_which_a_store_fails(
    world: World, stack: Stack, threads: ThreadPoolExecutor
) -> None:
    first, bad, _ = keys = _keys(3)
    async with _stores(world, stack, "s3", "local") as (main, site):
        for key in keys:
            await put(main, key, b"x")
        assert isinstance(site, LocalStore)
        in_the_way = site.path("movies", bad).parent.parent
        in_the_way.parent.mkdir(parents=True)
        in_the_way.touch()
        copies = [SmallCopy(key, IfAbsent(), None) for key in keys]
        assert list(await copy_together(main, site, "movies", copies, threads)) == [first]


async def test_small_objects_together_that_nobody_waits_for_are_not_gone_on_with(
    world: World, stack: Stack, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = _keys(50)
    async with _stores(world, stack, "local", "local") as (main, site):
        for key in keys:
            await put(main, key, b"x")
        there = await main.small("movies")

        def get_slowly(key: str) -> Small | None:
            time.sleep(0.05)
            return type(there).get(there, key)

        async def small(bucket: str) -> SmallObjects:
            return there

        monkeypatch.setattr(there, "get", get_slowly)
        monkeypatch.setattr(main, "small", small)
        copies = [SmallCopy(key, IfAbsent(), None) for key in keys]
        copying = asyncio.create_task(copy_together(main, site, "movies", copies, threads))
        await eventually(lambda: keys_of(site))
        copying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copying
        await asyncio.sleep(0.1)  # the one that was begun with may end
        left_off = await keys_of(site)
        await asyncio.sleep(0.2)
        assert await keys_of(site) == left_off < set(keys)


def _keys(count: int) -> list[str]:
    return [object_key(ObjectKind.HIGH_DEFINITION, UUID(int=number << 120, version=4)) for number in range(count)]


async def test_one_endpoint_copies_by_itself_what_was_read_and_no_later_version(world: World, stack: Stack) -> None:
    async with _stores(world, stack, "s3", "s3") as (main, site):
        first = await put(main, KEY, content(SMALL))
        await put(main, KEY, content(SMALL + 1))
        with pytest.raises(PreconditionFailedError):
            await site.copy_within(
                main, "movies", KEY, stat=first, content_type="video/mp4", condition=IfAbsent(), modified=MADE
            )
        assert await site.stat("movies", KEY) is None


async def test_a_key_that_may_not_read_the_main_store_gets_its_copy_all_the_same(world: World, stack: Stack) -> None:
    async with _stores(world, stack, "s3", "s3") as (main, site):
        await put(main, KEY, content(SMALL))

        class NoCopies(S3Proxy):
            async def handle(self, request: web.Request) -> web.StreamResponse:
                if "x-amz-copy-source" in request.headers:
                    return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
                return await super().handle(request)

        refused = NoCopies(stack.objects.endpoint_url, (CLIENT,))
        address = f"http://127.0.0.1:{refused.ports[CLIENT]}"
        async with refused.serve():
            through = {"STORE__ENDPOINT_URL": address}
            async with (
                open_store(_site(world, stack, "s3", "main", **through).normalizer_settings().store) as source,
                open_store(_site(world, stack, "s3", "lyon", **through).normalizer_settings().store) as target,
            ):
                assert target.shares_server(source)
                await copy_object(source, target, "movies", KEY, over=IfAbsent())
        assert await read(site, KEY) == content(SMALL)


async def test_an_object_that_is_too_large_for_one_request_is_copied_in_parts(
    world: World, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_copy, "MOST_AT_ONCE", 10 << 20)
    monkeypatch.setattr(server_copy, "_PART", 5 << 20)
    async with _stores(world, stack, "s3", "s3") as (main, site):
        await put(main, KEY, content(PARTED))
        copied = await copy_object(main, site, "movies", KEY, over=IfAbsent())
        assert await read(site, KEY) == content(PARTED)
        assert copied.sha256 == hashlib.sha256(content(PARTED)).hexdigest()


class _Crowded(S3Proxy):
    """A server that says SlowDown when it gets more than a few requests at once."""

    def __init__(self, upstream: str, room: int) -> None:
        super().__init__(upstream, (CLIENT,))
        self._room = room
        self._under_way = 0
        self.refusals = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self._under_way += 1
        try:
            if self._under_way > self._room:
                self.refusals += 1
                return web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>")
            return await super().handle(request)
        finally:
            self._under_way -= 1


async def test_copies_slow_down_where_a_server_asks_for_it_and_all_get_there(world: World, stack: Stack) -> None:
    keys = [object_key(ObjectKind.HIGH_DEFINITION, UUID(int=number, version=4)) for number in range(300)]
    crowded = _Crowded(stack.objects.endpoint_url, room=6)
    async with _stores(world, stack, "local", "s3") as (main, site), crowded.serve():
        for key in keys:
            await put(main, key, b"x")
        address = f"http://127.0.0.1:{crowded.ports[CLIENT]}"
        settings = _site(world, stack, "s3", "lyon", STORE__ENDPOINT_URL=address).normalizer_settings().store
        async with open_store(settings) as slow:
            endpoint: Endpoint = slow._endpoint  # type: ignore[attr-defined]  # how wide it is, nobody else asks
            room = asyncio.Semaphore(48)

            async def copy(key: str) -> None:
                async with room:
                    await copy_object(main, slow, "movies", key, over=IfAbsent(), size=1)

            await asyncio.gather(*map(copy, keys))
            assert crowded.refusals > 0
            assert endpoint.window.pace.width <= 2 * 6
        assert len([stat async for stat in site.list("movies", "previews-")]) == len(keys)


async def test_copies_keep_to_the_bandwidth_that_they_share(world: World, stack: Stack) -> None:
    async with _stores(world, stack, "local", "s3") as (main, site):
        keys = [object_key(ObjectKind.HIGH_DEFINITION, UUID(int=number, version=4)) for number in range(4)]
        for key in keys:
            await put(main, key, content(100_000))
        bandwidth = Bandwidth(400_000)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(
            *(copy_object(main, site, "movies", key, over=IfAbsent(), bandwidth=bandwidth) for key in keys)
        )
        assert loop.time() - began >= 0.95


@pytest.mark.parametrize("target", ["local", "s3"])
async def test_what_a_killed_copy_left_is_removed_and_nothing_else(
    world: World, stack: Stack, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _stores(world, stack, "local", target) as (_main, site):
        child = await asyncio.create_subprocess_exec(
            *COPYING, env={**os.environ, **_site(world, stack, target, "lyon").environment, "KEY": KEY}
        )
        try:

            async def left() -> int:
                return await _left(site)

            await eventually(left)
        finally:
            child.send_signal(signal.SIGKILL)
            await child.wait()
        assert not psutil.pid_exists(child.pid)
        assert await site.stat("movies", KEY) is None
        assert await _left(site) == 1
        assert await remove_abandoned(site) == 0  # it may be another's that goes on
        monkeypatch.setattr(abandoned, "_ABANDONED_AFTER", timedelta(minutes=-1))
        async with playing(AbandonedUploads({"lyon": site})):
            await eventually(left, until=lambda uploads: uploads == 0)
        assert [stat.key async for stat in site.list("movies")] == ["sentinel-rushes"]


async def _left(site: Store) -> int:
    """Uploads that were begun, and have their first part."""
    endpoint: Any = getattr(site, "_endpoint", None)
    if endpoint is None:
        root: Path = site._root  # type: ignore[attr-defined]
        return sum(
            path.stat().st_size > 0 for bucket in BUCKETS for path in root.glob(f"*{bucket}/*/.rushes-uploads/*")
        )
    where = {"Bucket": endpoint.full_name("movies")}
    uploads = (await endpoint.client.list_multipart_uploads(**where)).get("Uploads", [])
    begun = 0
    for each in uploads:
        with suppress(endpoint.client.exceptions.NoSuchUpload):  # removed since
            parts = await endpoint.client.list_parts(**where, Key=each["Key"], UploadId=each["UploadId"])
            begun += bool(parts.get("Parts"))
    return begun


async def test_uploads_of_others_are_never_removed(world: World, stack: Stack) -> None:
    async with _stores(world, stack, "local", "s3") as (_main, site):
        endpoint: Endpoint = site._endpoint  # type: ignore[attr-defined]
        where: dict[str, Any] = {"Bucket": endpoint.full_name("movies"), "Key": "backup-of-the-studio"}
        upload = await endpoint.client.create_multipart_upload(**where)
        assert await remove_abandoned(site, timedelta(minutes=-1)) == 0
        await endpoint.client.abort_multipart_upload(**where, UploadId=upload["UploadId"])

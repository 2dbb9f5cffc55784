"""Objects are read and written as they stream by, alike in an S3 store and in a folder."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rushes_embedded.stack import Stack
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import (
    Condition,
    IfAbsent,
    IfMatch,
    LocalStore,
    ObjectAbsentError,
    ObjectStat,
    PreconditionFailedError,
    Store,
    StoreDeniedError,
    StoreUnavailableError,
    Unconditional,
    open_store,
)
from rushes_schemas import FailureCode

from tests.faults.s3_proxy import S3Proxy
from tests.swift_server import Swift
from tests.world import World

KEY = "previews-6f961900"
CLIENT = "syncer"
SMALL, PARTED = 20_000, (11 << 20) + 17
MADE = datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC)


@pytest.fixture(params=["s3", "local", "swift"])
async def store(world: World, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    settings = {}
    if request.param == "local":
        settings = {"STORE__KIND": "local", "STORE__ROOT": str(tmp_path / "store")}
    if request.param == "swift":
        swift: Swift = request.getfixturevalue("swift")
        settings = swift.settings("STORE__")
    async with world.with_settings(**settings).store() as opened:
        yield opened


def _content(size: int, seed: bytes = b"frames") -> bytes:
    block = hashlib.sha512(seed).digest() * 1024
    return (block * (size // len(block) + 1))[:size]


async def _write(
    store: Store,
    content: bytes,
    condition: Condition,
    key: str = KEY,
    *,
    bucket: str = "movies",
    modified: datetime | None = None,
) -> ObjectStat:
    async with store.write(
        bucket, key, size=len(content), content_type="video/mp4", condition=condition, modified=modified
    ) as writing:
        for start in range(0, len(content), 700_000):
            await writing.write(content[start : start + 700_000])
        return await writing.commit()


async def _read(store: Store, key: str = KEY) -> bytes:
    async with store.read("movies", key) as reading:
        return b"".join([chunk async for chunk in reading.chunks])


async def _uploads_left(store: Store) -> int:
    return await store.abort_uploads("movies", datetime.now(UTC) + timedelta(minutes=1), lambda _key: True)


@pytest.mark.parametrize("size", [0, 1, SMALL, 5 << 20, pytest.param(PARTED, marks=pytest.mark.extended)])
async def test_what_streams_in_streams_out_as_it_was(store: Store, size: int) -> None:
    content = _content(size)
    written = await _write(store, content, IfAbsent())
    shown = await store.stat("movies", KEY)
    assert shown
    assert (shown.bytes, shown.etag) == (size, written.etag)
    async with store.read("movies", KEY) as reading:
        assert (reading.stat.etag, reading.stat.bytes) == (written.etag, size)
        chunks = [chunk async for chunk in reading.chunks]
    assert b"".join(chunks) == content
    assert max(map(len, chunks), default=0) <= 2 << 20


@pytest.mark.parametrize("size", [SMALL, pytest.param(PARTED, marks=pytest.mark.extended)])
async def test_nothing_is_seen_of_a_write_before_its_commit_nor_left_of_one_without(store: Store, size: int) -> None:
    first = await _write(store, b"first", Unconditional())
    content = _content(size)

    async def break_off() -> None:
        async with store.write(
            "movies", KEY, size=size, content_type="video/mp4", condition=Unconditional()
        ) as writing:
            await writing.write(content[: size // 2])
            await writing.write(content[size // 2 :])
            assert await _read(store) == b"first"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_off()
    assert (await store.stat("movies", KEY) or first).etag == first.etag
    assert await _uploads_left(store) == 0


@pytest.mark.parametrize("size", [SMALL, pytest.param(PARTED, marks=pytest.mark.extended)])
async def test_a_write_on_condition_changes_only_what_was_seen(store: Store, size: int) -> None:
    content = _content(size)
    first = await _write(store, b"first", IfAbsent())
    for condition in (IfAbsent(), IfMatch("other")):
        with pytest.raises(PreconditionFailedError):
            await _write(store, content, condition)
    assert await _read(store) == b"first"
    await _write(store, content, IfMatch(first.etag))
    assert await _read(store) == content
    with pytest.raises(PreconditionFailedError):
        await _write(store, content, IfMatch("gone"), key="previews-absent1")
    assert await store.stat("movies", "previews-absent1") is None
    assert await _uploads_left(store) == 0


async def test_a_delete_on_condition_removes_only_what_was_seen(store: Store) -> None:
    for content in (_content(SMALL), _content(PARTED)):
        seen = await _write(store, content, Unconditional())
        with pytest.raises(PreconditionFailedError):
            await store.delete("movies", KEY, condition=IfMatch("other"))
        assert await _read(store) == content
        await store.delete("movies", KEY, condition=IfMatch(seen.etag))
        assert await store.stat("movies", KEY) is None
        await store.delete("movies", KEY, condition=Unconditional())


@pytest.mark.parametrize("size", [SMALL, pytest.param(PARTED, marks=pytest.mark.extended)])
async def test_a_copy_keeps_when_its_content_was_made(store: Store, size: int) -> None:
    await _write(store, _content(size), IfAbsent(), modified=MADE)
    async with store.read("movies", KEY) as reading:
        assert reading.modified.replace(microsecond=0) == MADE
        assert reading.content_type in {"video/mp4", None}


async def test_an_object_that_is_written_twice_in_a_second_gets_two_etags_whatever_its_time(store: Store) -> None:
    first = await _write(store, b"frames 1", Unconditional(), modified=MADE)
    second = await _write(store, b"frames 2", Unconditional(), modified=MADE)
    third = await _write(store, b"frames 3", Unconditional(), modified=MADE)
    assert len({first.etag, second.etag, third.etag}) == 3


async def test_an_absent_object_is_a_positive_answer_and_an_absent_bucket_takes_no_write(store: Store) -> None:
    with pytest.raises(ObjectAbsentError):
        await _read(store, "previews-absent1")
    with pytest.raises(StoreUnavailableError):
        await _write(store, b"x", Unconditional(), bucket="nowhere")
    with pytest.raises(StoreUnavailableError):
        [stat async for stat in store.list("nowhere")]


async def test_a_disk_that_is_unmounted_in_mid_write_leaves_no_bucket_where_it_was(tmp_path: Path) -> None:
    place, disk = tmp_path / "site", tmp_path / "disk"
    store = LocalStore(place)
    await store.ensure_bucket("movies")
    content = _content(PARTED)
    async with store.write("movies", KEY, size=PARTED, content_type="", condition=IfAbsent()) as writing:
        await writing.write(content)
        place.rename(disk)
        place.mkdir()
        with pytest.raises(StoreUnavailableError):
            await writing.commit()
    with pytest.raises(StoreUnavailableError):  # as none was made by the first, the next is not taken either
        await _write(store, content, IfAbsent())
    assert not list(place.iterdir())


async def test_listings_of_many_pages_are_in_the_order_of_the_bytes_of_their_keys(
    store: Store, request: pytest.FixtureRequest
) -> None:
    numbers = range(40 if request.node.callspec.params["store"] == "swift" else 350)  # its pages are of 100 keys here
    keys = [f"{prefix}-{number:08x}" for number in numbers for prefix in ("tiles", "thumbnails", "thumbnails-square")]
    keys += [f"tiles-{mark}zz000" for mark in "AZaz09!_.*'()-"] + [
        "tiles-é0000000",
        "tiles-ÿ日本000000",
        "tiles-a b+%2F&",
    ]
    room = asyncio.Semaphore(16)

    async def put(key: str) -> None:
        async with room:
            await _write(store, b"x", IfAbsent(), key=key)

    await asyncio.gather(*map(put, keys))
    listed = [stat.key async for stat in store.list("movies")]
    assert listed == sorted([*keys, "sentinel-rushes"], key=str.encode)
    under = [stat.key async for stat in store.list("movies", "thumbnails-")]
    assert under == sorted(key for key in keys if key.startswith("thumbnails-"))


async def test_a_listing_shows_what_a_look_shows(store: Store) -> None:
    await _write(store, _content(SMALL), IfAbsent())
    await _write(store, _content(PARTED), IfAbsent(), key="source-00000000")
    async for listed in store.list("movies"):
        looked = await store.stat("movies", listed.key)
        assert looked
        assert (listed.bytes, listed.etag) == (looked.bytes, looked.etag)
        assert abs(listed.modified - looked.modified) < timedelta(seconds=1)


async def test_an_object_that_changes_while_it_is_read_is_no_object(store: Store, tmp_path: Path) -> None:
    await _write(store, _content(PARTED), IfAbsent())

    async def read_and_change() -> None:
        async with store.read("movies", KEY) as reading:
            await anext(reading.chunks)
            folder = tmp_path / "store"
            for path in folder.rglob(KEY.partition("-")[2]):  # others than we may write in place
                path.write_bytes(_content(PARTED, b"others"))
            if not folder.exists():
                await _write(store, _content(PARTED, b"others"), IfMatch(reading.stat.etag))
            async for _chunk in reading.chunks:
                pass

    with pytest.raises(AttemptFailedError) as failure:
        await read_and_change()
    assert failure.value.code in {FailureCode.SOURCE_CHANGED, FailureCode.STORAGE_UNAVAILABLE}


@asynccontextmanager
async def _proxied(world: World, stack: Stack) -> AsyncIterator[tuple[Store, Store, S3Proxy]]:
    """A store, the same by way of a proxy, and the proxy."""
    proxy = S3Proxy(stack.objects.endpoint_url, (CLIENT,))
    settings = world.with_settings(STORE__ENDPOINT_URL=f"http://127.0.0.1:{proxy.ports[CLIENT]}").normalizer_settings()
    async with world.store() as direct, proxy.serve(), open_store(settings.store) as store:
        yield direct, store, proxy


@pytest.mark.parametrize("size", [SMALL, pytest.param(PARTED, marks=pytest.mark.extended)])
async def test_damaged_bytes_are_refused_by_the_server_and_a_refusal_leaves_nothing(
    world: World, stack: Stack, size: int
) -> None:
    async with _proxied(world, stack) as (direct, store, proxy):
        with proxy.trouble("flipped", frozenset({CLIENT})), pytest.raises(StoreUnavailableError, match="Digest"):
            await _write(store, _content(size), IfAbsent())
        with proxy.trouble("denied", frozenset({CLIENT})), pytest.raises(StoreDeniedError):
            await _write(store, _content(size), IfAbsent())
        assert await direct.stat("movies", KEY) is None


@pytest.mark.parametrize("size", [SMALL, pytest.param(PARTED, marks=pytest.mark.extended)])
async def test_a_body_that_breaks_off_is_no_object(world: World, stack: Stack, size: int) -> None:
    async with _proxied(world, stack) as (direct, store, proxy):
        await _write(direct, _content(size), Unconditional())
        with proxy.trouble("cut", frozenset({CLIENT})), pytest.raises(StoreUnavailableError):
            await _read(store)

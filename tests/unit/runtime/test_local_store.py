"""A local folder as a store: Zou's layout, no way out of it, and conditional writes."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from pathlib import Path
from uuid import UUID

import pytest
from rushes_runtime.failures import InstanceMismatchError
from rushes_runtime.store import (
    SENTINEL_KEY,
    Condition,
    IfAbsent,
    IfMatch,
    LocalStore,
    ObjectAbsentError,
    ObjectStat,
    PreconditionFailedError,
    StoreDeniedError,
    StoreUnavailableError,
    Unconditional,
    place_sentinels,
    prove_whole,
)
from rushes_schemas import PLACES, ObjectKind, object_key

from tests.unit.runtime.kafka_records import PREVIEW_ID

KEY = f"source-{PREVIEW_ID}"


@pytest.fixture
async def store(tmp_path: Path) -> LocalStore:
    made = LocalStore(tmp_path / "root", "studio-")
    await made.ensure_bucket("movies")
    return made


async def _write(store: LocalStore, content: bytes, condition: Condition, tmp_path: Path) -> ObjectStat:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return await store.upload("movies", KEY, path, content_type="video/mp4", condition=condition)


async def _read(store: LocalStore, tmp_path: Path) -> bytes:
    await store.download("movies", KEY, tmp_path / "read")
    return (tmp_path / "read").read_bytes()


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (f"source-{PREVIEW_ID}", f"source/6f9/619/{PREVIEW_ID}"),
        (f"previews-{PREVIEW_ID}", f"previews/6f9/619/{PREVIEW_ID}"),
        (f"thumbnails-square-{PREVIEW_ID}", f"thumbnails/squ/are/square-{PREVIEW_ID}"),
        (SENTINEL_KEY, "sentinel/rus/hes/rushes"),
    ],
)
def test_objects_lie_where_zou_puts_them(store: LocalStore, tmp_path: Path, key: str, path: str) -> None:
    assert store.path("movies", key) == tmp_path / "root" / "studio-movies" / path


@pytest.mark.parametrize(
    "key",
    [
        "",
        "source",
        "-name",
        "source-",
        "source-abc",
        "source-..",
        "..-..",
        "source-abc..",
        "source-../../etc/passwd",
        "../../etc-passwd",
        f"..-{PREVIEW_ID}",
        f"source-/{PREVIEW_ID}",
    ],
)
async def test_no_key_leads_out_of_the_folder(store: LocalStore, key: str) -> None:
    with pytest.raises(StoreDeniedError, match="no place in a folder"):
        await store.stat("movies", key)


@pytest.mark.parametrize("kind", ObjectKind)
async def test_every_object_of_a_preview_is_found_again(store: LocalStore, tmp_path: Path, kind: ObjectKind) -> None:
    bucket, key = PLACES[kind].bucket, object_key(kind, UUID(PREVIEW_ID))
    await store.ensure_bucket(bucket)
    (tmp_path / "upload").write_bytes(b"content")
    await store.upload(bucket, key, tmp_path / "upload", content_type="x/y", condition=IfAbsent())
    assert [stat.key async for stat in store.list(bucket)] == [key]
    assert [stat.key async for stat in store.list(bucket, f"{PLACES[kind].prefix}-")] == [key]
    assert [stat.key async for stat in store.list(bucket, "other-")] == []


async def test_what_was_written_is_read_back_with_its_hash(store: LocalStore, tmp_path: Path) -> None:
    moved: list[int] = []
    written = await _write(store, b"frames", Unconditional(), tmp_path)
    read = await store.download("movies", KEY, tmp_path / "read", moved.append)
    assert (tmp_path / "read").read_bytes() == b"frames"
    assert (read.bytes, read.etag, read.sha256) == (6, written.etag, hashlib.sha256(b"frames").hexdigest())
    assert sum(moved) == 6
    assert await store.stat("movies", KEY) == written


async def test_absent_objects_are_a_positive_answer(store: LocalStore, tmp_path: Path) -> None:
    assert await store.stat("movies", KEY) is None
    with pytest.raises(ObjectAbsentError):
        await store.download("movies", KEY, tmp_path / "read")
    await store.delete("movies", KEY, condition=Unconditional())


async def test_an_absent_bucket_is_no_answer_to_a_list_or_a_write(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"x")
    with pytest.raises(StoreUnavailableError, match="studio-pictures"):
        [stat async for stat in store.list("pictures")]
    with pytest.raises(StoreUnavailableError, match="migrate --store"):
        await store.upload("pictures", KEY, tmp_path / "upload", content_type="x/y", condition=Unconditional())
    assert not (tmp_path / "root" / "studio-pictures").exists()


async def test_if_absent_writes_only_once(store: LocalStore, tmp_path: Path) -> None:
    await _write(store, b"first", IfAbsent(), tmp_path)
    with pytest.raises(PreconditionFailedError):
        await _write(store, b"second", IfAbsent(), tmp_path)
    assert await _read(store, tmp_path) == b"first"


async def test_if_match_writes_only_over_the_known_version(store: LocalStore, tmp_path: Path) -> None:
    first = await _write(store, b"same size 1", Unconditional(), tmp_path)
    second = await _write(store, b"same size 2", IfMatch(first.etag), tmp_path)
    assert second.etag != first.etag
    with pytest.raises(PreconditionFailedError):
        await _write(store, b"same size 3", IfMatch(first.etag), tmp_path)
    assert await _read(store, tmp_path) == b"same size 2"


async def test_if_match_does_not_write_over_nothing(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(PreconditionFailedError, match="absent"):
        await _write(store, b"x", IfMatch("gone"), tmp_path)
    assert await store.stat("movies", KEY) is None


async def test_a_delete_on_condition_removes_only_what_was_seen(store: LocalStore, tmp_path: Path) -> None:
    first = await _write(store, b"first", Unconditional(), tmp_path)
    second = await _write(store, b"other", Unconditional(), tmp_path)
    with pytest.raises(PreconditionFailedError):
        await store.delete("movies", KEY, condition=IfMatch(first.etag))
    assert await _read(store, tmp_path) == b"other"
    await store.delete("movies", KEY, condition=IfMatch(second.etag))
    assert await store.stat("movies", KEY) is None
    await store.delete("movies", KEY, condition=IfMatch(second.etag))


async def test_of_many_writers_at_once_one_wins(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"x")
    answers = await asyncio.gather(
        *(
            store.upload("movies", KEY, tmp_path / "upload", content_type="x/y", condition=IfAbsent())
            for _ in range(16)
        ),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, PreconditionFailedError)]
    assert (len(answers) - len(refused), len(refused)) == (1, 15)


async def test_nothing_is_left_of_a_refused_write(store: LocalStore, tmp_path: Path) -> None:
    await _write(store, b"first", Unconditional(), tmp_path)
    with pytest.raises(PreconditionFailedError):
        await _write(store, b"second", IfAbsent(), tmp_path)
    folder = store.path("movies", KEY).parent
    assert [path.name for path in folder.iterdir()] == [PREVIEW_ID]


async def test_a_store_with_its_sentinel_is_whole(store: LocalStore) -> None:
    await place_sentinels(store, ["movies", "pictures"], "studio")
    await place_sentinels(store, ["movies", "pictures"], "studio")
    await prove_whole(store, "movies", "studio")
    with pytest.raises(InstanceMismatchError, match="'studio', not to 'other'"):
        await place_sentinels(store, ["movies"], "other")


async def test_a_store_without_its_sentinel_proves_nothing(store: LocalStore) -> None:
    for bucket in ("movies", "pictures"):
        with pytest.raises(StoreUnavailableError, match="shows no sentinel-rushes"):
            await prove_whole(store, bucket, "studio")


async def test_a_sentinel_that_cannot_be_read_proves_nothing(store: LocalStore) -> None:
    await place_sentinels(store, ["movies"], "studio")
    store.path("movies", SENTINEL_KEY).write_bytes(b'{"instance": "stud')
    with pytest.raises(StoreUnavailableError, match="cannot be read"):
        await prove_whole(store, "movies", "studio")


async def test_a_new_object_waits_for_no_other_writer(store: LocalStore, tmp_path: Path) -> None:
    with store._locked("movies"):
        async with asyncio.timeout(30):
            await _write(store, b"one", IfAbsent(), tmp_path)
            with pytest.raises(PreconditionFailedError):
                await _write(store, b"two", IfAbsent(), tmp_path)
    assert await _read(store, tmp_path) == b"one"
    assert not [path for path in (tmp_path / "root").rglob("*uploads/*") if path.is_file()]


async def test_a_file_system_without_links_keeps_conditions_too(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_source: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")  # as FAT and some network shares say

    monkeypatch.setattr(os, "link", refuse)
    await _write(store, b"one", IfAbsent(), tmp_path)
    with pytest.raises(PreconditionFailedError):
        await _write(store, b"two", IfAbsent(), tmp_path)
    assert await _read(store, tmp_path) == b"one"

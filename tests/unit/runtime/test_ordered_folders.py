"""A folder's objects come in the order of their keys, as an S3 store's do, a page at a time."""

from __future__ import annotations

import random
from pathlib import Path
from uuid import UUID

import pytest
from rushes_runtime.store import LocalStore
from rushes_schemas import ObjectKind, object_key
from rushes_schemas.outputs import PICTURES, PLACES

# Folders whose names order otherwise than their keys do: the key goes on with a dash.
ODD = ["ab!-name1", "ab-name1", "ab.c-name1", "abc-name1", "a-name123", "a-nam", "a-name", "a-name1", "a-na-me-1"]
_CHANCE = random.Random(7)
IDS = [UUID(int=_CHANCE.getrandbits(128), version=4) for _ in range(1400)]


def _put(store: LocalStore, bucket: str, key: str) -> None:
    path = store.path(bucket, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(key.encode())


@pytest.fixture
async def store(tmp_path: Path) -> LocalStore:
    made = LocalStore(tmp_path / "root", "studio-")
    await made.ensure_bucket(PICTURES)
    return made


async def _listed(store: LocalStore, prefix: str = "") -> list[str]:
    return [stat.key async for stat in store.list(PICTURES, prefix)]


async def test_objects_come_in_the_order_of_the_bytes_of_their_keys(store: LocalStore) -> None:
    pictures = [kind for kind in ObjectKind if PLACES[kind].bucket == PICTURES]
    keys = [*(object_key(kind, each) for kind in pictures for each in IDS[:300]), *(key for key in ODD if len(key) > 5)]
    for key in random.Random(1).sample(keys, len(keys)):
        _put(store, PICTURES, key)
    assert await _listed(store) == sorted(keys, key=str.encode)


@pytest.mark.parametrize(
    "prefix", ["thumbnails-", "thumbnails-square-", "thumbnails-sq", "thumb", "ab-name", "ab", "x"]
)
async def test_a_prefix_leaves_out_all_others_and_keeps_the_order(store: LocalStore, prefix: str) -> None:
    keys = [object_key(kind, each) for kind in (ObjectKind.THUMBNAIL, ObjectKind.SQUARE_THUMBNAIL) for each in IDS[:50]]
    keys += [key for key in ODD if len(key) > 5]
    for key in keys:
        _put(store, PICTURES, key)
    assert await _listed(store, prefix) == sorted(key for key in keys if key.startswith(prefix))


async def test_files_that_no_key_leads_to_are_no_objects(store: LocalStore, tmp_path: Path) -> None:
    key = object_key(ObjectKind.TILE, IDS[0])
    _put(store, PICTURES, key)
    root = tmp_path / "root" / "studio-pictures"
    for stray in (
        "README",
        "tiles/note.txt",
        "tiles/abc/note.txt",
        "tiles/abc/def/elsewhere",
        "tiles/abc/def/abcdef/x",
    ):
        (root / stray).parent.mkdir(parents=True, exist_ok=True)
        (root / stray).write_bytes(b"x")
    (root / "tiles" / "abc" / "def" / b"abcdef\xff".decode("utf-8", "surrogateescape")).write_bytes(b"x")
    assert await _listed(store) == [key]


async def test_what_is_removed_while_a_folder_is_listed_does_not_end_the_listing(store: LocalStore) -> None:
    keys = sorted(object_key(ObjectKind.TILE, each) for each in IDS)
    for key in keys:
        _put(store, PICTURES, key)
    seen: list[str] = []
    async for stat in store.list(PICTURES):
        if not seen:
            store.path(PICTURES, keys[-1]).unlink()
            store.path(PICTURES, keys[-1]).parent.rmdir()
        seen.append(stat.key)
    assert seen == keys[:-1]

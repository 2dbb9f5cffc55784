"""The stores that `bench-sync` copies between: one S3 server by two names, and folders."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import psutil
from rushes_embedded.stack import Stack
from rushes_runtime.database import Database
from rushes_runtime.migrations import migrate
from rushes_runtime.settings import StoreSettings
from rushes_runtime.store import Store, Unconditional, open_store, place_sentinels
from rushes_runtime.store.endpoint import Endpoint
from rushes_schemas import PLACES, ObjectKind, object_key
from rushes_schemas.outputs import BUCKETS, MOVIES, PICTURES
from rushes_syncer.application import MIGRATIONS
from rushes_syncer.sites import SCHEMA

from tests.bench.saying import say

INSTANCE: Final = "bench"
_CHUNK: Final = 1 << 20
_AT_ONCE: Final = 32
_ID: Final = re.compile(r"[0-9a-f-]{36}$")
_TINY: Final = 1000  # bytes of the objects that are only compared
_OF_A_PREVIEW: Final = (
    ObjectKind.SOURCE_MOVIE,
    ObjectKind.HIGH_DEFINITION,
    ObjectKind.LOW_DEFINITION,
    ObjectKind.ORIGINAL,
    ObjectKind.THUMBNAIL,
    ObjectKind.SQUARE_THUMBNAIL,
    ObjectKind.PREVIEW_PICTURE,
    ObjectKind.TILE,
)


@dataclass(frozen=True)
class Shape:
    """Objects of a main store, all of one size: keys by bucket."""

    name: str
    keys: dict[str, list[str]]
    size: int

    @classmethod
    def pictures(cls, name: str, objects: int, size: int) -> Shape:
        """Small pictures, of several kinds."""
        kinds = [kind for kind in _OF_A_PREVIEW if PLACES[kind].bucket == PICTURES]
        keys = [object_key(kinds[number % len(kinds)], preview) for number, preview in enumerate(_ids(objects))]
        return cls(name, {PICTURES: keys}, size)

    @classmethod
    def movies(cls, name: str, objects: int, size: int) -> Shape:
        """Large movies."""
        return cls(name, {MOVIES: [object_key(ObjectKind.HIGH_DEFINITION, each) for each in _ids(objects)]}, size)

    @classmethod
    def previews(cls, name: str, previews: int) -> Shape:
        """Whole previews, tiny."""
        keys: dict[str, list[str]] = {MOVIES: [], PICTURES: []}
        for preview in _ids(previews):
            for kind in _OF_A_PREVIEW:
                keys[PLACES[kind].bucket].append(object_key(kind, preview))
        return cls(name, keys, _TINY)

    def totals(self) -> dict[str, tuple[int, int]]:
        """Objects and bytes by bucket."""
        return {bucket: (len(keys), len(keys) * self.size) for bucket, keys in self.keys.items()}


def _ids(count: int) -> list[UUID]:
    chance = random.Random(count)
    return [UUID(int=chance.getrandbits(128), version=4) for _ in range(count)]


@dataclass(frozen=True)
class Site:
    """A place to copy to, and a database that knows it."""

    name: str
    settings: StoreSettings
    database_url: str


class Stage:
    """Stores on one server, made and removed."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.address = stack.objects.endpoint_url
        self.other_address = self.address.replace("127.0.0.1", "localhost")

    def cpu_seconds(self) -> float:
        """What the S3 server and PostgreSQL have taken so far."""
        postgres = psutil.Process(self.stack.postgres.pid)
        processes = [psutil.Process(self.stack.objects.pid), postgres, *postgres.children()]
        taken = [process.cpu_times() for process in processes]
        return sum(each.user + each.system + each.children_user + each.children_system for each in taken)

    def main(self, shape: Shape) -> StoreSettings:
        """The main store of a shape."""
        return self._s3(self.address, f"main-{shape.name}-")

    def _s3(self, address: str, prefix: str) -> StoreSettings:
        objects = self.stack.objects
        values = {"access_key_id": objects.access_key_id, "secret_access_key": objects.secret_access_key}
        return StoreSettings.model_validate({"kind": "s3", "endpoint_url": address, "bucket_prefix": prefix, **values})

    @contextmanager
    def filled(self, shape: Shape) -> Iterator[None]:
        """The objects of a shape in its main store, for as long as the block runs."""
        say(f"storing {shape.name}: {shape.totals()}")
        asyncio.run(self._fill(shape))
        yield
        asyncio.run(_remove(self.main(shape)))

    async def _fill(self, shape: Shape) -> None:
        room = asyncio.Semaphore(_AT_ONCE if shape.size < _CHUNK else 1)
        block = os.urandom(_CHUNK)
        async with open_store(self.main(shape)) as store:
            await place_sentinels(store, BUCKETS, INSTANCE)

            async def put(bucket: str, key: str) -> None:
                async with room:
                    await _put(store, bucket, key, shape.size, block)

            for bucket, keys in shape.keys.items():
                for start in range(0, len(keys), 1000):
                    await asyncio.gather(*(put(bucket, key) for key in keys[start : start + 1000]))

    @contextmanager
    def site(self, kind: str, name: str) -> Iterator[Site]:
        """An empty site with a new database, for as long as the block runs."""
        root = self.folder / name
        settings = (
            StoreSettings(kind="local", root=root) if kind == "local" else self._s3(self.other_address, f"{name}-")
        )
        site = Site(name, settings, self.stack.postgres.create_database(name.replace("-", "_")))
        asyncio.run(_prepare(site))
        yield site
        if kind == "local":
            shutil.rmtree(root)
        else:
            asyncio.run(_remove(settings))

    async def count(self, shape: Shape, site: Site) -> dict[str, tuple[int, int]]:
        """Objects and their bytes at a site, by bucket; in a folder wherever they lie."""
        found: dict[str, tuple[int, int]] = {}
        async with open_store(site.settings) as store:
            for bucket, keys in shape.keys.items():
                if site.settings.root:
                    files = [path for path in (site.settings.root / bucket).rglob("*") if _ID.search(path.name)]
                    sizes = [path.stat().st_size for path in files]
                else:
                    prefixes = tuple({key[:-36] for key in keys})
                    sizes = [stat.bytes async for stat in store.list(bucket) if stat.key.startswith(prefixes)]
                found[bucket] = (len(sizes), sum(sizes))
        return found


async def _put(store: Store, bucket: str, key: str, size: int, block: bytes) -> None:
    mark = key.encode()  # no two objects are alike
    async with store.write(
        bucket, key, size=size, content_type="application/octet-stream", condition=Unconditional()
    ) as writing:
        for start in range(0, size, _CHUNK):
            await writing.write((mark + block)[: min(_CHUNK, size - start)])
        await writing.commit()


async def _prepare(site: Site) -> None:
    async with open_store(site.settings) as store:
        await place_sentinels(store, BUCKETS, INSTANCE)
    database = Database(site.database_url, SCHEMA)
    try:
        await migrate(database, MIGRATIONS, INSTANCE)
    finally:
        await database.close()


async def _remove(settings: StoreSettings) -> None:
    """Buckets with all that is in them, which SeaweedFS removes at once."""
    async with Endpoint(settings) as endpoint:
        for bucket in BUCKETS:
            await endpoint.client.delete_bucket(Bucket=endpoint.full_name(bucket))

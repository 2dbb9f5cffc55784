"""Objects to copy, and a process that copies one and does not end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from datetime import datetime
from typing import Final

from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.settings import nest_variables
from rushes_runtime.store import ObjectStat, Store, Unconditional, open_store

COPYING: Final = (sys.executable, "-m", "tests.integration.syncer.copies")


def content(size: int) -> bytes:
    """Bytes that do not repeat within a part."""
    block = b"".join(hashlib.sha512(number.to_bytes(4, "big")).digest() for number in range(min(size // 64 + 1, 5000)))
    return (block * (size // len(block) + 1))[:size]


async def put(
    store: Store, key: str, content: bytes, *, modified: datetime | None = None, content_type: str = "video/mp4"
) -> ObjectStat:
    """Write an object in the bucket of movies."""
    async with store.write(
        "movies", key, size=len(content), content_type=content_type, condition=Unconditional(), modified=modified
    ) as writing:
        await writing.write(content)
        return await writing.commit()


async def read(store: Store, key: str) -> bytes:
    """An object in the bucket of movies."""
    async with store.read("movies", key) as reading:
        return b"".join([chunk async for chunk in reading.chunks])


async def _copy_without_end() -> None:
    """Write two thirds of an object, and wait for one's end."""
    settings = NormalizerSettings(**nest_variables(dict(os.environ)))
    size = 15 << 20
    async with (
        open_store(settings.store) as store,
        store.write(
            "movies", os.environ["KEY"], size=size, content_type="video/mp4", condition=Unconditional()
        ) as writing,
    ):
        for _ in range(10):
            await writing.write(content(1 << 20))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_copy_without_end())

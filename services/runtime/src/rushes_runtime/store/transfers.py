"""Objects from and to files, for any store that reads and writes streams."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from rushes_schemas import FailureCode

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store.interface import Condition, Downloaded, Moved, ObjectStat, Store

CHUNK: Final = 1 << 18


async def download(store: Store, bucket: str, key: str, path: Path, moved: Moved | None) -> Downloaded:
    """As `Store.download`.

    Raises:
        AttemptFailedError: `OUT_OF_DISK`: the file's disk is full, which is no fault of the store.
    """
    sha256 = hashlib.sha256()
    async with store.read(bucket, key) as reading:
        with _room_for(path), path.open("wb") as writer:
            async for chunk in reading.chunks:
                await asyncio.to_thread(_keep, writer, sha256, chunk)
                if moved:
                    moved(len(chunk))
    return Downloaded(reading.stat.bytes, reading.stat.etag, sha256.hexdigest())


async def upload(
    store: Store,
    bucket: str,
    key: str,
    path: Path,
    *,
    content_type: str,
    condition: Condition,
    moved: Moved | None,
) -> ObjectStat:
    """As `Store.upload`."""
    with path.open("rb") as reader:
        size = path.stat().st_size
        async with store.write(bucket, key, size=size, content_type=content_type, condition=condition) as writing:
            while chunk := await asyncio.to_thread(reader.read, CHUNK):
                await writing.write(chunk)
                if moved:
                    moved(len(chunk))
            return await writing.commit()


def _keep(writer: BinaryIO, sha256: Any, chunk: bytes) -> None:
    sha256.update(chunk)
    writer.write(chunk)


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise AttemptFailedError(FailureCode.OUT_OF_DISK, f"{path.parent}: {error.strerror}") from error
        raise

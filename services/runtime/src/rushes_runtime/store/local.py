"""A local folder as an object store, in Zou's layout, so that a Zou server can serve it."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from rushes_schemas import FailureCode

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store.interface import (
    Condition,
    Downloaded,
    IfMatch,
    Moved,
    ObjectAbsentError,
    ObjectStat,
    PreconditionFailedError,
    StoreDeniedError,
    StoreUnavailableError,
    Unconditional,
)

_CHUNK: Final = 1 << 20
_TEMPORARY: Final = ".rushes-"


class LocalStore:
    """Objects as files: `{root}/{bucket}/{prefix}/{id[0:3]}/{id[3:6]}/{id}`, split at the key's first dash.

    An etag is the file's time, size and inode: a write always makes a new file.
    """

    def __init__(self, root: Path, bucket_prefix: str = "") -> None:
        self.name = f"folder {root}"
        self._root = root
        self._bucket_prefix = bucket_prefix

    def path(self, bucket: str, key: str) -> Path:
        """The file of an object."""
        prefix, dash, name = key.partition("-")
        parts = (prefix, name[0:3], name[3:6], name)
        if not dash or "/" in key or any(part in {"", ".", ".."} for part in parts):
            msg = f"the key {key!r} has no place in a folder: it must be prefix-name, without slashes"
            raise StoreDeniedError(msg)
        return self._bucket(bucket).joinpath(*parts)

    def _bucket(self, bucket: str) -> Path:
        return self._root / (self._bucket_prefix + bucket)

    async def stat(self, bucket: str, key: str) -> ObjectStat | None:
        return await asyncio.to_thread(self._stat, bucket, key)

    def _stat(self, bucket: str, key: str) -> ObjectStat | None:
        path = self.path(bucket, key)
        with _answers(path):
            try:
                return _object_stat(key, path.stat())
            except (FileNotFoundError, NotADirectoryError):
                return None

    async def absent(self, bucket: str, keys: Collection[str]) -> frozenset[str]:
        return await asyncio.to_thread(lambda: frozenset(key for key in keys if self._stat(bucket, key) is None))

    async def list(self, bucket: str, prefix: str = "") -> AsyncIterator[ObjectStat]:
        objects = await asyncio.to_thread(lambda: [*self._walk(bucket, prefix)])
        for found in objects:
            yield found

    def _walk(self, bucket: str, prefix: str) -> Iterator[ObjectStat]:
        root = self._bucket(bucket)
        with _answers(root):
            if not root.is_dir():
                msg = f"the bucket {root} is not there"
                raise StoreUnavailableError(msg)
            for path in root.glob("*/*/*/*"):
                key = f"{path.relative_to(root).parts[0]}-{path.name}"
                if key.startswith(prefix) and not path.name.startswith(_TEMPORARY):
                    with suppress(FileNotFoundError):
                        yield _object_stat(key, path.stat())

    async def download(self, bucket: str, key: str, path: Path, moved: Moved | None = None) -> Downloaded:
        return await asyncio.to_thread(self._download, bucket, key, path, moved)

    def _download(self, bucket: str, key: str, path: Path, moved: Moved | None) -> Downloaded:
        source = self.path(bucket, key)
        with _answers(source):
            try:
                reader = source.open("rb")
            except (FileNotFoundError, NotADirectoryError):
                raise ObjectAbsentError(key) from None
            with reader, path.open("wb") as writer:
                stat = _object_stat(key, os.fstat(reader.fileno()))
                sha256 = hashlib.sha256()
                while chunk := reader.read(_CHUNK):
                    sha256.update(chunk)
                    writer.write(chunk)
                    if moved:
                        moved(len(chunk))
        return Downloaded(stat.bytes, stat.etag, sha256.hexdigest())

    async def upload(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        content_type: str,
        condition: Condition,
        moved: Moved | None = None,
    ) -> ObjectStat:
        return await asyncio.to_thread(self._upload, bucket, key, path, condition, moved)

    def _upload(self, bucket: str, key: str, path: Path, condition: Condition, moved: Moved | None) -> ObjectStat:
        target = self.path(bucket, key)
        with _answers(target):
            if not self._bucket(bucket).is_dir():
                msg = f"the bucket {self._bucket(bucket)} is not there: run migrate --store, or mount it"
                raise StoreUnavailableError(msg)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f"{_TEMPORARY}{uuid4().hex}")
            try:
                with path.open("rb") as reader, temporary.open("xb") as writer:
                    shutil.copyfileobj(reader, writer, _CHUNK)
                    writer.flush()
                    os.fsync(writer.fileno())
                with self._locked(bucket):
                    self._check(bucket, key, condition)
                    temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(target.parent)
            stat = _object_stat(key, target.stat())
        if moved:
            moved(stat.bytes)
        return stat

    def _check(self, bucket: str, key: str, condition: Condition) -> None:
        if isinstance(condition, Unconditional):
            return
        there = self._stat(bucket, key)
        wanted = condition.etag if isinstance(condition, IfMatch) else None
        if (there.etag if there else None) != wanted:
            msg = f"{key} is {there.etag if there else 'absent'}, expected {wanted or 'absent'}"
            raise PreconditionFailedError(msg)

    @contextmanager
    def _locked(self, bucket: str) -> Iterator[None]:
        """Conditional writes of all processes on one file system, one after the other."""
        with (self._bucket(bucket) / f"{_TEMPORARY}lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    async def delete(self, bucket: str, key: str, *, condition: Unconditional | IfMatch) -> None:
        await asyncio.to_thread(self._delete, bucket, key, condition)

    def _delete(self, bucket: str, key: str, condition: Unconditional | IfMatch) -> None:
        path = self.path(bucket, key)
        with _answers(path):
            if path.exists():
                with self._locked(bucket):
                    self._check(bucket, key, condition)
                    path.unlink(missing_ok=True)

    async def ensure_bucket(self, bucket: str) -> None:
        with _answers(self._bucket(bucket)):
            self._bucket(bucket).mkdir(parents=True, exist_ok=True)


def _object_stat(key: str, stat: os.stat_result) -> ObjectStat:
    etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}-{stat.st_ino:x}"
    return ObjectStat(key, stat.st_size, etag, datetime.fromtimestamp(stat.st_mtime, UTC))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _answers(path: Path) -> Iterator[None]:
    """Turns what the file system says into the store's three answers."""
    try:
        yield
    except PermissionError as error:
        raise StoreDeniedError(f"{path}: {error.strerror}") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise AttemptFailedError(FailureCode.OUT_OF_DISK, f"{path}: {error.strerror}") from error
        raise StoreUnavailableError(f"{path}: {error.strerror}") from error

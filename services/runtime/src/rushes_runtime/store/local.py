"""A local folder as an object store, in Zou's layout, so that a Zou server can serve it."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeVar
from uuid import uuid4

from rushes_schemas import FailureCode

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import transfers
from rushes_runtime.store.interface import (
    SMALL,
    Condition,
    Downloaded,
    IfAbsent,
    IfMatch,
    Moved,
    ObjectAbsentError,
    ObjectStat,
    PreconditionFailedError,
    Reading,
    Small,
    SmallObjects,
    Store,
    StoreDeniedError,
    StoreUnavailableError,
    Unconditional,
    Writing,
)
from rushes_runtime.store.local_walk import walk
from rushes_runtime.store.window import Pace, Window

Answer = TypeVar("Answer")

_PAGE: Final = 1000  # objects of a listing in memory
_FLUSHED: Final = 1 << 20  # bytes
_THREADS: Final = 32
_TURNS: Final = 16  # a disk answers within a millisecond: more threads than that are in each other's way
_OURS: Final = ".rushes-"
_UPLOADS: Final = f"{_OURS}uploads"
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}  # a file system that knows none


class LocalStore:
    """Objects as files: `{root}/{bucket}/{prefix}/{id[0:3]}/{id[3:6]}/{id}`, split at the key's first dash.

    An etag is the file's time, size and inode. A write always makes a new file, and takes the nanoseconds of its own
    time, so that an etag does not come again where the seconds of a file's time are those of what it is a copy of.
    """

    def __init__(self, root: Path, bucket_prefix: str = "") -> None:
        self.name = f"folder {root}"
        self._root = root
        self._bucket_prefix = bucket_prefix
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")
        self._window = Window(self.name, Pace(_TURNS))

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

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def stat(self, bucket: str, key: str) -> ObjectStat | None:
        return await self._in_thread(lambda: self._stat(bucket, key))

    def _stat(self, bucket: str, key: str) -> ObjectStat | None:
        path = self.path(bucket, key)
        with _answers(path):
            try:
                return _object_stat(key, path.stat())
            except (FileNotFoundError, NotADirectoryError):
                return None

    async def absent(self, bucket: str, keys: Collection[str]) -> frozenset[str]:
        return await self._in_thread(lambda: frozenset(key for key in keys if self._stat(bucket, key) is None))

    async def list(self, bucket: str, prefix: str = "") -> AsyncIterator[ObjectStat]:
        root = self._bucket(bucket)
        with _answers(root):
            if not root.is_dir():
                msg = f"the bucket {root} is not there"
                raise StoreUnavailableError(msg)
        found = walk(root, prefix)

        def page() -> list[ObjectStat]:
            with _answers(root):
                return [_object_stat(key, stat) for key, stat in islice(found, _PAGE)]

        while objects := await self._in_thread(page):
            for each in objects:
                yield each

    @asynccontextmanager
    async def read(self, bucket: str, key: str) -> AsyncIterator[Reading]:
        path = self.path(bucket, key)
        reader, stat = await self._in_thread(lambda: _open(path, key))
        try:
            yield Reading(stat, None, stat.modified, self._chunks(reader, path, stat))
        finally:
            reader.close()

    async def _chunks(self, reader: BinaryIO, path: Path, stat: ObjectStat) -> AsyncIterator[bytes]:
        left = stat.bytes

        def chunk() -> bytes:
            with _answers(path):
                read = reader.read(transfers.CHUNK)
                # Written over in place, as others than we may do.
                if len(read) != min(left, transfers.CHUNK) or _object_stat(stat.key, os.fstat(reader.fileno())) != stat:
                    raise AttemptFailedError(FailureCode.SOURCE_CHANGED, f"{path} changed while it was read")
            return read

        while left:
            read = await self._in_thread(chunk)
            left -= len(read)
            yield read

    @asynccontextmanager
    async def write(
        self,
        bucket: str,
        key: str,
        *,
        size: int,
        content_type: str,
        condition: Condition,
        modified: datetime | None = None,
    ) -> AsyncIterator[Writing]:
        writing = _FileWriting(self, bucket, key, condition, modified)
        try:
            yield writing
        finally:
            await self._in_thread(writing.close)

    def _commit(
        self, bucket: str, key: str, temporary: Path, condition: Condition, modified: datetime | None
    ) -> ObjectStat:
        """Put a written file in an object's place. Raises `PreconditionFailedError`."""
        target = self.path(bucket, key)
        with _answers(target):
            self._make_folders(bucket, target.parent)
            now = time.time_ns()
            seconds = int(modified.timestamp()) if modified else now // 10**9
            os.utime(temporary, ns=(now, seconds * 10**9 + now % 10**9))
            if not (isinstance(condition, IfAbsent) and _linked(temporary, target)):
                with self._locked(bucket):
                    self._check(bucket, key, condition)
                    temporary.replace(target)
            _sync_folder(target.parent)
            return _object_stat(key, target.stat())

    def _begin(self, bucket: str, key: str) -> tuple[Path, BinaryIO]:
        """A new file on the object's file system, under a temporary name."""
        target = self.path(bucket, key)
        with _answers(target):
            folder = self._bucket(bucket) / key.partition("-")[0] / _UPLOADS
            temporary = folder / uuid4().hex
            try:
                return temporary, temporary.open("xb", buffering=0)
            except FileNotFoundError:
                if not self._bucket(bucket).is_dir():
                    msg = f"the bucket {self._bucket(bucket)} is not there: run migrate --store, or mount it"
                    raise StoreUnavailableError(msg) from None
                self._make_folders(bucket, folder)
                return temporary, temporary.open("xb", buffering=0)

    def _make_folders(self, bucket: str, folder: Path) -> None:
        """Make folders below a bucket, never the bucket: where a disk was unmounted nothing may look like one."""
        try:
            os.mkdir(folder)
        except FileExistsError:
            return
        except FileNotFoundError:
            if folder.parent == self._bucket(bucket):
                raise
            self._make_folders(bucket, folder.parent)
            self._make_folders(bucket, folder)

    async def download(self, bucket: str, key: str, path: Path, moved: Moved | None = None) -> Downloaded:
        return await transfers.download(self, bucket, key, path, moved)

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
        return await transfers.upload(
            self, bucket, key, path, content_type=content_type, condition=condition, moved=moved
        )

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
        with (self._bucket(bucket) / f"{_OURS}lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    async def small(self, bucket: str) -> SmallObjects:
        return _SmallFiles(self, bucket)

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self._window.request()

    def shares_server(self, other: Store) -> bool:
        return False

    async def copy_within(
        self,
        source: Store,
        bucket: str,
        key: str,
        *,
        stat: ObjectStat,
        content_type: str,
        condition: Condition,
        modified: datetime,
    ) -> ObjectStat | None:
        return None

    async def abort_uploads(self, bucket: str, begun_before: datetime, ours: Callable[[str], bool]) -> int:
        return await self._in_thread(lambda: self._abort_uploads(bucket, begun_before))

    def _abort_uploads(self, bucket: str, begun_before: datetime) -> int:
        removed = 0
        with _answers(self._bucket(bucket)):
            for temporary in self._bucket(bucket).glob(f"*/{_UPLOADS}/*"):
                with suppress(FileNotFoundError):
                    if temporary.stat().st_ctime < begun_before.timestamp():  # st_mtime is set before a commit
                        temporary.unlink()
                        removed += 1
        return removed

    async def delete(self, bucket: str, key: str, *, condition: Unconditional | IfMatch) -> None:
        await self._in_thread(lambda: self._delete(bucket, key, condition))

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


class _FileWriting:
    """A file that is being written, a megabyte at a time: each time costs a hop to a thread and back."""

    def __init__(
        self, store: LocalStore, bucket: str, key: str, condition: Condition, modified: datetime | None
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._key = key
        self._condition = condition
        self._modified = modified
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._temporary: Path | None = None
        self._committed = False
        self._writer: BinaryIO | None = None

    async def write(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes >= _FLUSHED:
            await self._store._in_thread(self._flush)

    def _flush(self) -> None:
        if self._writer is None:
            self._temporary, self._writer = self._store._begin(self._bucket, self._key)
        with _answers(self._temporary or Path()):
            for chunk in self._held:
                view = memoryview(chunk)
                while view:
                    view = view[self._writer.write(view) :]
        self._held.clear()
        self._held_bytes = 0

    async def commit(self) -> ObjectStat:
        return await self._store._in_thread(self._commit)

    def _commit(self) -> ObjectStat:
        self._flush()
        assert self._writer is not None
        assert self._temporary is not None
        with _answers(self._temporary):
            os.fsync(self._writer.fileno())
        stat = self._store._commit(self._bucket, self._key, self._temporary, self._condition, self._modified)
        self._committed = True
        return stat

    def commit_whole(self, content: bytes) -> ObjectStat:
        """Write and commit, in the thread that this is called in."""
        self._held.append(content)
        return self._commit()

    def close(self) -> None:
        """Remove what was not committed."""
        if self._writer is not None:
            self._writer.close()
        if self._temporary is not None and not self._committed:
            self._temporary.unlink(missing_ok=True)


class _SmallFiles:
    """Small objects of one bucket."""

    def __init__(self, store: LocalStore, bucket: str) -> None:
        self._store = store
        self._bucket = bucket

    def get(self, key: str) -> Small | None:
        path = self._store.path(self._bucket, key)
        reader, stat = _open(path, key)
        with reader, _answers(path):
            if stat.bytes > SMALL:
                return None
            content = reader.read(SMALL + 1)
            if len(content) != stat.bytes or _object_stat(key, os.fstat(reader.fileno())) != stat:
                raise AttemptFailedError(FailureCode.SOURCE_CHANGED, f"{path} changed while it was read")
        return Small(stat, None, stat.modified, content)

    def put(
        self, key: str, content: bytes, *, content_type: str, condition: Condition, modified: datetime
    ) -> ObjectStat:
        writing = _FileWriting(self._store, self._bucket, key, condition, modified)
        try:
            return writing.commit_whole(content)
        finally:
            writing.close()


def _open(path: Path, key: str) -> tuple[BinaryIO, ObjectStat]:
    with _answers(path):
        try:
            reader = path.open("rb", buffering=0)
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectAbsentError(key) from None
        return reader, _object_stat(key, os.fstat(reader.fileno()))


def _linked(temporary: Path, target: Path) -> bool:
    """Give a file its name if nothing has that name, in one step, for which nobody waits; False: no links here.

    Raises:
        PreconditionFailedError: something has that name.
    """
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise PreconditionFailedError(f"{target} is there, expected absent") from None
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    temporary.unlink()
    return True


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
    except OSError as error:
        sentence = f"{path}: {error.strerror}"
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise StoreDeniedError(sentence) from error
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise AttemptFailedError(FailureCode.OUT_OF_DISK, sentence) from error
        raise StoreUnavailableError(sentence) from error

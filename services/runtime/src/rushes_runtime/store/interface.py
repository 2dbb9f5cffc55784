"""What Rushes asks of an object store.

Absent, refused and unreachable are three different answers: None or `ObjectAbsentError`, `StoreDeniedError`,
`StoreUnavailableError`. Buckets are named without the studio's prefix.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

from rushes_schemas import FailureCode

from rushes_runtime.failures import AttemptFailedError

SMALL: Final = 1 << 18  # bytes

NO_CONDITIONS: Final = (
    "the store does not keep the conditions of writes (If-Match, If-None-Match), by which a worker that lost its job "
    "writes over nothing that came after it; CONDITIONS=looked_at among the store's settings lets Rushes look right "
    "before each write instead (docs/stores.md says what that leaves open)"
)

Moved: TypeAlias = Callable[[int], None]


class StoreError(AttemptFailedError):
    """The store gave no usable answer; nothing follows about the object."""


class StoreUnavailableError(StoreError):
    """Unreachable, broken, or its bucket is not there."""

    def __init__(self, message: str) -> None:
        super().__init__(FailureCode.STORAGE_UNAVAILABLE, message)


class StoreBusyError(StoreUnavailableError):
    """The store of this name asks for fewer requests: 503 SlowDown."""

    def __init__(self, message: str, store: str) -> None:
        super().__init__(message)
        self.store = store


class ConditionsUnknownError(StoreError):
    """The store takes no write on a condition. Nothing was written, and asking again is of no use."""

    def __init__(self, where: str) -> None:
        super().__init__(FailureCode.STORAGE_UNAVAILABLE, f"{where}: {NO_CONDITIONS}")


class StoreDeniedError(StoreError):
    """Refused: credentials or rights."""

    def __init__(self, message: str) -> None:
        super().__init__(FailureCode.STORAGE_DENIED, message)


class ObjectAbsentError(Exception):
    """A positive answer that there is no such object (or no such bucket: prove the store whole)."""


class PreconditionFailedError(Exception):
    """The object is not what the condition says; nothing was changed."""


@dataclass(frozen=True)
class Unconditional:
    """Write, or delete, in any case."""


@dataclass(frozen=True)
class IfAbsent:
    """Write only if there is no such object."""


@dataclass(frozen=True)
class IfMatch:
    """Write only over this etag, or delete only this."""

    etag: str


Condition: TypeAlias = Unconditional | IfAbsent | IfMatch


class ObjectStat(NamedTuple):
    """An object: `bytes` its size, `etag` the store's own mark of its content."""

    key: str
    bytes: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Downloaded:
    """What was read: size, etag of the read version, SHA-256 in hex."""

    bytes: int
    etag: str
    sha256: str


@dataclass(frozen=True)
class Reading:
    """An object that is being read: one version of it, or an error, whatever is written meanwhile.

    Attributes:
        content_type: as the store keeps it; None where it keeps none.
        modified: when its content was made, also where this is a copy.
        chunks: its bytes, in order, once; each is small enough to be held in memory (a quarter of a megabyte or so).
    """

    stat: ObjectStat
    content_type: str | None
    modified: datetime
    chunks: AsyncIterator[bytes]


class Writing(Protocol):
    """An object that is being written. Nobody sees anything of it before `commit`."""

    async def write(self, chunk: bytes) -> None:
        """Add bytes."""
        ...

    async def commit(self) -> ObjectStat:
        """Make it visible, whole, at once; what the store shows of it then.

        Raises:
            PreconditionFailedError: the condition did not hold.
        """
        ...


@dataclass(frozen=True)
class Small:
    """A small object, whole; otherwise as `Reading`."""

    stat: ObjectStat
    content_type: str | None
    modified: datetime
    content: bytes


class SmallObjects(Protocol):
    """Small objects of one bucket, by calls that block: for threads.

    A hop to a thread and back costs half of what the same requests cost as coroutines, and where objects are small
    that is most of a copy. A thread cannot be cancelled; each call ends within seconds.
    """

    def get(self, key: str) -> Small | None:
        """An object; None: it is larger than `SMALL`.

        Raises:
            ObjectAbsentError: no such object.
        """
        ...

    def put(
        self, key: str, content: bytes, *, content_type: str, condition: Condition, modified: datetime
    ) -> ObjectStat:
        """As `Store.write`, all at once."""
        ...


class Store(Protocol):
    """An object store. Every method may raise `StoreError`."""

    name: str

    async def stat(self, bucket: str, key: str) -> ObjectStat | None:
        """The object, or None for a positive "no such object"."""
        ...

    async def absent(self, bucket: str, keys: Collection[str]) -> frozenset[str]:
        """Those of the keys that each get a positive "no such object"; many are asked for at once.

        One refusal or error is the answer for all of them.
        """
        ...

    def list(self, bucket: str, prefix: str = "") -> AsyncIterator[ObjectStat]:
        """The objects whose keys begin with `prefix`, ordered by the bytes of their keys; a page is held in memory."""
        ...

    def read(self, bucket: str, key: str) -> AbstractAsyncContextManager[Reading]:
        """Read an object as it streams by, for as long as the block runs.

        Raises:
            ObjectAbsentError: no such object.
            AttemptFailedError: `SOURCE_CHANGED`, from `chunks`: it is not the object any more that was begun with.
        """
        ...

    def write(
        self,
        bucket: str,
        key: str,
        *,
        size: int,
        content_type: str,
        condition: Condition,
        modified: datetime | None = None,
    ) -> AbstractAsyncContextManager[Writing]:
        """Write an object as it streams by. A block that ends without `commit` leaves nothing behind.

        Args:
            size: its bytes, which set the size of parts.
            modified: when its content was made; default: now. A folder keeps it as the file's time, an S3 store as
                the metadata `mtime` (seconds since 1970), as rclone does.
        """
        ...

    async def small(self, bucket: str) -> SmallObjects:
        """Small objects of a bucket. Call them inside of `turn`."""
        ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Room for requests to this store, for as long as the block runs."""
        ...

    def shares_server(self, other: Store) -> bool:
        """Whether `copy_within` may work between the two."""
        ...

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
        """Copy an object of another store at the same endpoint, without its bytes coming here; what is shown then.

        None: the endpoint refuses it for this store's access key, which may not read there, or could take another
        version. Nothing was written then.

        Args:
            stat: the version to copy, and no other.

        Raises:
            PreconditionFailedError: the condition did not hold, or the source is not that version any more.
        """
        ...

    async def abort_uploads(self, bucket: str, begun_before: datetime, ours: Callable[[str], bool]) -> int:
        """Remove what dead writers left of uploads that were begun and never committed; how many.

        Args:
            ours: whether an upload to this key can only be Rushes' own.
        """
        ...

    async def download(self, bucket: str, key: str, path: Path, moved: Moved | None = None) -> Downloaded:
        """Read an object into a file, hashing on the way.

        Args:
            moved: called with the number of bytes of each chunk.

        Raises:
            ObjectAbsentError: no such object.
        """
        ...

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
        """Write a file as an object; no reader ever sees a part of it.

        Raises:
            PreconditionFailedError: the condition did not hold.
        """
        ...

    async def delete(self, bucket: str, key: str, *, condition: Unconditional | IfMatch) -> None:
        """Remove an object; one that is absent is no error.

        Raises:
            PreconditionFailedError: the condition did not hold.
        """
        ...

    async def ensure_bucket(self, bucket: str) -> None:
        """Make a bucket that is not there."""
        ...

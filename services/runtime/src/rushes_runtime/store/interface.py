"""What Rushes asks of an object store.

Absent, refused and unreachable are three different answers: None or `ObjectAbsentError`, `StoreDeniedError`,
`StoreUnavailableError`. Buckets are named without the studio's prefix.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from rushes_schemas import FailureCode

from rushes_runtime.failures import AttemptFailedError

Moved: TypeAlias = Callable[[int], None]


class StoreError(AttemptFailedError):
    """The store gave no usable answer; nothing follows about the object."""


class StoreUnavailableError(StoreError):
    """Unreachable, broken, or its bucket is not there."""

    def __init__(self, message: str) -> None:
        super().__init__(FailureCode.STORAGE_UNAVAILABLE, message)


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


@dataclass(frozen=True)
class ObjectStat:
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
        """The objects whose keys begin with `prefix`, in no promised order."""
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

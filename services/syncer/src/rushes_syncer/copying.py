"""Copying one object from the main store to a site, verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import Condition, PreconditionFailedError, Store
from rushes_schemas import PLACES, FailureCode, ObjectKind


@dataclass(frozen=True)
class Copied:
    """A verified copy; `etag` is the site's, `source_etag` the main store's."""

    bytes: int
    sha256: str
    etag: str
    source_etag: str


async def copy_object(
    source: Store,
    site: Store,
    bucket: str,
    key: str,
    scratch: Path,
    *,
    over: Condition,
    sha256: str | None = None,
    moved: Callable[[int], None] | None = None,
) -> Copied:
    """Copy an object by way of a scratch file: nothing that differs from `sha256` ever reaches the site.

    Args:
        over: what the site showed before this. So whatever lies there when it is written over is no newer than what
            was read from the main store since, however long this was paused, and whoever copies too.

    Raises:
        ObjectAbsentError: the main store has no such object.
        AttemptFailedError: a store fails, or the object is not the one that was published.
    """
    path = scratch / uuid4().hex
    try:
        read = await source.download(bucket, key, path, moved)
        if sha256 is not None and read.sha256 != sha256:
            raise AttemptFailedError(FailureCode.SOURCE_CHANGED, f"{bucket}/{key} is not the object that was published")
        written = await site.upload(
            bucket, key, path, content_type=_content_type(bucket, key), condition=over, moved=moved
        )
        there = await site.stat(bucket, key)
    except PreconditionFailedError:
        raise AttemptFailedError(
            FailureCode.STORAGE_UNAVAILABLE, f"{bucket}/{key} at {site.name} was changed while it was copied"
        ) from None
    finally:
        path.unlink(missing_ok=True)
    if there is None or there.bytes != read.bytes or there.etag != written.etag:
        raise AttemptFailedError(
            FailureCode.STORAGE_UNAVAILABLE, f"{bucket}/{key} at {site.name} is not what was written there"
        )
    return Copied(read.bytes, read.sha256, written.etag, read.etag)


def kind_of_key(bucket: str, key: str) -> ObjectKind | None:
    """What an object is, by its bucket and key; None for what is no preview's."""
    # `previews-…` and `thumbnails-square-…`: the id is what follows the longest known prefix.
    for kind, place in sorted(PLACES.items(), key=lambda item: -len(item[1].prefix)):
        if place.bucket == bucket and key.startswith(f"{place.prefix}-"):
            return kind
    return None


def _content_type(bucket: str, key: str) -> str:
    kind = kind_of_key(bucket, key)
    return PLACES[kind].content_type if kind else "application/octet-stream"

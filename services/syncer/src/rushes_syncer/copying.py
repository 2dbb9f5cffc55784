"""Copying one object from the main store to a site, verified."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Final, NamedTuple

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import (
    SMALL,
    Condition,
    IfMatch,
    ObjectAbsentError,
    ObjectStat,
    PreconditionFailedError,
    Reading,
    SmallObjects,
    Store,
    StoreError,
    insist,
)
from rushes_schemas import PLACES, FailureCode, ObjectKind

from rushes_syncer.bandwidth import UNLIMITED, Bandwidth

_HASHED_AT_ONCE: Final = 1 << 19  # bytes; more are hashed in a thread, and the other copies go on meanwhile
_threads = ThreadPoolExecutor(32, thread_name_prefix="copies")
_UNTOLD: Final = {"application/octet-stream", "binary/octet-stream"}  # types that say nothing


class Copied(NamedTuple):
    """A verified copy; `etag` is the site's, `source_etag` the main store's."""

    bytes: int
    sha256: str
    etag: str
    source_etag: str


@dataclass(frozen=True)
class _Wanted:
    """A copy to be made."""

    source: Store
    site: Store
    bucket: str
    key: str
    over: Condition
    sha256: str | None
    moved: Callable[[int], None] | None
    bandwidth: Bandwidth


async def copy_object(
    source: Store,
    site: Store,
    bucket: str,
    key: str,
    *,
    over: Condition,
    size: int | None = None,
    sha256: str | None = None,
    moved: Callable[[int], None] | None = None,
    bandwidth: Bandwidth = UNLIMITED,
) -> Copied:
    """Copy an object as it streams by: nothing that differs from `sha256` ever becomes visible at the site.

    Where both stores are one endpoint, it is asked to copy what was read and hashed here, and no other version.

    Args:
        over: what the site showed before this. So whatever lies there when it is written over is no newer than what
            was read from the main store since, however long this was paused, and whoever copies too.
        size: its bytes, as far as is known: a small one is copied at less cost.

    Raises:
        ObjectAbsentError: the main store has no such object.
        AttemptFailedError: a store fails, or the object is not the one that was published.
    """
    wanted = _Wanted(source, site, bucket, key, over, sha256, moved, bandwidth)
    try:
        if size is not None and size <= SMALL and (copied := await _copy_small(wanted)):
            return copied
        if site.shares_server(source) and (copied := await _copy_within(wanted)):
            return copied
        return await _copy_through(wanted)
    except PreconditionFailedError:
        raise AttemptFailedError(
            FailureCode.STORAGE_UNAVAILABLE, f"{bucket}/{key} at {site.name} was changed while it was copied"
        ) from None


async def _copy_small(wanted: _Wanted) -> Copied | None:
    """None: it is not small."""
    there, here = await wanted.source.small(wanted.bucket), await wanted.site.small(wanted.bucket)

    async def once() -> Copied | None:
        async with wanted.source.turn(), wanted.site.turn():
            return await asyncio.get_running_loop().run_in_executor(_threads, _copy_between, there, here, wanted)

    copied = await insist(once)
    if copied:
        await _count(wanted, copied.bytes)
    return copied


class SmallCopy(NamedTuple):
    """A small object that is to be copied with others of its bucket; its values are those of `copy_object`."""

    key: str
    over: Condition
    sha256: str | None


async def copy_together(
    source: Store, site: Store, bucket: str, copies: Sequence[SmallCopy], threads: Executor
) -> dict[str, Copied]:
    """Copy small objects, one after the other in one thread: a hop to a thread and back costs as much as a copy.

    What does not go at once is not in the answer, by key; `copy_object` tries it again and says why it cannot be.

    Args:
        threads: those of one site: another's, whose store does not answer, hold up none of its copies.
    """
    copied: dict[str, Copied] = {}
    given_up = Event()

    def copy(there: SmallObjects, here: SmallObjects) -> None:
        for each in copies:
            if given_up.is_set():
                return
            wanted = _Wanted(source, site, bucket, each.key, each.over, each.sha256, None, UNLIMITED)
            try:
                if made := _copy_between(there, here, wanted):
                    copied[each.key] = made
            except StoreError:
                raise
            except (ObjectAbsentError, PreconditionFailedError, AttemptFailedError):
                continue

    try:
        with suppress(StoreError):
            there, here = await source.small(bucket), await site.small(bucket)
            async with source.turn(), site.turn():
                await asyncio.get_running_loop().run_in_executor(threads, copy, there, here)
    finally:
        given_up.set()
    return copied


def _copy_between(there: SmallObjects, here: SmallObjects, wanted: _Wanted) -> Copied | None:
    """In a thread, from the first request to the last; None: it is not small."""
    small = there.get(wanted.key)
    if small is None:
        return None
    sha256 = hashlib.sha256(small.content).hexdigest()
    _check(wanted, sha256)
    written = here.put(
        wanted.key,
        small.content,
        content_type=_content_type(small.content_type, wanted),
        condition=wanted.over,
        modified=small.modified,
    )
    return Copied(small.stat.bytes, sha256, written.etag, small.stat.etag)


async def _copy_through(wanted: _Wanted) -> Copied:
    async with wanted.source.read(wanted.bucket, wanted.key) as reading:
        sha256 = hashlib.sha256()
        async with wanted.site.write(
            wanted.bucket,
            wanted.key,
            size=reading.stat.bytes,
            content_type=_content_type(reading.content_type, wanted),
            condition=wanted.over,
            modified=reading.modified,
        ) as writing:
            async for chunk in reading.chunks:
                await _hash(sha256, chunk)
                await writing.write(chunk)
                await _count(wanted, len(chunk))
            _check(wanted, sha256.hexdigest())
            written = await writing.commit()
    return Copied(reading.stat.bytes, sha256.hexdigest(), written.etag, reading.stat.etag)


async def _copy_within(wanted: _Wanted) -> Copied | None:
    """None: the endpoint does not do it for this site's key, and nothing was written."""
    async with wanted.source.read(wanted.bucket, wanted.key) as reading:
        sha256 = await _sha256(wanted, reading)
    _check(wanted, sha256)
    written = await wanted.site.copy_within(
        wanted.source,
        wanted.bucket,
        wanted.key,
        stat=reading.stat,
        content_type=_content_type(reading.content_type, wanted),
        condition=wanted.over,
        modified=reading.modified,
    )
    if written is None:
        return None
    if written.etag != reading.stat.etag:  # made in other parts: only its bytes can tell
        await _prove(wanted, written, sha256)
    return Copied(reading.stat.bytes, sha256, written.etag, reading.stat.etag)


async def _prove(wanted: _Wanted, written: ObjectStat, sha256: str) -> None:
    try:
        async with wanted.site.read(wanted.bucket, wanted.key) as reading:
            same = await _sha256(wanted, reading) == sha256
    except ObjectAbsentError:
        same = False
    if not same:
        await wanted.site.delete(wanted.bucket, wanted.key, condition=IfMatch(written.etag))
        where = f"{wanted.bucket}/{wanted.key} at {wanted.site.name}"
        raise AttemptFailedError(FailureCode.STORAGE_UNAVAILABLE, f"{where} is not what was copied there")


async def _sha256(wanted: _Wanted, reading: Reading) -> str:
    sha256 = hashlib.sha256()
    async for chunk in reading.chunks:
        await _hash(sha256, chunk)
        await _count(wanted, len(chunk))
    return sha256.hexdigest()


async def _hash(sha256: hashlib._Hash, chunk: bytes) -> None:
    if len(chunk) > _HASHED_AT_ONCE:
        await asyncio.to_thread(sha256.update, chunk)
    else:
        sha256.update(chunk)


async def _count(wanted: _Wanted, size: int) -> None:
    if wanted.moved:
        wanted.moved(size)
    await wanted.bandwidth.spend(size)


def _check(wanted: _Wanted, sha256: str) -> None:
    if wanted.sha256 is not None and sha256 != wanted.sha256:
        where = f"{wanted.bucket}/{wanted.key}"
        raise AttemptFailedError(FailureCode.SOURCE_CHANGED, f"{where} is not the object that was published")


def kind_of_key(bucket: str, key: str) -> ObjectKind | None:
    """What an object is, by its bucket and key; None for what is no preview's."""
    # `previews-…` and `thumbnails-square-…`: the id is what follows the longest known prefix.
    for kind, place in sorted(PLACES.items(), key=lambda item: -len(item[1].prefix)):
        if place.bucket == bucket and key.startswith(f"{place.prefix}-"):
            return kind
    return None


def _content_type(told: str | None, wanted: _Wanted) -> str:
    """As the source has it; a folder has none, and then the kind of the object says it."""
    if told and told not in _UNTOLD:
        return told
    kind = kind_of_key(wanted.bucket, wanted.key)
    return PLACES[kind].content_type if kind else "application/octet-stream"

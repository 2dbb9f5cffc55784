"""Changes to objects that lie under fixed keys, by whoever holds the task, and by nobody who lost it.

Look at the object, show that the task is still held, change it on the condition that it is what was seen: a successor
can only have written after the look, and breaks the condition. So an attempt that was paused, wherever it was, and
overtaken changes nothing that its successor wrote.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from rushes_schemas import FailureCode

from rushes_runtime import ledger
from rushes_runtime.database import Database, answer_of
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.ledger import Task
from rushes_runtime.store import Condition, IfAbsent, IfMatch, ObjectStat, PreconditionFailedError, Store

_TRIES: Final = 5


class LostLeaseError(AttemptFailedError):
    """Another worker has this job now; nothing of this attempt counts."""

    def __init__(self) -> None:
        super().__init__(FailureCode.WORKER_LOST, "the lease is another worker's now")


async def confirm_held(database: Database, task: Task, waits: Callable[[], None]) -> None:
    """Show that an attempt still holds its task, waiting for a database that is away.

    Args:
        waits: called before each wait.

    Raises:
        LostLeaseError: it does not.
    """
    if not await answer_of(lambda: ledger.is_held(database, task), waits):
        raise LostLeaseError


async def seen(store: Store, bucket: str, key: str) -> Condition:
    """The condition that an object is what it is now."""
    there = await store.stat(bucket, key)
    return IfMatch(there.etag) if there else IfAbsent()


async def write(
    store: Store,
    bucket: str,
    key: str,
    path: Path,
    *,
    content_type: str,
    known_etag: str | None,
    confirm: Callable[[], Awaitable[None]],
    moved: Callable[[int], None],
) -> ObjectStat:
    """Write a file over the object that was seen.

    Args:
        known_etag: what a look once showed; it spares one.
        confirm: raises if the task is not held any more.
        moved: called with the bytes of each transfer.

    Raises:
        AttemptFailedError: the store fails, the task is lost, or another writer keeps changing the object.
    """
    condition = IfMatch(known_etag) if known_etag else await seen(store, bucket, key)
    for _ in range(_TRIES):
        await confirm()
        try:
            return await store.upload(bucket, key, path, content_type=content_type, condition=condition, moved=moved)
        except PreconditionFailedError:
            condition = await seen(store, bucket, key)
    raise _changes(key, "written")


async def delete(store: Store, bucket: str, key: str, confirm: Callable[[], Awaitable[None]]) -> None:
    """Delete the object that was seen, if there is one.

    Args:
        confirm: raises if the task is not held any more.

    Raises:
        AttemptFailedError: as `write`.
    """
    for _ in range(_TRIES):
        there = await store.stat(bucket, key)
        if there is None:
            return
        await confirm()
        try:
            await store.delete(bucket, key, condition=IfMatch(there.etag))
        except PreconditionFailedError:
            continue
        return
    raise _changes(key, "deleted")


def _changes(key: str, done: str) -> AttemptFailedError:
    return AttemptFailedError(FailureCode.STORAGE_UNAVAILABLE, f"{key} changed {_TRIES} times while it was {done}")

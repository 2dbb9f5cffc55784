"""Publishing outputs under Zou's fixed keys, fenced at the store by conditional writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import Condition, IfAbsent, IfMatch, PreconditionFailedError, Store
from rushes_schemas import PLACES, FailureCode, ObjectKind, StoredFile, object_key

from rushes_normalizer.hashing import sha256_of

_TRIES: Final = 5


@dataclass(frozen=True)
class Publisher:
    """Publishes the outputs of one attempt.

    Attributes:
        known_etags: of the last published set, by bucket and key.
        confirm: raises if this attempt lost its lease.
        moved: called with the bytes of each transfer.
    """

    store: Store
    preview_file_id: UUID
    known_etags: dict[tuple[str, str], str]
    confirm: Callable[[], Awaitable[None]]
    moved: Callable[[int], None]

    async def publish(self, kind: ObjectKind, path: Path) -> StoredFile:
        """Write one output over the version that was known before, and only over that.

        Before each try the attempt must show that it still holds its lease, after it has looked: a successor can only
        have written later, and breaks the condition. So a worker that was paused, wherever it was, and overtaken
        cannot overwrite its successor's outputs.

        Raises:
            AttemptFailedError: the store fails, the lease is lost, or another writer keeps changing the object.
        """
        place = PLACES[kind]
        key = object_key(kind, self.preview_file_id)
        sha256 = await sha256_of(path)
        condition = self._known(place.bucket, key) or await self._seen(place.bucket, key)
        for _ in range(_TRIES):
            await self.confirm()
            try:
                written = await self.store.upload(
                    place.bucket,
                    key,
                    path,
                    content_type=place.content_type,
                    condition=condition,
                    moved=self.moved,
                )
            except PreconditionFailedError:
                condition = await self._seen(place.bucket, key)
            else:
                return StoredFile.model_validate(
                    {
                        "kind": kind.value,
                        "bucket": place.bucket,
                        "key": key,
                        "bytes": written.bytes,
                        "etag": written.etag,
                        "sha256": sha256,
                    }
                )
        raise AttemptFailedError(FailureCode.STORAGE_UNAVAILABLE, f"{key} changed {_TRIES} times while it was written")

    def _known(self, bucket: str, key: str) -> Condition | None:
        etag = self.known_etags.get((bucket, key))
        return IfMatch(etag) if etag else None

    async def _seen(self, bucket: str, key: str) -> Condition:
        there = await self.store.stat(bucket, key)
        return IfMatch(there.etag) if there else IfAbsent()

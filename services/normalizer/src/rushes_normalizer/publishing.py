"""Publishing outputs under Zou's fixed keys, fenced at the store by conditional writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from rushes_runtime import fenced_writes
from rushes_runtime.store import Store
from rushes_schemas import PLACES, ObjectKind, StoredFile, object_key

from rushes_normalizer.hashing import sha256_of


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
        """Write one output over the version that was known before, and only over that (`fenced_writes`).

        Raises:
            AttemptFailedError: the store fails, the lease is lost, or another writer keeps changing the object.
        """
        place = PLACES[kind]
        key = object_key(kind, self.preview_file_id)
        sha256 = await sha256_of(path)
        written = await fenced_writes.write(
            self.store,
            place.bucket,
            key,
            path,
            content_type=place.content_type,
            known_etag=self.known_etags.get((place.bucket, key)),
            confirm=self.confirm,
            moved=self.moved,
        )
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

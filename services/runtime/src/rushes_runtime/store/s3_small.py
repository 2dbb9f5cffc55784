"""Small objects of an S3 endpoint, by calls that block."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import obstore

from rushes_runtime.store.answers import answers
from rushes_runtime.store.endpoint import Endpoint
from rushes_runtime.store.interface import (
    SMALL,
    Condition,
    ObjectAbsentError,
    ObjectStat,
    Small,
    StoreUnavailableError,
)
from rushes_runtime.store.looks import to_send_blocking
from rushes_runtime.store.multipart import Wanted, bare, mode_of

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store as Bucket

_PATIENCE: Final = 20.0  # seconds for a request and its answer: 13 kB a second, where the object is as large as can be


class S3SmallObjects:
    """Of one bucket."""

    def __init__(self, endpoint: Endpoint, bucket: str, opened: Bucket) -> None:
        self._endpoint = endpoint
        self._bucket = bucket
        self._opened = opened

    @classmethod
    async def of(cls, endpoint: Endpoint, bucket: str) -> S3SmallObjects:
        """Those of a bucket; its access key may have to be waited for."""
        return cls(endpoint, bucket, await endpoint.bucket(bucket, patience=_PATIENCE, retries=0))

    def get(self, key: str) -> Small | None:
        with answers("download", self._endpoint.where(self._bucket, key), self._endpoint.name):
            try:
                opened = obstore.get(self._opened, key)
            except FileNotFoundError:
                raise ObjectAbsentError(key) from None
            if opened.meta["size"] > SMALL:
                return None
            content = bytes(opened.bytes())
        stat, attributes = object_stat(opened.meta), opened.attributes
        return Small(stat, attributes.get("Content-Type"), modified_of(attributes.get("mtime"), stat), content)

    def put(
        self, key: str, content: bytes, *, content_type: str, condition: Condition, modified: datetime
    ) -> ObjectStat:
        wanted = Wanted(self._bucket, key, len(content), content_type, condition, modified)
        where = self._endpoint.where(self._bucket, key)
        with answers("upload", where, self._endpoint.name):
            condition = to_send_blocking(self._endpoint, self._opened, self._bucket, key, condition)
            put = obstore.put(
                self._opened,
                key,
                content,
                attributes={"Content-Type": content_type, **wanted.metadata},
                mode=mode_of(condition),
                use_multipart=False,
            )
        etag = bare(put["e_tag"] or "")
        if self._endpoint.looks or etag != hashlib.md5(content, usedforsecurity=False).hexdigest():
            # Encrypted by a key of the store's own, say. Else the answer itself tells that it holds what was sent.
            with answers("stat", where, self._endpoint.name):
                shown = object_stat(obstore.head(self._opened, key))
            if (shown.bytes, shown.etag) != (len(content), etag):
                raise StoreUnavailableError(f"{where} is not what was written there")
        return ObjectStat(key, len(content), etag, modified)


def object_stat(meta: ObjectMeta) -> ObjectStat:
    """What obstore says of an object."""
    return ObjectStat(meta["path"], meta["size"], bare(meta["e_tag"] or ""), meta["last_modified"])


def modified_of(mtime: str | None, stat: ObjectStat) -> datetime:
    """When the content was made: as the writer says, rclone or we, else when it was written here."""
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(float(mtime or ""), UTC)
    return stat.modified

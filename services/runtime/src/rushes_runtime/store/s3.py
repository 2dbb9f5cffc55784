"""An S3 endpoint as an object store: AWS, SeaweedFS, Ceph, Swift's S3 API. Which client does what: see `endpoint`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import obstore
from botocore.exceptions import ClientError
from rushes_schemas import FailureCode

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.settings import StoreSettings
from rushes_runtime.store import server_copy, transfers
from rushes_runtime.store.answers import ABSENT, answers, code_of
from rushes_runtime.store.endpoint import Endpoint
from rushes_runtime.store.interface import (
    SMALL,
    Condition,
    Downloaded,
    IfMatch,
    Moved,
    ObjectAbsentError,
    ObjectStat,
    PreconditionFailedError,
    Reading,
    SmallObjects,
    Store,
    StoreDeniedError,
    StoreUnavailableError,
    Unconditional,
    Writing,
)
from rushes_runtime.store.looks import to_send
from rushes_runtime.store.many_heads import ManyHeads
from rushes_runtime.store.multipart import LEAST_PART, PartsWriting, Wanted, WholeWriting, abort, bare, headers
from rushes_runtime.store.s3_small import S3SmallObjects, modified_of, object_stat

if TYPE_CHECKING:
    from obstore import GetResult

_CHUNK: Final = 1 << 18


class S3Store:
    """Objects of one endpoint. Use it as an async context manager."""

    def __init__(self, settings: StoreSettings) -> None:
        self._endpoint = Endpoint(settings)
        self._heads = ManyHeads(self._endpoint)
        self._resources = AsyncExitStack()
        self.name = self._endpoint.name

    async def __aenter__(self) -> S3Store:
        await self._resources.enter_async_context(self._endpoint)
        self._resources.callback(self._heads.close)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._resources.aclose()

    async def stat(self, bucket: str, key: str) -> ObjectStat | None:
        of = await self._endpoint.bucket(bucket)

        async def head() -> ObjectStat | None:
            try:
                return object_stat(await obstore.head_async(of, key))
            except FileNotFoundError:
                return None

        return await self._endpoint.ask("stat", bucket, key, head)

    async def absent(self, bucket: str, keys: Collection[str]) -> frozenset[str]:
        return await self._heads.absent(bucket, keys)

    async def list(self, bucket: str, prefix: str = "") -> AsyncIterator[ObjectStat]:
        where: dict[str, Any] = {"Bucket": self._endpoint.full_name(bucket), "Prefix": prefix}
        while True:
            page = await self._endpoint.ask(
                "list", bucket, prefix, lambda: self._endpoint.client.list_objects_v2(**where)
            )
            for found in page.get("Contents", ()):
                yield ObjectStat(found["Key"], found["Size"], bare(found["ETag"]), found["LastModified"])
            if not page.get("NextContinuationToken"):
                return
            where["ContinuationToken"] = page["NextContinuationToken"]

    @asynccontextmanager
    async def read(self, bucket: str, key: str) -> AsyncIterator[Reading]:
        of = await self._endpoint.bucket(bucket)

        async def get() -> tuple[GetResult, bytes | None]:
            try:
                opened = await obstore.get_async(of, key)
            except FileNotFoundError:
                raise ObjectAbsentError(key) from None
            # A small one is taken whole, so that a body that breaks off is asked for again like any other request.
            return opened, bytes(await opened.bytes_async()) if opened.meta["size"] <= SMALL else None

        opened, content = await self._endpoint.ask("download", bucket, key, get)
        stat = object_stat(opened.meta)
        attributes = opened.attributes
        chunks = _only(content) if content is not None else self._stream(bucket, opened, stat)
        async with aclosing(chunks):
            yield Reading(stat, attributes.get("Content-Type"), modified_of(attributes.get("mtime"), stat), chunks)

    async def _stream(self, bucket: str, opened: GetResult, stat: ObjectStat) -> AsyncGenerator[bytes]:
        read = 0
        where = self._endpoint.where(bucket, stat.key)
        stream = opened.stream(min_chunk_size=_CHUNK)
        while True:
            with answers("read", where, self.name):
                try:
                    chunk = await anext(stream)
                except StopAsyncIteration:
                    break
            read += len(chunk)
            yield chunk
        if read != stat.bytes:
            raise StoreUnavailableError(f"{where}: {read} bytes came, {stat.bytes} were promised")
        again = await self.stat(bucket, stat.key)
        if again is None or again.etag != stat.etag:
            raise AttemptFailedError(FailureCode.SOURCE_CHANGED, f"{where} changed while it was read")

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
        wanted = Wanted(bucket, key, size, content_type, condition, modified)
        writing = (
            WholeWriting(self._endpoint, wanted)
            if size <= LEAST_PART
            else await PartsWriting.begin(self._endpoint, wanted)
        )
        try:
            yield writing
        finally:
            await writing.close()

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

    async def small(self, bucket: str) -> SmallObjects:
        return await S3SmallObjects.of(self._endpoint, bucket)

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self._endpoint.window.request()

    def shares_server(self, other: Store) -> bool:
        return isinstance(other, S3Store) and other._endpoint.address == self._endpoint.address

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
        assert isinstance(source, S3Store)
        if self._endpoint.looks:
            if "-" in stat.etag:  # in parts: Swift compares another etag than it shows
                return None
            shown = await source.stat(bucket, key)  # Ceph compares none
            if shown is None or shown.etag != stat.etag:
                raise PreconditionFailedError(self._endpoint.where(bucket, key))
        wanted = Wanted(bucket, key, stat.bytes, content_type, condition, modified)
        try:
            return await server_copy.copy(self._endpoint, source._endpoint.full_name(bucket), stat, wanted)
        except StoreDeniedError:  # this site's key may not read there; whether it may write is seen next
            return None

    async def abort_uploads(self, bucket: str, begun_before: datetime, ours: Callable[[str], bool]) -> int:
        stale: list[tuple[str, str]] = []
        where: dict[str, Any] = {"Bucket": self._endpoint.full_name(bucket)}

        async def uploads() -> Any:
            return await self._endpoint.client.list_multipart_uploads(**where)

        while True:
            page = await self._endpoint.ask("list_uploads", bucket, "", uploads)
            # The server's clock says when an upload was begun, and may be off by more than any upload takes.
            off = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"]) - datetime.now(UTC)
            stale += [
                (upload["Key"], upload["UploadId"])
                for upload in page.get("Uploads", [])
                if upload["Initiated"] < begun_before + off and ours(upload["Key"])
            ]
            if not page.get("IsTruncated"):
                break
            where.update(KeyMarker=page["NextKeyMarker"], UploadIdMarker=page["NextUploadIdMarker"])
        for key, upload_id in stale:
            await abort(self._endpoint, bucket, key, upload_id)
        return len(stale)

    async def delete(self, bucket: str, key: str, *, condition: Unconditional | IfMatch) -> None:
        async def delete() -> None:
            told = await to_send(self._endpoint, bucket, key, condition)
            try:
                await self._endpoint.client.delete_object(
                    Bucket=self._endpoint.full_name(bucket), Key=key, **headers(told)
                )
            except ClientError as error:
                if code_of(error) not in ABSENT:  # some servers miss what they were to compare
                    raise

        await self._endpoint.ask("delete", bucket, key, delete)

    async def ensure_bucket(self, bucket: str) -> None:
        name = self._endpoint.full_name(bucket)

        async def ensure() -> None:
            try:
                await self._endpoint.client.head_bucket(Bucket=name)
            except ClientError as error:
                if code_of(error) not in {*ABSENT, "NoSuchBucket"}:
                    raise
                await self._endpoint.client.create_bucket(Bucket=name)

        await self._endpoint.ask("ensure_bucket", bucket, "", ensure)


async def _only(content: bytes) -> AsyncGenerator[bytes]:
    yield content

"""An S3 endpoint as an object store, by aioboto3: AWS, SeaweedFS, Ceph, Swift's S3 API."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from aiobotocore.config import AioConfig
from aiohttp import ClientError as HttpError
from botocore.exceptions import BotoCoreError, ClientError
from rushes_schemas import FailureCode

from rushes_runtime import metrics
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.settings import StoreSettings
from rushes_runtime.store.access_key import make_session
from rushes_runtime.store.interface import (
    Condition,
    Downloaded,
    IfAbsent,
    IfMatch,
    Moved,
    ObjectAbsentError,
    ObjectStat,
    PreconditionFailedError,
    StoreDeniedError,
    StoreUnavailableError,
    Unconditional,
)
from rushes_runtime.store.many_heads import ManyHeads

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_CHUNK: Final = 1 << 18
_PART: Final = 5 << 20  # the smallest that S3 takes; a part is in memory, one at a time for each transfer
_PARTS: Final = 10_000  # the most that S3 takes
_DENIED: Final = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AllAccessDisabled",
    "403",
    "401",
}
_CONFLICTS: Final = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}


class S3Store:
    """Objects of one endpoint. Use it as an async context manager."""

    def __init__(self, settings: StoreSettings) -> None:
        self.name = f"S3 {settings.endpoint_url or 'AWS'}"
        self._settings = settings
        self._resources = AsyncExitStack()
        self._client: S3Client
        self._heads: ManyHeads

    async def __aenter__(self) -> S3Store:
        settings = self._settings
        session = make_session(settings)
        config = AioConfig(
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            retries={"mode": "standard", "max_attempts": 3},
            max_pool_connections=64,
            s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
            # Many S3 servers refuse the newer trailing checksums. All know Content-MD5, which goes with what is
            # written; what is read is compared with the SHA-256 that the row keeps.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client = session.client("s3", endpoint_url=settings.endpoint_url, config=config)
        self._client = await self._resources.enter_async_context(client)
        self._heads = ManyHeads(settings, session)
        self._resources.callback(self._heads.close)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._resources.aclose()

    def _bucket(self, bucket: str) -> str:
        return self._settings.bucket_prefix + bucket

    async def stat(self, bucket: str, key: str) -> ObjectStat | None:
        with self._answers("stat", bucket, key):
            try:
                head = await self._client.head_object(Bucket=self._bucket(bucket), Key=key)
            except ClientError as error:
                if _code(error) in {"404", "NoSuchKey", "NotFound"}:
                    return None
                raise
        return ObjectStat(key, head["ContentLength"], _bare(head["ETag"]), head["LastModified"])

    async def absent(self, bucket: str, keys: Collection[str]) -> frozenset[str]:
        return await self._heads.absent(self._bucket(bucket), keys)

    async def list(self, bucket: str, prefix: str = "") -> AsyncIterator[ObjectStat]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket(bucket), Prefix=prefix)
        iterator = pages.__aiter__()
        while True:
            with self._answers("list", bucket, prefix):
                try:
                    page = await iterator.__anext__()
                except StopAsyncIteration:
                    return
            for found in page.get("Contents", []):
                yield ObjectStat(found["Key"], found["Size"], _bare(found["ETag"]), found["LastModified"])

    async def download(self, bucket: str, key: str, path: Path, moved: Moved | None = None) -> Downloaded:
        with self._answers("download", bucket, key), _room_for(path):
            try:
                answer = await self._client.get_object(Bucket=self._bucket(bucket), Key=key)
            except ClientError as error:
                if _code(error) in {"NoSuchKey", "NoSuchBucket", "404"}:
                    raise ObjectAbsentError(key) from None
                raise
            sha256 = hashlib.sha256()
            read = 0
            with path.open("wb") as writer:
                body = answer["Body"]
                try:
                    async for chunk in body.iter_chunks(_CHUNK):
                        await asyncio.to_thread(_write, writer, sha256, chunk)
                        read += len(chunk)
                        if moved:
                            moved(len(chunk))
                finally:
                    body.close()
        if read != answer["ContentLength"]:
            msg = f"{key}: {read} bytes came, {answer['ContentLength']} were promised"
            raise StoreUnavailableError(msg)
        return Downloaded(read, _bare(answer["ETag"]), sha256.hexdigest())

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
        size = path.stat().st_size
        put = self._put_whole if size <= _PART else self._put_parts
        where = {"Bucket": self._bucket(bucket), "Key": key}
        with self._answers("upload", bucket, key):
            etag = await put(where, path, content_type, _headers(condition), moved or _unseen)
        return ObjectStat(key, size, etag, datetime.now(UTC))

    async def _put_whole(
        self, where: dict[str, Any], path: Path, content_type: str, headers: dict[str, Any], moved: Moved
    ) -> str:
        body = await asyncio.to_thread(path.read_bytes)
        md5 = await asyncio.to_thread(_md5, body)
        answer = await self._client.put_object(**where, Body=body, ContentType=content_type, ContentMD5=md5, **headers)
        moved(len(body))
        return _bare(answer["ETag"])

    async def _put_parts(
        self, where: dict[str, Any], path: Path, content_type: str, headers: dict[str, Any], moved: Moved
    ) -> str:
        upload = await self._client.create_multipart_upload(**where, ContentType=content_type)
        where = {**where, "UploadId": upload["UploadId"]}
        part_size = max(_PART, -(-path.stat().st_size // _PARTS))
        try:
            parts: list[Any] = []
            with path.open("rb") as reader:
                while chunk := await asyncio.to_thread(reader.read, part_size):
                    number = len(parts) + 1
                    md5 = await asyncio.to_thread(_md5, chunk)
                    part = await self._client.upload_part(**where, PartNumber=number, Body=chunk, ContentMD5=md5)
                    parts.append({"PartNumber": number, "ETag": part["ETag"]})
                    moved(len(chunk))
            answer = await self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, **headers)
        except BaseException:
            await asyncio.shield(self._client.abort_multipart_upload(**where))
            raise
        return _bare(answer["ETag"])

    async def delete(self, bucket: str, key: str, *, condition: Unconditional | IfMatch) -> None:
        with self._answers("delete", bucket, key):
            try:
                await self._client.delete_object(Bucket=self._bucket(bucket), Key=key, **_headers(condition))
            except ClientError as error:
                if _code(error) not in {"404", "NoSuchKey", "NotFound"}:  # some servers miss what they were to compare
                    raise

    async def ensure_bucket(self, bucket: str) -> None:
        with self._answers("ensure_bucket", bucket, ""):
            try:
                await self._client.head_bucket(Bucket=self._bucket(bucket))
            except ClientError as error:
                if _code(error) not in {"404", "NoSuchBucket"}:
                    raise
                await self._client.create_bucket(Bucket=self._bucket(bucket))

    @contextmanager
    def _answers(self, operation: str, bucket: str, key: str) -> Iterator[None]:
        """Counts calls, and turns what the endpoint says into the store's three answers."""
        where = f"{operation} {self._bucket(bucket)}/{key} at {self.name}"
        outcome = "error"
        try:
            yield
            outcome = "ok"
        except ObjectAbsentError:
            outcome = "absent"
            raise
        except ClientError as error:
            code = _code(error)
            if code in _CONFLICTS:
                outcome = "conflict"
                raise PreconditionFailedError(where) from None
            if code in _DENIED:
                outcome = "denied"
                raise StoreDeniedError(f"{where}: {code}") from error
            raise StoreUnavailableError(f"{where}: {code}") from error
        except (BotoCoreError, HttpError, OSError, TimeoutError) as error:
            raise StoreUnavailableError(f"{where}: {error or type(error).__name__}") from error
        finally:
            metrics.STORE_OPERATIONS.labels(operation, outcome).inc()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _bare(etag: str) -> str:
    return etag.strip('"')


def _headers(condition: Condition) -> dict[str, Any]:
    match condition:
        case IfMatch(etag):
            return {"IfMatch": f'"{etag}"'}
        case IfAbsent():
            return {"IfNoneMatch": "*"}
        case Unconditional():
            return {}


def _md5(content: bytes) -> str:
    """As `Content-MD5` has it: the server refuses what came damaged."""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _unseen(_moved: int) -> None:
    """Nobody watches the bytes."""


def _write(writer: BinaryIO, sha256: Any, chunk: bytes) -> None:
    sha256.update(chunk)
    writer.write(chunk)


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """A full disk of ours is no fault of the store."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise AttemptFailedError(FailureCode.OUT_OF_DISK, f"{path.parent}: {error.strerror}") from error
        raise

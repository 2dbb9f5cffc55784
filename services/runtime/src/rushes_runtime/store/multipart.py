"""Writing an object to an S3 endpoint as it streams by: whole if it is small, else in parts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import obstore

from rushes_runtime.store.endpoint import Endpoint
from rushes_runtime.store.interface import (
    Condition,
    IfAbsent,
    IfMatch,
    ObjectStat,
    StoreError,
    StoreUnavailableError,
    Unconditional,
)
from rushes_runtime.store.looks import to_send

if TYPE_CHECKING:
    from obstore import PutResult
    from types_aiobotocore_s3.type_defs import CompleteMultipartUploadOutputTypeDef

LEAST_PART: Final = 5 << 20  # the smallest that S3 takes
MOST_PARTS: Final = 10_000  # the most that S3 takes
SWIFTS_MOST_PARTS: Final = 1_000  # the most that OpenStack Swift takes as it comes (`max_upload_part_num`)
LARGE_PART: Final = 10 << 20  # two are held at once, in `TRANSFER_MEMORY`
_MEBIBYTE: Final = 1 << 20
_WAITS_TO_ABORT: Final = 10.0  # seconds


def part_size(size: int) -> int:
    """Bytes of each part of an object, in whole mebibytes.

    Parts are as small as can be, for they are held in memory: 5 MiB up to 4.9 GiB. Above, they grow to 10 MiB so that
    1,000 of them are enough up to 9.8 GiB; above 98 GiB they grow on, so that 10,000 are.
    """
    few = min(LARGE_PART, _mebibytes(size, SWIFTS_MOST_PARTS))
    return max(LEAST_PART, few, _mebibytes(size, MOST_PARTS))


def _mebibytes(size: int, parts: int) -> int:
    return -(-size // parts // _MEBIBYTE) * _MEBIBYTE


@dataclass(frozen=True)
class Wanted:
    """An object as it is to be written."""

    bucket: str
    key: str
    size: int
    content_type: str
    condition: Condition
    modified: datetime | None

    @property
    def metadata(self) -> dict[str, str]:
        """What an S3 store keeps beside the content."""
        return {"mtime": f"{self.modified.timestamp():.9f}"} if self.modified else {}


class WholeWriting:
    """An object of one request, in memory until its commit."""

    def __init__(self, endpoint: Endpoint, wanted: Wanted) -> None:
        self._endpoint = endpoint
        self._wanted = wanted
        self._chunks: list[bytes] = []
        self._borrowed = 0

    async def write(self, chunk: bytes) -> None:
        if not self._borrowed and self._wanted.size > _MEBIBYTE:
            self._borrowed = await self._endpoint.memory.borrow(self._wanted.size)
        self._chunks.append(chunk)

    async def commit(self) -> ObjectStat:
        content = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        wanted = self._wanted
        bucket = await self._endpoint.bucket(wanted.bucket)

        async def put() -> PutResult:
            return await obstore.put_async(
                bucket,
                wanted.key,
                content,
                attributes={"Content-Type": wanted.content_type, **wanted.metadata},
                mode=mode_of(await to_send(self._endpoint, wanted.bucket, wanted.key, wanted.condition)),
                use_multipart=False,
            )

        etag = bare((await self._endpoint.ask("upload", wanted.bucket, wanted.key, put))["e_tag"] or "")
        if self._endpoint.looks or etag != hashlib.md5(content, usedforsecurity=False).hexdigest():
            # Encrypted by a key of the store's own, say. Else the answer itself tells that it holds what was sent.
            await check_shown(self._endpoint, wanted, etag)
        return ObjectStat(wanted.key, len(content), etag, wanted.modified or datetime.now().astimezone())

    async def close(self) -> None:
        """Committed or not, nothing is left to undo."""
        if self._borrowed:
            await self._endpoint.memory.give_back(self._borrowed)


class PartsWriting:
    """A multipart upload. A full part goes off while the next one fills; both live in borrowed memory."""

    def __init__(self, endpoint: Endpoint, wanted: Wanted, upload_id: str) -> None:
        self._endpoint = endpoint
        self._wanted = wanted
        self._where: dict[str, Any] = {
            "Bucket": endpoint.full_name(wanted.bucket),
            "Key": wanted.key,
            "UploadId": upload_id,
        }
        self._part_size = part_size(wanted.size)
        self._filling = BytesIO()  # of no use until memory is borrowed
        self._borrowed = 0
        self._committed = False
        self._parts: list[asyncio.Task[str]] = []

    @classmethod
    async def begin(cls, endpoint: Endpoint, wanted: Wanted) -> PartsWriting:
        """Tell the endpoint of the upload."""
        upload = await endpoint.ask(
            "upload",
            wanted.bucket,
            wanted.key,
            lambda: endpoint.client.create_multipart_upload(
                Bucket=endpoint.full_name(wanted.bucket),
                Key=wanted.key,
                ContentType=wanted.content_type,
                Metadata=wanted.metadata,
            ),
        )
        return cls(endpoint, wanted, upload["UploadId"])

    async def write(self, chunk: bytes) -> None:
        while chunk:
            if not self._borrowed:
                self._borrowed = await self._endpoint.memory.borrow(self._part_size)
                self._filling = self._endpoint.memory.buffer()
            room = self._part_size - self._filling.tell()
            self._filling.write(chunk[:room] if len(chunk) > room else chunk)
            chunk = chunk[room:]
            if self._filling.tell() == self._part_size:
                self._send()

    def _send(self) -> None:
        for sent in self._parts:  # a part that failed ends it all
            if sent.done():
                sent.result()
        part, borrowed, self._borrowed = self._filling, self._borrowed, 0
        part.truncate()
        self._parts.append(asyncio.create_task(self._put(len(self._parts) + 1, part, borrowed)))

    async def _put(self, number: int, part: BytesIO, borrowed: int) -> str:
        wanted = self._wanted
        md5 = await asyncio.to_thread(_md5, part)

        async def put() -> str:
            part.seek(0)
            done = await self._endpoint.client.upload_part(**self._where, PartNumber=number, Body=part, ContentMD5=md5)
            return done["ETag"]

        try:
            etag = await self._endpoint.ask("upload", wanted.bucket, wanted.key, put)
            self._endpoint.memory.reuse(part)
            return etag
        finally:
            await asyncio.shield(self._endpoint.memory.give_back(borrowed))

    async def commit(self) -> ObjectStat:
        if self._borrowed:
            self._send()
        etags = await asyncio.gather(*self._parts)
        parts: Any = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        wanted = self._wanted

        async def complete() -> CompleteMultipartUploadOutputTypeDef:
            condition = await to_send(self._endpoint, wanted.bucket, wanted.key, wanted.condition)
            return await self._endpoint.client.complete_multipart_upload(
                **self._where, MultipartUpload={"Parts": parts}, **headers(condition)
            )

        done = await self._endpoint.ask("upload", wanted.bucket, wanted.key, complete)
        self._committed = True
        return await check_shown(self._endpoint, wanted, bare(done["ETag"]) or etag_of_parts(etags))

    async def close(self) -> None:
        """Take back what was sent and not committed; if the endpoint is away, `abort_uploads` does it one day."""
        for part in self._parts:
            part.cancel()
        await asyncio.gather(*self._parts, return_exceptions=True)
        await self._endpoint.memory.give_back(self._borrowed)
        if not self._committed:
            await abort(self._endpoint, self._wanted.bucket, self._wanted.key, self._where["UploadId"])


async def abort(endpoint: Endpoint, bucket: str, key: str, upload_id: str) -> None:
    """Take back an upload, for a while: an endpoint that is away keeps it until `abort_uploads` finds it."""
    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(_WAITS_TO_ABORT):
            await endpoint.ask(
                "abort",
                bucket,
                key,
                lambda: endpoint.client.abort_multipart_upload(
                    Bucket=endpoint.full_name(bucket), Key=key, UploadId=upload_id
                ),
            )


async def check_shown(endpoint: Endpoint, wanted: Wanted, etag: str) -> ObjectStat:
    """See that the endpoint shows what was written.

    Raises:
        StoreUnavailableError: it does not.
    """
    bucket = await endpoint.bucket(wanted.bucket)
    shown = await endpoint.ask("stat", wanted.bucket, wanted.key, lambda: obstore.head_async(bucket, wanted.key))
    if shown["size"] != wanted.size or bare(shown["e_tag"] or "") != etag:
        raise StoreUnavailableError(f"{endpoint.where(wanted.bucket, wanted.key)} is not what was written there")
    return ObjectStat(wanted.key, wanted.size, etag, shown["last_modified"])


def etag_of_parts(etags: list[str]) -> str:
    """What S3 makes of the etags of parts. Ceph does not tell it when an upload is completed, and shows it later."""
    digests = b"".join(bytes.fromhex(bare(etag)) for etag in etags)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"


def bare(etag: str) -> str:
    """An etag without its quotes."""
    return etag.strip('"')


def headers(condition: Condition) -> dict[str, Any]:
    """A condition for aioboto3."""
    match condition:
        case IfMatch(etag):
            return {"IfMatch": f'"{etag}"'}
        case IfAbsent():
            return {"IfNoneMatch": "*"}
        case Unconditional():
            return {}


def mode_of(condition: Condition) -> Any:
    """A condition for obstore."""
    match condition:
        case IfMatch(etag):
            return {"e_tag": f'"{etag}"'}
        case IfAbsent():
            return "create"
        case Unconditional():
            return "overwrite"


def _md5(part: BytesIO) -> str:
    """As `Content-MD5` has it: the server refuses what came damaged."""
    return base64.b64encode(hashlib.md5(part.getbuffer(), usedforsecurity=False).digest()).decode()

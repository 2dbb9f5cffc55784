"""Copies between two buckets of one S3 endpoint, made by the endpoint."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from rushes_runtime.store.endpoint import Endpoint
from rushes_runtime.store.interface import ObjectStat
from rushes_runtime.store.looks import to_send
from rushes_runtime.store.multipart import Wanted, abort, bare, check_shown, etag_of_parts, headers

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompleteMultipartUploadOutputTypeDef, CopyObjectOutputTypeDef

MOST_AT_ONCE: Final = 5 << 30  # bytes that S3 copies by one request
_PART: Final = 1 << 30  # bytes; 5 TiB, the most that an object may have, are 5,120 of them


def copied_parts(size: int) -> list[tuple[int, int]]:
    """First and last byte of each part of a copy that is too large for one request."""
    return [(first, min(size, first + _PART) - 1) for first in range(0, size, _PART)]


async def copy(endpoint: Endpoint, source_bucket: str, stat: ObjectStat, wanted: Wanted) -> ObjectStat:
    """Copy an object; what is shown of the copy then.

    Args:
        source_bucket: its full name.
        stat: the version to copy.

    Raises:
        StoreError: the endpoint fails, or may not read there.
        PreconditionFailedError: of the source, or of the copy.
    """
    source: dict[str, Any] = {
        "CopySource": {"Bucket": source_bucket, "Key": stat.key},
        "CopySourceIfMatch": f'"{stat.etag}"',
    }
    target: dict[str, Any] = {"Bucket": endpoint.full_name(wanted.bucket), "Key": wanted.key}
    kept: dict[str, Any] = {"ContentType": wanted.content_type, "Metadata": wanted.metadata}
    if wanted.size > MOST_AT_ONCE:
        return await _copy_parts(endpoint, source, target, kept, wanted)

    async def whole() -> CopyObjectOutputTypeDef:
        condition = await to_send(endpoint, wanted.bucket, wanted.key, wanted.condition)
        return await endpoint.client.copy_object(
            **source, **target, **kept, MetadataDirective="REPLACE", **headers(condition)
        )

    done = await endpoint.ask("copy", wanted.bucket, wanted.key, whole)
    return await check_shown(endpoint, wanted, bare(done["CopyObjectResult"]["ETag"]))


async def _copy_parts(
    endpoint: Endpoint, source: dict[str, Any], target: dict[str, Any], kept: dict[str, Any], wanted: Wanted
) -> ObjectStat:
    upload = await endpoint.ask(
        "copy", wanted.bucket, wanted.key, lambda: endpoint.client.create_multipart_upload(**target, **kept)
    )
    where = {**target, "UploadId": upload["UploadId"]}
    committed = False
    try:
        parts: list[Any] = []
        for number, (first, last) in enumerate(copied_parts(wanted.size), 1):
            part: dict[str, Any] = {"PartNumber": number, "CopySourceRange": f"bytes={first}-{last}"}
            request = partial(endpoint.client.upload_part_copy, **source, **where, **part)
            done = await endpoint.ask("copy", wanted.bucket, wanted.key, request)
            parts.append({"PartNumber": number, "ETag": done["CopyPartResult"]["ETag"]})

        async def complete() -> CompleteMultipartUploadOutputTypeDef:
            condition = await to_send(endpoint, wanted.bucket, wanted.key, wanted.condition)
            return await endpoint.client.complete_multipart_upload(
                **where, MultipartUpload={"Parts": parts}, **headers(condition)
            )

        whole = await endpoint.ask("copy", wanted.bucket, wanted.key, complete)
        committed = True
    finally:
        if not committed:
            await abort(endpoint, wanted.bucket, wanted.key, upload["UploadId"])
    return await check_shown(endpoint, wanted, bare(whole["ETag"]) or etag_of_parts([part["ETag"] for part in parts]))

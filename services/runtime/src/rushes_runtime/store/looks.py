"""Conditions of writes at an endpoint that does not keep them: Rushes itself looks right before it writes.

Between the look and the write is a moment in which another may write, so it is for whoever sets `CONDITIONS=looked_at`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import obstore

from rushes_runtime.store.endpoint import Endpoint
from rushes_runtime.store.interface import Condition, IfAbsent, IfMatch, PreconditionFailedError, Unconditional

if TYPE_CHECKING:
    from obstore.store import S3Store as Bucket


async def to_send(endpoint: Endpoint, bucket: str, key: str, condition: Condition) -> Condition:
    """What the endpoint is to be told of a condition. Call it last before each try of a write.

    Args:
        bucket: without the studio's prefix.

    Raises:
        PreconditionFailedError: the object that is shown is another one.
    """
    if not endpoint.looks or isinstance(condition, Unconditional):
        return condition
    try:
        etag = (await obstore.head_async(await endpoint.bucket(bucket), key))["e_tag"]
    except FileNotFoundError:
        etag = None
    return _unless_broken(condition, etag, endpoint.where(bucket, key))


def to_send_blocking(endpoint: Endpoint, opened: Bucket, bucket: str, key: str, condition: Condition) -> Condition:
    """As `to_send`, for threads."""
    if not endpoint.looks or isinstance(condition, Unconditional):
        return condition
    try:
        etag = obstore.head(opened, key)["e_tag"]
    except FileNotFoundError:
        etag = None
    return _unless_broken(condition, etag, endpoint.where(bucket, key))


def _unless_broken(condition: IfAbsent | IfMatch, etag: str | None, where: str) -> Unconditional:
    wanted = condition.etag if isinstance(condition, IfMatch) else None
    if (etag.strip('"') if etag else None) != wanted:
        raise PreconditionFailedError(where)
    return Unconditional()

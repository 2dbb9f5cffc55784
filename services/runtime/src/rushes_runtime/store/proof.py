"""Proof that a store is whole: a sentinel object in each bucket.

An absent bucket or an unmounted folder answers "absent" for everything; a store that shows its sentinel in
the same look does not.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from rushes_runtime.failures import InstanceMismatchError, UnfencedStoreError
from rushes_runtime.store.interface import (
    NO_CONDITIONS,
    Condition,
    ConditionsUnknownError,
    IfAbsent,
    IfMatch,
    ObjectAbsentError,
    PreconditionFailedError,
    Store,
    StoreUnavailableError,
)

SENTINEL_KEY: Final = "sentinel-rushes"
_NO_ETAG: Final = "0" * 32
_IN_PARTS: Final = (5 << 20) + 1  # bytes; what is said to have so many is written in parts


async def place_sentinels(store: Store, buckets: Iterable[str], instance: str) -> None:
    """Make buckets and sentinels that are not there, once, when a store is set up.

    Raises:
        StoreError: unreachable or refused.
        InstanceMismatchError: they belong to another instance.
        UnfencedStoreError: the store takes no writes on a condition.
    """
    for bucket in buckets:
        await store.ensure_bucket(bucket)
        if not await _write_sentinel(store, bucket, instance, IfAbsent()):
            await prove_whole(store, bucket, instance)


async def prove_conditions(store: Store, buckets: Iterable[str], instance: str) -> None:
    """Check that whole buckets can be written to, and that a write whose condition does not hold is refused there.

    Nothing is changed: the sentinel is written again, as it is, on the conditions that it is absent or another one, in
    one request and in parts, for Ceph keeps conditions of the one and ignores those of the other.

    Raises:
        StoreError: unreachable, or it takes no writes from this user.
        UnfencedStoreError: it does not keep conditions.
    """
    for bucket in buckets:
        for condition in (IfAbsent(), IfMatch(_NO_ETAG)):
            if await _write_sentinel(store, bucket, instance, condition):
                raise UnfencedStoreError(f"bucket {bucket} of {store.name}: {NO_CONDITIONS}")
        if await _is_written_in_parts(store, bucket, instance):
            raise UnfencedStoreError(f"bucket {bucket} of {store.name}, for writes in parts: {NO_CONDITIONS}")


async def _is_written_in_parts(store: Store, bucket: str, instance: str) -> bool:
    """Whether a sentinel was written again, as it is, in spite of a condition that does not hold."""
    before = await store.stat(bucket, SENTINEL_KEY)
    try:
        async with store.write(
            bucket, SENTINEL_KEY, size=_IN_PARTS, content_type="application/json", condition=IfMatch(_NO_ETAG)
        ) as writing:
            await writing.write(_sentinel(instance))
            await writing.commit()
    except PreconditionFailedError:
        return False
    except StoreUnavailableError:  # it may be of another size than was said, or the store be away
        if await store.stat(bucket, SENTINEL_KEY) == before:
            raise
    return True


async def _write_sentinel(store: Store, bucket: str, instance: str, condition: Condition) -> bool:
    """Write a sentinel if the condition holds; False: it does not."""
    with tempfile.TemporaryDirectory() as folder:
        content = Path(folder, "sentinel")
        content.write_bytes(_sentinel(instance))
        try:
            await store.upload(bucket, SENTINEL_KEY, content, content_type="application/json", condition=condition)
        except PreconditionFailedError:
            return False
        except ConditionsUnknownError as error:
            raise UnfencedStoreError(error.message) from error
    return True


def _sentinel(instance: str) -> bytes:
    return json.dumps({"instance": instance}).encode()


async def prove_whole(store: Store, bucket: str, instance: str) -> None:
    """Check that a bucket shows its sentinel, and that it is this instance's.

    Raises:
        StoreError: it does not.
        InstanceMismatchError: it is another instance's.
    """
    with tempfile.TemporaryDirectory() as folder:
        content = Path(folder, "sentinel")
        try:
            await store.download(bucket, SENTINEL_KEY, content)
        except ObjectAbsentError:
            raise _shows_none(store, bucket) from None
        try:
            found = json.loads(content.read_bytes())["instance"]
        except (ValueError, KeyError, TypeError):
            raise StoreUnavailableError(f"{SENTINEL_KEY} in bucket {bucket} of {store.name} cannot be read") from None
    if found != instance:
        msg = f"bucket {bucket} of {store.name} belongs to the instance {found!r}, not to {instance!r}"
        raise InstanceMismatchError(msg)


async def absent_from_whole(store: Store, bucket: str, keys: Collection[str], instance: str) -> frozenset[str]:
    """Those of the keys that a bucket lacks, in one look that begins and ends with its sentinel.

    A sentinel that is seen before the keys shows that the looks began at the right, whole bucket. One that is seen
    after the last of them shows that this was still so: what empties or hides a bucket in the middle of the looks hides
    its sentinel too. Either alone would let the other end pass. What is left is a bucket that goes and comes back
    between the two, within the moment that the looks take; absence must be seen twice for that reason too.

    Both are seen by the very client that looks for the keys, for it could reach another place than the one that
    downloads; whose bucket it is stands in the sentinel's content.

    Raises:
        StoreError: any of the looks was refused or failed, or a sentinel was not seen; nothing follows about any key.
        InstanceMismatchError: the bucket is another instance's.
    """
    await prove_whole(store, bucket, instance)
    await _see_sentinel(store, bucket)
    absent = await store.absent(bucket, keys)
    await _see_sentinel(store, bucket)
    return absent


async def _see_sentinel(store: Store, bucket: str) -> None:
    if await store.absent(bucket, [SENTINEL_KEY]):
        raise _shows_none(store, bucket)


def _shows_none(store: Store, bucket: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"bucket {bucket} of {store.name} shows no {SENTINEL_KEY}: it is absent, unmounted or "
        "was never set up (run migrate --store once)"
    )

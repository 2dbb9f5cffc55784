"""Proof that a store is whole: a sentinel object in each bucket.

An absent bucket or an unmounted folder answers "absent" for everything; a store that shows its sentinel in
the same look does not.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rushes_runtime.failures import InstanceMismatchError
from rushes_runtime.store.interface import (
    IfAbsent,
    ObjectAbsentError,
    PreconditionFailedError,
    Store,
    StoreUnavailableError,
)

SENTINEL_KEY: Final = "sentinel-rushes"


async def place_sentinels(store: Store, buckets: Iterable[str], instance: str) -> None:
    """Make buckets and sentinels that are not there, once, when a store is set up.

    Raises:
        StoreError: unreachable or refused.
        InstanceMismatchError: they belong to another instance.
    """
    for bucket in buckets:
        await store.ensure_bucket(bucket)
        with tempfile.TemporaryDirectory() as folder:
            content = Path(folder, "sentinel")
            content.write_text(json.dumps({"instance": instance}), encoding="utf-8")
            try:
                await store.upload(bucket, SENTINEL_KEY, content, content_type="application/json", condition=IfAbsent())
            except PreconditionFailedError:
                await prove_whole(store, bucket, instance)


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
            msg = (
                f"bucket {bucket} of {store.name} shows no {SENTINEL_KEY}: it is absent, unmounted or "
                "was never set up (run migrate --store once)"
            )
            raise StoreUnavailableError(msg) from None
        try:
            found = json.loads(content.read_bytes())["instance"]
        except (ValueError, KeyError, TypeError):
            raise StoreUnavailableError(f"{SENTINEL_KEY} in bucket {bucket} of {store.name} cannot be read") from None
    if found != instance:
        msg = f"bucket {bucket} of {store.name} belongs to the instance {found!r}, not to {instance!r}"
        raise InstanceMismatchError(msg)

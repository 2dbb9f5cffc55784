"""An object of more than 5 GiB goes from S3 to S3, within one endpoint, and to a folder: whole, and in little memory.

It needs 25 GB of disk. The last line is a JSON object; the exit code is 1 if a copy is not what it was copied from, or
takes more memory than it may.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from rushes_embedded.objects import Objects
from rushes_runtime.settings import StoreSettings
from rushes_runtime.store import IfAbsent, Store, Unconditional, open_store
from rushes_schemas import ObjectKind, object_key
from rushes_schemas.outputs import BUCKETS
from rushes_syncer.copying import copy_object

SIZE: Final = (5 << 30) + (100 << 20) + 17
ROOM: Final = 25 * 10**9  # bytes: deleted objects keep theirs for a while
MOST_RSS: Final = 200.0  # MB, of 5,474
KEY: Final = object_key(ObjectKind.HIGH_DEFINITION, UUID("9f4b7a52-8c51-4bb5-9d0e-0d8ad1c1a3f7"))
_BLOCK: Final = 1 << 18


def _chunks() -> Iterator[bytes]:
    """Bytes of which no two blocks are the same."""
    block = os.urandom(_BLOCK - 8)
    for number in range(SIZE // _BLOCK):
        yield number.to_bytes(8, "big") + block
    yield block[: SIZE % _BLOCK]


async def _generate(store: Store) -> str:
    """The SHA-256 of what was written."""
    for bucket in BUCKETS:
        await store.ensure_bucket(bucket)
    sha256 = hashlib.sha256()
    async with store.write("movies", KEY, size=SIZE, content_type="video/mp4", condition=Unconditional()) as writing:
        for chunk in _chunks():
            sha256.update(chunk)
            await writing.write(chunk)
        await writing.commit()
    return sha256.hexdigest()


async def _copy(source: Store, target: Store, sha256: str) -> dict[str, Any]:
    """What one copy took, in a process of its own; then the copy is read, and removed."""
    await target.ensure_bucket("movies")
    began = time.monotonic()
    copied = await copy_object(source, target, "movies", KEY, over=IfAbsent(), size=SIZE, sha256=sha256)
    seconds = time.monotonic() - began
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    read = hashlib.sha256()
    async with target.read("movies", KEY) as reading:
        async for chunk in reading.chunks:
            read.update(chunk)
    whole = read.hexdigest() == sha256 == copied.sha256 and reading.stat.bytes == SIZE
    await target.delete("movies", KEY, condition=Unconditional())
    return {
        "whole": whole,
        "seconds": round(seconds, 1),
        "mb_per_s": round(SIZE / 1e6 / seconds, 1),
        "peak_rss_mb": round(rss, 1),
        "etag": copied.etag,
        "source_etag": copied.source_etag,
    }


async def _child(task: dict[str, Any]) -> Any:
    async with open_store(StoreSettings(**task["source"])) as source:
        if task["target"] is None:
            return await _generate(source)
        async with open_store(StoreSettings(**task["target"])) as target:
            return await _copy(source, target, task["sha256"])


async def _in_a_process(source: dict[str, Any], target: dict[str, Any] | None, sha256: str = "") -> Any:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.large_objects", "child", stdin=-1, stdout=-1
    )
    task = json.dumps({"source": source, "target": target, "sha256": sha256})
    said, _ = await child.communicate(task.encode())
    if child.returncode:
        sys.exit(1)
    return json.loads(said)


async def _run(folder: Path) -> int:
    objects = Objects(folder / "objects", log=folder / "objects.log")
    objects.start()
    try:
        main = {
            "kind": "s3",
            "endpoint_url": objects.endpoint_url,
            "access_key_id": objects.access_key_id,
            "secret_access_key": objects.secret_access_key,
            "bucket_prefix": "main-",
        }
        print(f"writing {SIZE} bytes", flush=True)
        sha256 = await _in_a_process(main, None)
        found: dict[str, Any] = {"bytes": SIZE}
        for name, other in {
            "s3_to_s3": {"endpoint_url": objects.endpoint_url.replace("127.0.0.1", "localhost")},
            "within_s3": {},
            "s3_to_local": {"kind": "local", "root": str(folder / "lyon")},
        }.items():
            found[name] = await _in_a_process(main, {**main, **other, "bucket_prefix": "lyon-"}, sha256)
            print(name, found[name], flush=True)
    finally:
        objects.discard()
    print(json.dumps(found))
    copies = [each for each in found.values() if isinstance(each, dict)]
    return 0 if all(each["whole"] and each["peak_rss_mb"] <= MOST_RSS for each in copies) else 1


def main() -> int:
    """The exit code."""
    if sys.argv[1:] == ["child"]:
        print(json.dumps(asyncio.run(_child(json.load(sys.stdin)))))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="rushes-large-"))
    try:
        if (free := shutil.disk_usage(folder).free) < ROOM:
            print(f"{folder} has room for {free / 1e9:.1f} GB, not for {ROOM / 1e9:.0f} GB", file=sys.stderr)
            return 1
        return asyncio.run(_run(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

"""What stands at a site, and what its ledger says: read with no code of the services."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.objects import s3_client
from tests.faults.plan import S3_SITE
from tests.faults.stage import Stage

BUCKETS: Final = ("movies", "pictures", "files")
_SENTINEL: Final = "sentinel-rushes"
_AT_ONCE: Final = 16  # objects that are read


@dataclass(frozen=True)
class AtSite:
    """A site.

    Attributes:
        seen: rows of its ledger, by preview id.
        objects: the SHA-256 of every object, by (bucket, key).
        unfinished: uploads in parts and temporary files, in words.
    """

    seen: dict[str, dict[str, Any]]
    objects: dict[tuple[str, str], str]
    unfinished: list[str]


async def look_at_site(stage: Stage, site: str) -> AtSite:
    """Read everything that a site has."""
    rows = await stage.query("SELECT * FROM syncer.site_preview WHERE site = $1", site)
    objects = await (_read_s3(stage) if site == S3_SITE else asyncio.to_thread(_read_folder, stage.lyon))
    return AtSite(
        {str(row["preview_file_id"]): dict(row) for row in rows}, objects, await unfinished(stage, site)
    )  # fmt: skip


async def unfinished(stage: Stage, site: str) -> list[str]:
    """What copies have begun at a site and not ended."""
    if site == S3_SITE:
        return await _uploads(stage)
    return await asyncio.to_thread(lambda: [str(path) for path in stage.lyon.glob("*/*/.rushes-uploads/*")])


async def _uploads(stage: Stage) -> list[str]:
    found = []
    async with s3_client(stage) as s3:
        for bucket in BUCKETS:
            answer = await s3.list_multipart_uploads(Bucket=_bucket(stage, bucket))
            found += [f"{bucket}/{upload['Key']} since {upload['Initiated']}" for upload in answer.get("Uploads", [])]
    return found


async def _read_s3(stage: Stage) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    room = asyncio.Semaphore(_AT_ONCE)
    async with s3_client(stage) as s3, asyncio.TaskGroup() as reads:

        async def read(bucket: str, key: str) -> None:
            async with room:
                answer = await s3.get_object(Bucket=_bucket(stage, bucket), Key=key)
                found[bucket, key] = hashlib.sha256(await answer["Body"].read()).hexdigest()

        for bucket in BUCKETS:
            async for page in s3.get_paginator("list_objects_v2").paginate(Bucket=_bucket(stage, bucket)):
                for each in page.get("Contents", []):
                    if each["Key"] != _SENTINEL:
                        reads.create_task(read(bucket, each["Key"]))
    return found


def _bucket(stage: Stage, bucket: str) -> str:
    return f"{stage.name}-{S3_SITE}-{bucket}"


def _read_folder(root: Path) -> dict[tuple[str, str], str]:
    return {
        place: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(root)
        if (place := _place(path.relative_to(root)))[1] != _SENTINEL
    }


def _files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_file() and not any(part.startswith(".rushes-") for part in path.relative_to(root).parts):
            yield path


def _place(path: Path) -> tuple[str, str]:
    """Bucket and key, of `{bucket}/{prefix}/{id[0:3]}/{id[3:6]}/{id}`; a file elsewhere keeps its path as its key."""
    parts = path.parts
    if len(parts) == 5 and (parts[2], parts[3]) == (parts[4][:3], parts[4][3:6]):
        return parts[0], f"{parts[1]}-{parts[4]}"
    return parts[0], "/".join(parts[1:])

"""What the servers hold at the end, read past the services and with none of their code."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from tests.faults.at_sites import AtSite, look_at_site
from tests.faults.objects import s3_client
from tests.faults.stage import Stage
from tests.movies import numbers
from tests.pace import pace

_PATIENCE: Final = 60.0 * pace()
MIRRORED: Final = "faults-mirrored"


@dataclass(frozen=True)
class Record:
    """A committed record, as it lies on a topic."""

    partition: int
    offset: int
    key: bytes | None
    headers: Mapping[str, bytes]
    value: bytes | None

    @property
    def mirrored(self) -> bool:
        """Written by the conductor, not by a service."""
        return MIRRORED in self.headers


@dataclass(frozen=True)
class Evidence:
    """Topics, tables and objects. Rows are by preview id; files by (bucket, key) of what rows name; sites by name."""

    statuses: list[Record]
    dead_letters: list[Record]
    previews: dict[str, dict[str, Any]]
    requests: list[dict[str, Any]]
    stored: dict[tuple[str, str], str]
    sites: dict[str, AtSite]
    frames: dict[str, int]


async def gather(stage: Stage, folder: Path, sites: Iterable[str]) -> Evidence:
    """Read everything, of these sites."""
    statuses, letters = await asyncio.gather(
        read_topic(stage, "status-changed"), read_topic(stage, "normalizer.dead-letters")
    )
    rows = await stage.query("SELECT *, files::text AS named FROM normalizer.preview_file")
    previews = {str(row["id"]): {**row, "files": json.loads(row["named"])} for row in rows}
    requests = [dict(row) for row in await stage.query("SELECT * FROM normalizer.request ORDER BY id")]
    wanted = {(stored["bucket"], stored["key"]) for row in previews.values() for stored in row["files"]}
    stored, frames = await _read_store(stage, wanted, folder)
    at_sites = {site: await look_at_site(stage, site) for site in sites}
    return Evidence(statuses, letters, previews, requests, stored, at_sites, frames)


async def read_topic(stage: Stage, topic: str) -> list[Record]:
    """All committed records of a topic, by partition and offset; a broker that is away is waited for."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return await _read_topic(stage, topic)
        except KafkaError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.5)


async def _read_topic(stage: Stage, topic: str) -> list[Record]:
    consumer = AIOKafkaConsumer(
        stage.prefix + topic,
        bootstrap_servers=stage.servers.kafka.bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    found: list[Record] = []
    try:
        await consumer.start()
        partitions = consumer.assignment()
        ends = await consumer.end_offsets(partitions)
        deadline = time.monotonic() + _PATIENCE
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            assert time.monotonic() < deadline, f"the end of {topic} is not reached: a transaction is open"
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [
                    Record(each.partition, each.offset, each.key, dict(each.headers), each.value) for each in records
                ]
    finally:
        await consumer.stop()
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def _read_store(
    stage: Stage, wanted: set[tuple[str, str]], folder: Path
) -> tuple[dict[tuple[str, str], str], dict[str, int]]:
    """The SHA-256 of each object, and the frames of each different movie by its SHA-256."""
    stored: dict[tuple[str, str], str] = {}
    frames: dict[str, int] = {}
    async with s3_client(stage) as s3:
        for bucket, key in sorted(wanted):
            try:
                answer = await s3.get_object(Bucket=f"{stage.name}-{bucket}", Key=key)
            except s3.exceptions.NoSuchKey:
                continue
            content = await answer["Body"].read()
            digest = hashlib.sha256(content).hexdigest()
            stored[bucket, key] = digest
            if bucket == "movies" and not key.startswith("source-") and digest not in frames:
                frames[digest] = await asyncio.to_thread(_count_frames, content, folder / "probed.mp4")
    return stored, frames


def _count_frames(content: bytes, path: Path) -> int:
    """How many frames of a numbered movie show their own number; -1 if it cannot be read."""
    path.write_bytes(content)
    try:
        shown = numbers(path)
    except AssertionError:
        return -1
    return len(shown) if shown == list(range(len(shown))) else -1

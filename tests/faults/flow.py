"""The studio: stores files and sends events past every proxy, and knows what is true of each preview."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from rushes_schemas import Envelope, Event, PreviewDeleted, PreviewUploaded, Priority, RenormalizeRequested, Source

from tests.faults.objects import s3_client
from tests.faults.plan import Step
from tests.faults.samples import Sample
from tests.faults.stage import DATABASE_AWAY, Stage
from tests.pace import pace

SOURCE: Final = "/faults/studio"
_PATIENCE: Final = 120.0 * pace()  # seconds for the broker to take a record
_MOST_OPEN: Final = 25  # jobs; the studio waits while more are open


@dataclass(frozen=True)
class Upload:
    """One upload: what was stored (None: nothing) and when."""

    generation: int
    uploaded_at: datetime
    sample: Sample | None


@dataclass
class Truth:
    """What the studio knows of a preview.

    Attributes:
        current: the upload that the events say counts.
        contents: the SHA-256 of each upload by its generation.
        absent: an event named its source when it was not there, at some time.
        deleted_at: by the studio's clock; None: it lives.
        was_deleted: at any time.
        undescribed: an event of it gave no checksum, at some time.
    """

    id: UUID
    extension: str
    uploads: int = 0
    current: Upload | None = None
    contents: dict[int, str] = field(default_factory=dict)
    absent: bool = False
    deleted_at: datetime | None = None
    was_deleted: bool = False
    undescribed: bool = False


@dataclass(frozen=True)
class Accepted:
    """A record that Kafka has acknowledged; its preview is None for one that is no event."""

    event_id: str
    kind: str
    preview: UUID | None
    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Studio:
    """Plays steps, one after another."""

    def __init__(
        self,
        stage: Stage,
        samples: Mapping[str, Sample],
        producer: AIOKafkaProducer,
        s3: Any,
        previews: Iterator[UUID],
    ) -> None:
        self._stage = stage
        self._samples = samples
        self._producer = producer
        self._s3 = s3
        self._ids = previews
        self.previews: list[Truth] = []
        self._planned: list[Truth] = []  # by the numbers of the plan; faults upload others
        self.accepted: list[Accepted] = []
        self.steps = 0
        self._turn = asyncio.Lock()

    async def run(self, steps: Iterator[Step], stop: asyncio.Event) -> None:
        """Play steps until `stop`, no faster than the services work."""
        for step in steps:
            await asyncio.sleep(step.gap)
            await self._wait_for_room(stop)
            if stop.is_set():
                return
            await self.play(step)

    async def _wait_for_room(self, stop: asyncio.Event) -> None:
        open_jobs = "SELECT count(*) AS jobs FROM normalizer.task WHERE state IN ('queued', 'running')"
        while not stop.is_set():
            try:
                if (await self._stage.query(open_jobs))[0]["jobs"] < _MOST_OPEN:
                    return
            except DATABASE_AWAY:
                pass  # the database is being restarted
            await asyncio.sleep(0.3)

    async def play(self, step: Step) -> None:
        """Play one step; returns when Kafka has acknowledged what it sends."""
        async with self._turn:
            self.steps += 1
            match step.kind:
                case "upload" | "absent":
                    await self._upload(self._new(step), step.sample, described=step.described)
                case "reupload":
                    await self._upload(self._planned[step.previews[0]], step.sample, described=step.described)
                case "swapped":
                    await self._swapped(self._new(step), step.sample)
                case "renormalize":
                    await self._renormalize(self._planned[step.previews[0]], Priority.SINGLE)
                case "bulk":
                    for number in step.previews:
                        await self._renormalize(self._planned[number], Priority.BULK)
                case "delete":
                    await self._delete(self._planned[step.previews[0]])
                case "again":
                    if step.back <= len(self.accepted):
                        await self._send_record(self.accepted[-step.back])
                case "unreadable":
                    await self._unreadable()
                case _:
                    raise AssertionError(step)

    async def reupload(self, preview: UUID, sample: str) -> None:
        """Another file for a preview, out of turn."""
        async with self._turn:
            await self._upload(self.truth_of(preview), sample, described=True)

    async def upload(self, sample: str) -> None:
        """A preview more, out of turn."""
        async with self._turn:
            await self._upload(self._another(self._samples[sample].extension), sample, described=True)

    async def send_unreadable(self) -> None:
        """A record that is no event, out of turn."""
        async with self._turn:
            await self._unreadable()

    async def renormalize(self, preview: UUID) -> None:
        """A request for a preview, out of turn."""
        async with self._turn:
            await self._renormalize(self.truth_of(preview), Priority.SINGLE)

    def truth_of(self, preview: UUID) -> Truth:
        """What the studio knows of a preview."""
        return next(truth for truth in self.previews if truth.id == preview)

    def _new(self, step: Step) -> Truth:
        assert step.previews == (len(self._planned),)
        truth = self._another(self._samples[step.sample].extension if step.sample else "mp4")
        self._planned.append(truth)
        return truth

    def _another(self, extension: str) -> Truth:
        truth = Truth(next(self._ids), extension)
        self.previews.append(truth)
        return truth

    async def _upload(self, truth: Truth, sample: str | None, *, described: bool) -> None:
        source = await self._store(truth, self._samples[sample]) if sample else None
        event = self._uploaded(truth, source if described else None)
        truth.absent = truth.absent or sample is None
        await self._send(event, "upload")
        self._counts(truth, event, sample)

    async def _swapped(self, truth: Truth, sample: str | None) -> None:
        """The event of an older upload comes after that of a newer one."""
        assert sample
        source = await self._store(truth, self._samples[sample])
        older, newer = self._uploaded(truth, None), self._uploaded(truth, source)
        await self._send(newer, "upload")
        self._counts(truth, newer, sample)
        await self._send(older, "upload")

    def _uploaded(self, truth: Truth, source: Source | None) -> PreviewUploaded:
        truth.uploads += 1
        truth.undescribed = truth.undescribed or source is None
        return PreviewUploaded(
            preview_file_id=truth.id,
            extension=truth.extension,
            uploaded_at=datetime.now(UTC),
            source=source,
            upload_generation=truth.uploads,
        )

    def _counts(self, truth: Truth, event: PreviewUploaded, sample: str | None) -> None:
        assert event.upload_generation
        content = self._samples[sample] if sample else None
        if content:
            truth.contents[event.upload_generation] = content.sha256
        truth.current = Upload(event.upload_generation, event.uploaded_at, content)
        truth.deleted_at = None

    async def _store(self, truth: Truth, sample: Sample) -> Source:
        bucket, prefix = ("pictures", "original") if truth.extension == "png" else ("movies", "source")
        key, content = f"{prefix}-{truth.id}", sample.path.read_bytes()
        answer = await self._s3.put_object(Bucket=f"{self._stage.name}-{bucket}", Key=key, Body=content)
        etag = answer["ETag"].strip('"')
        return Source.model_validate(
            {"bucket": bucket, "key": key, "bytes": len(content), "etag": etag, "sha256": sample.sha256}
        )

    async def _renormalize(self, truth: Truth, priority: Priority) -> None:
        await self._send(
            RenormalizeRequested(
                preview_file_id=truth.id, reason="faults", requested_by="the conductor", priority=priority
            ),
            "renormalize",
        )

    async def _delete(self, truth: Truth) -> None:
        if truth.deleted_at is None:
            event = PreviewDeleted(preview_file_id=truth.id, deleted_at=datetime.now(UTC))
            await self._send(event, "delete")
            truth.deleted_at = event.deleted_at
            truth.was_deleted = True

    async def _unreadable(self) -> None:
        event_id = str(uuid4())
        record = Accepted(
            event_id, "unreadable", None, "preview-uploaded", event_id.encode(), b'{"no": "event"}', (("ce_id", b"x"),)
        )
        await self._send_record(record)
        self.accepted.append(record)

    async def _send(self, event: Event, kind: str) -> None:
        envelope = Envelope(event, source=SOURCE)
        record = Accepted(
            envelope.event_id,
            kind,
            event.preview_file_id,
            envelope.topic,
            envelope.key(),
            envelope.value(),
            tuple(envelope.headers()),
        )
        await self._send_record(record)
        self.accepted.append(record)

    async def _send_record(self, record: Accepted) -> None:
        """Send until the broker acknowledges; the same id each time."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                await self._producer.send_and_wait(
                    self._stage.prefix + record.topic, key=record.key, value=record.value, headers=list(record.headers)
                )
            except KafkaError:
                assert time.monotonic() < deadline, "the broker takes nothing"
                await asyncio.sleep(0.5)
            else:
                return

    async def send_again(self, records: list[Accepted]) -> None:
        """Records that were sent before, in a given order."""
        async with self._turn:
            for record in records:
                await self._send_record(record)

    async def send_status(self, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """A record on the topic of statuses, as a mirror that starts anew might write it."""
        await self._send_record(Accepted("", "mirrored", None, "status-changed", key, value, tuple(headers)))


@asynccontextmanager
async def open_studio(stage: Stage, samples: Mapping[str, Sample], previews: Iterator[UUID]) -> AsyncIterator[Studio]:
    """A studio that reaches the servers directly."""
    producer = AIOKafkaProducer(bootstrap_servers=stage.servers.kafka.bootstrap_servers, acks="all")
    await producer.start()
    try:
        async with s3_client(stage) as s3:
            yield Studio(stage, samples, producer, s3, previews)
    finally:
        await producer.stop()

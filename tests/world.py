"""One test's own corner of the shared servers, and what tests do there."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from rushes_embedded.broker import Broker, Topic
from rushes_embedded.leash import Leash
from rushes_embedded.ports import free_ports
from rushes_embedded.stack import Stack
from rushes_embedded.studio import command_of
from rushes_normalizer.kinds import UploadKind
from rushes_normalizer.previews import SCHEMA as NORMALIZER_SCHEMA
from rushes_normalizer.publish import store_upload
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.database import Database
from rushes_runtime.kafka import COMPACTED, KEPT_A_MONTH
from rushes_runtime.service import Role
from rushes_runtime.settings import nest_variables
from rushes_runtime.store import Store, open_store, place_sentinels
from rushes_schemas import Envelope, Event, PreviewUploaded, Source, StatusChanged, object_key
from rushes_schemas.outputs import BUCKETS, ObjectKind
from rushes_syncer.settings import SyncerSettings
from rushes_syncer.sites import SCHEMA as SYNCER_SCHEMA

from tests.databases import create_migrated_database
from tests.pace import pace

Answer = TypeVar("Answer")
_numbers = count(1)
PATIENCE = 120.0 * pace()  # seconds

TOPICS = {
    "preview-uploaded": {**KEPT_A_MONTH, "max.message.bytes": str(4 * 1024 * 1024)},
    "renormalize-requested": KEPT_A_MONTH,
    "status-changed": COMPACTED,
    "normalizer.dead-letters": KEPT_A_MONTH,
    "files-synced": KEPT_A_MONTH,
    "syncer.dead-letters": KEPT_A_MONTH,
}


async def eventually(look: Callable[[], Awaitable[Answer]], until: Callable[[Answer], bool] = bool) -> Answer:
    """Look again and again until the answer is as wanted; the answer. Fails after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not until(answer := await look()):
        assert time.monotonic() < deadline, f"still {answer!r}"
        await asyncio.sleep(0.05)
    return answer


@dataclass
class World:
    """Settings as environment variables, and shortcuts to the servers behind them."""

    broker: Broker
    folder: Path
    prefix: str
    environment: dict[str, str]
    processes: list[Leash] = field(default_factory=list)

    @classmethod
    def make(cls, stack: Stack, broker: Broker, folder: Path, *, migrated: bool = True) -> World:
        """Create topics and a database; with `migrated`, the database has the newest schemas of all services."""
        name = f"t{os.getpid()}-{next(_numbers)}"
        prefix = f"{name}."
        broker.ensure_topics(
            [Topic(prefix + topic, config=config if broker.supports.admin else {}) for topic, config in TOPICS.items()]
        )
        database = name.replace("-", "_")
        create = stack.postgres.create_database
        environment = {
            "INSTANCE": name,
            "DATABASE_URL": create_migrated_database(stack.postgres, database, name) if migrated else create(database),
            "KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "KAFKA__CHECK_CRCS": str(broker.supports.check_crcs).lower(),
            "KAFKA__TOPIC_PREFIX": prefix,
            # A group's next member waits for it on the embedded broker; Apache Kafka allows no less than 6 s.
            "KAFKA__SESSION_TIMEOUT": "10" if broker.supports.several_members else str(2 * pace()),
            "STORE__KIND": "s3",
            "STORE__ENDPOINT_URL": stack.objects.endpoint_url,
            "STORE__ACCESS_KEY_ID": stack.objects.access_key_id,
            "STORE__SECRET_ACCESS_KEY": stack.objects.secret_access_key,
            "STORE__BUCKET_PREFIX": f"{name}-",
            "SITES__LYON__KIND": "local",
            "SITES__LYON__ROOT": str(folder / "lyon"),
            "SCRATCH": str(folder / "scratch"),
            "OPERATIONS_PORT": "0",
            "MISSING_CONFIRM_AFTER": "0.5",
            "HEARTBEAT": "0.3",
            "LEASE": str(3 * pace()),
            "POLL_INTERVAL": "0.1",
            "JANITOR_INTERVAL": "0.3",
            "RETRY_FIRST_WAIT": "0.2",
            "STORE_PROBE_FIRST_WAIT": "0.2",
            "DEFAULT_HEIGHT": "180",
            "LOG_FORMAT": "json",
        }
        return cls(broker, folder, prefix, environment)

    def with_settings(self, **settings: str) -> World:
        """The same world with other settings."""
        return World(self.broker, self.folder, self.prefix, {**self.environment, **settings}, self.processes)

    def normalizer_settings(self) -> NormalizerSettings:
        return NormalizerSettings(**nest_variables(self.environment))

    def syncer_settings(self) -> SyncerSettings:
        return SyncerSettings(**nest_variables(self.environment))

    @asynccontextmanager
    async def normalizer_database(self) -> AsyncIterator[Database]:
        """The normalizer's database.

        A transaction of the test's process may last for a minute: on a busy machine it stands still for longer than
        the lease is short.
        """
        settings = self.normalizer_settings()
        database = Database(settings.read_database_url, NORMALIZER_SCHEMA)
        try:
            yield database
        finally:
            await database.close()

    @asynccontextmanager
    async def syncer_database(self) -> AsyncIterator[Database]:
        """The syncer's database; for a transaction that lasts, as the normalizer's."""
        settings = self.syncer_settings()
        database = Database(settings.read_database_url, SYNCER_SCHEMA)
        try:
            yield database
        finally:
            await database.close()

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The main store, with sentinels."""
        settings = self.normalizer_settings()
        async with open_store(settings.store) as opened:
            await _set_up(opened, settings.instance)
            yield opened

    async def prepare(self) -> None:
        """What `migrate --store` of both services makes, without the seconds that each command takes to start."""
        async with self.normalizer_database(), self.syncer_database(), self.store():
            for site in self.syncer_settings().sites.values():
                async with open_store(site) as opened:
                    await _set_up(opened, self.environment["INSTANCE"])

    def producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(bootstrap_servers=self.broker.bootstrap_servers, acks="all", max_request_size=4_000_000)

    async def send(self, *events: Event, ids: Sequence[str] | None = None) -> list[str]:
        """Publish events as an upstream does; their event ids."""
        envelopes = [
            Envelope(event, source="/test", event_id=event_id)
            for event, event_id in zip(events, ids or [str(uuid4()) for _ in events], strict=True)
        ]
        async with self.producer() as producer:
            for envelope in envelopes:
                await producer.send_and_wait(
                    self.prefix + envelope.topic,
                    key=envelope.key(),
                    value=envelope.value(),
                    headers=envelope.headers(),
                )
        return [envelope.event_id for envelope in envelopes]

    async def upload_all(self, count: int, movie: Path) -> list[PreviewUploaded]:
        """Store a movie for each of so many previews, and publish their uploads; the events."""
        events = [upload() for _ in range(count)]
        async with self.store() as store:
            for event in events:
                await put_source(store, event.preview_file_id, movie)
        await self.send(*events)
        return events

    async def records(self, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
        """All committed records of a topic, by partition and offset."""
        consumer = AIOKafkaConsumer(
            self.prefix + topic,
            bootstrap_servers=self.broker.bootstrap_servers,
            isolation_level="read_committed",
            check_crcs=self.broker.supports.check_crcs,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            partitions = consumer.assignment()
            ends = await consumer.end_offsets(partitions)
            found: list[ConsumerRecord[bytes, bytes]] = []
            deadline = time.monotonic() + PATIENCE
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                assert time.monotonic() < deadline, "records do not come"
                batches = await consumer.getmany(timeout_ms=200)
                found += [record for batch in batches.values() for record in batch]
            return sorted(found, key=lambda record: (record.partition, record.offset))
        finally:
            await consumer.stop()

    async def statuses(self, preview_file_id: UUID) -> list[StatusChanged]:
        """The status changes of a preview, in order."""
        return [
            StatusChanged.model_validate_json(record.value)
            for record in await self.records("status-changed")
            if record.key == str(preview_file_id).encode() and record.value
        ]

    def process(self, service: str, *arguments: str, log: str = "service", **settings: str) -> Leash:
        """A started process of a service."""
        environment = {**os.environ, **self.environment, **settings}
        leash = Leash([*command_of(service), *arguments], log=self.folder / f"{log}.log", env=environment)
        leash.start()
        self.processes.append(leash)
        return leash

    async def command(self, service: str, *arguments: str, **settings: str) -> tuple[int, str, str]:
        """Run a command to its end: exit code, stdout, stderr."""
        environment = {**os.environ, "COLUMNS": "200", **self.environment, **settings}
        process = await asyncio.create_subprocess_exec(
            *command_of(service),
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def stop_processes(self) -> None:
        """End what `process` started."""
        for leash in self.processes:
            leash.stop()
        self.processes.clear()

    def discard(self, stack: Stack) -> None:
        """End its processes and drop its database."""
        self.stop_processes()
        stack.postgres.drop_database(self.environment["INSTANCE"].replace("-", "_"))


async def _set_up(store: Store, instance: str) -> None:
    """Place the sentinels of all buckets at once: SeaweedFS waits at the first write to each."""
    await asyncio.gather(*(place_sentinels(store, [bucket], instance) for bucket in BUCKETS))


def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports(1)[0]


@asynccontextmanager
async def playing(*roles: Role) -> AsyncIterator[None]:
    """Roles that run while the block does; a role that fails, fails the test."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(role.run(stop)) for role in roles]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def upload(preview_file_id: UUID | None = None, **fields: Any) -> PreviewUploaded:
    """A valid upload event."""
    values: Mapping[str, Any] = {
        "preview_file_id": preview_file_id or uuid4(),
        "extension": "mp4",
        "uploaded_at": datetime.now(UTC),
        **fields,
    }
    return PreviewUploaded.model_validate(values)


async def put_source(store: Store, preview_file_id: UUID, path: Path) -> Source:
    """Store a file as a movie's source."""
    return await store_upload(store, path, preview_file_id, "mp4", UploadKind.MOVIE)


def source_key(preview_file_id: UUID) -> str:
    """The key of a movie's source."""
    return object_key(ObjectKind.SOURCE_MOVIE, preview_file_id)

"""The bus client: aiokafka, configured once for all services."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, TopicAlreadyExistsError, for_code

from rushes_runtime.settings import KafkaSettings

log = structlog.get_logger(__name__)

DAY_MS: Final = 24 * 3600 * 1000

# The latest record of a key is the current state of its preview, so the topic is compacted. Tombstones live
# long enough for a site that was away a week.
COMPACTED: Final = {
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": str(3600 * 1000),
    "delete.retention.ms": str(7 * DAY_MS),
}
# Of a partition, before it is compressed: a batch costs the broker and us the same for one event of 3 kB as for fifty.
# With the default of 16 kB a transaction of the relay went as seven requests. A larger record goes alone.
_BATCH_BYTES: Final = 256 * 1024
_READ_PATIENCE: Final = 30.0  # seconds without a record before the end of a topic
_READ_RECORDS: Final = 1000
_GOODBYE: Final = 5.0  # seconds
_lingering: set[asyncio.Task[None]] = set()
KEPT_A_MONTH: Final = {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)}


class TopicsAbsentError(Exception):
    """The broker shows none of these topics; the text says what to do."""


def insist_on_topics(settings: KafkaSettings, wanted: Iterable[str], there: Collection[str], right: str) -> None:
    """A topic that is absent would be waited for in silence, or made by the broker with settings of its own.

    Args:
        wanted: with the prefix.
        there: what the broker shows to this user.
        right: beside Describe, that is needed: `Read` or `Write`.

    Raises:
        TopicsAbsentError: not all are there.
    """
    if absent := sorted(set(wanted) - set(there)):
        raise TopicsAbsentError(
            f"there is no topic {', '.join(absent)}, or none that {settings.sasl_username or 'this user'} may"
            f" see: create topics with `migrate --topics` of who writes them, or grant Describe and {right}"
        )


class CredentialFiles:
    """The files that a client of the bus was made with. A client keeps what it read, so a new one must take over."""

    def __init__(self, settings: KafkaSettings) -> None:
        given = (settings.sasl_password_file, settings.ssl_cafile, settings.ssl_certfile, settings.ssl_keyfile)
        self._files = [file for file in given if file]
        self._held = self._read()

    def changed(self) -> bool:
        """Whether they hold something else now. Files that cannot be read now change nothing."""
        return (now := self._read()) is not None and now != self._held

    def _read(self) -> list[bytes] | None:
        try:
            return [file.read_bytes() for file in self._files]
        except OSError:
            return None


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """Options that every client of the bus shares.

    Raises:
        aiokafka.errors.KafkaConnectionError: password or certificates cannot be read.
    """
    try:
        return _connection_options(settings)
    except OSError as error:  # a key that does not fit its certificate is one as well
        raise KafkaConnectionError(f"the credentials cannot be read: {error}") from error


def _connection_options(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.read_sasl_password()
    if settings.security_protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
        options["ssl_context"] = context
    return options


def make_consumer(settings: KafkaSettings, group: str | None, *topics: str) -> AIOKafkaConsumer:
    """A consumer of committed records that commits nothing by itself and starts at the earliest offset.

    Args:
        group: None: it reads all partitions by itself.
        topics: full names; without any, it is to subscribe to them.
    """
    return AIOKafkaConsumer(
        *topics,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_interval_ms=int(settings.max_poll_interval * 1000),
        session_timeout_ms=int(settings.session_timeout * 1000),
        heartbeat_interval_ms=int(settings.session_timeout * 1000 / 3),
        partition_assignment_strategy=(RangePartitionAssignor,),
        check_crcs=settings.check_crcs,
        fetch_max_wait_ms=200,
        **connection_options(settings),
    )


def make_producer(settings: KafkaSettings, transactional_id: str | None = None) -> AIOKafkaProducer:
    """An idempotent producer, transactional if it has an id."""
    return AIOKafkaProducer(
        acks="all",
        enable_idempotence=True,
        transactional_id=transactional_id,
        transaction_timeout_ms=30_000,
        compression_type="gzip",
        linger_ms=5,
        max_batch_size=_BATCH_BYTES,
        **connection_options(settings),
    )


async def part_with(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop a client, and wait for it a while only. It goes on in the background, or until the process ends.

    A consumer that joins its group cannot leave before the broker lets it in, which waits for every other member: for
    one that was killed or is paused, until its session ends.
    """
    stopping = asyncio.create_task(_stop(client))
    _lingering.add(stopping)
    stopping.add_done_callback(_lingering.discard)
    _, late = await asyncio.wait([stopping], timeout=_GOODBYE)
    if late:
        log.warning("kafka_client_lingers", client=type(client).__name__, seconds=_GOODBYE)


async def _stop(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    try:
        await client.stop()
    except KafkaError as error:
        log.warning("kafka_client_stopped", error=repr(error)[:500])


async def read_topic(settings: KafkaSettings, topic: str) -> AsyncIterator[list[ConsumerRecord[bytes, bytes]]]:
    """Every committed record that a topic holds now, in batches; each partition in order. No group, no commits.

    Args:
        topic: without the prefix.

    Raises:
        aiokafka.errors.KafkaError: the broker cannot be reached, or gives no more records before the end.
    """
    full_name = settings.topic_prefix + topic
    consumer = make_consumer(settings, None, full_name)
    await consumer.start()
    try:
        partitions = consumer.assignment()
        ends = await consumer.end_offsets(partitions)
        give_up = time.monotonic() + _READ_PATIENCE
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            batches = await consumer.getmany(timeout_ms=500, max_records=_READ_RECORDS)
            if batches:
                give_up = time.monotonic() + _READ_PATIENCE
            elif time.monotonic() > give_up:
                raise KafkaTimeoutError(f"{full_name} gives no records before its end: is a transaction open on it?")
            for records in batches.values():
                yield records
    finally:
        await consumer.stop()


async def create_topics(
    settings: KafkaSettings, topics: Mapping[str, Mapping[str, str]], *, partitions: int, replicas: int
) -> list[str]:
    """Create the topics that are not there yet; topics that are there stay as they are.

    Args:
        topics: names without the prefix, each with its configuration.

    Returns:
        The full names of the topics that were created.

    Raises:
        aiokafka.errors.KafkaError: the broker cannot be reached or refuses.
    """
    client = AIOKafkaAdminClient(**connection_options(settings))
    await client.start()
    try:
        response = await client.create_topics(
            [
                NewTopic(settings.topic_prefix + name, partitions, replicas, topic_configs=dict(config))
                for name, config in topics.items()
            ]
        )
    finally:
        await client.close()
    created = []
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code == 0:
            created.append(str(name))
        elif error is not TopicAlreadyExistsError:
            raise error(f"topic {name}: {rest[0] if rest else ''}")
    return created

"""Intake: records from the bus into the database, in milliseconds, exactly once.

Offsets are committed only after the transaction that took the records in; a record that comes again is
recognised by the inbox.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from rushes_schemas import Contract
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_runtime import metrics, outbox
from rushes_runtime.database import Database, after_commit, error_text, is_away, is_refused_data
from rushes_runtime.envelopes import REASONS, Received, UnreadableError, read_event, trace_of
from rushes_runtime.health import Health
from rushes_runtime.kafka import CredentialFiles, TopicsAbsentError, insist_on_topics, make_consumer, part_with
from rushes_runtime.settings import KafkaSettings
from rushes_runtime.waiting import wait_or_stop

log = structlog.get_logger(__name__)

Record: TypeAlias = ConsumerRecord[bytes, bytes]

# Taking in: an event's first arrival inserts its row; a repetition finds it there.
_TAKE_IN: Final = text("""
    INSERT INTO inbox (consumer, source, event_id)
    SELECT :consumer, source, event_id
    FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS new (source, event_id)
    ON CONFLICT DO NOTHING
    RETURNING source, event_id""")


# Two lanes keep one core busy with Python and another with SQL; more would only wait for the first.
_LANES: Final = 2
_WORTH_LANES: Final = 50
_JOINING: Final = 1.0  # seconds that a poll may take before the group counts as being joined


class EventHandler(Protocol):
    """What a service does with its events."""

    async def handle(self, connection: AsyncConnection, events: Sequence[Received]) -> list[Refused]:
        """Write what follows from new events, in the given transaction, in order.

        It may be called again before it has returned, with events of other previews in another transaction.

        Returns:
            The events that it refuses, with the reason; they go to the dead-letter topic.
        """
        ...


Refused = tuple[Received, UnreadableError]


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Counts and logs assignments."""

    def __init__(self, group: str, joined: Callable[[], None]) -> None:
        self._group = group
        self._joined = joined

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        metrics.PARTITIONS.labels(self._group).set(0)

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        metrics.REBALANCES.labels(self._group).inc()
        metrics.PARTITIONS.labels(self._group).set(len(assigned))
        self._joined()
        log.info("partitions_assigned", group=self._group, partitions=len(assigned))


class Intake:
    """One consumer of one group."""

    def __init__(
        self,
        *,
        service: str,
        group: str,
        kafka: KafkaSettings,
        contracts: Mapping[str, Sequence[Contract]],
        database: Database,
        handler: EventHandler,
        health: Health,
        took_in: Callable[[], None],
        tombstones: bool = False,
        polled: Callable[[AIOKafkaConsumer], Awaitable[None]] | None = None,
    ) -> None:
        """
        Args:
            polled: awaited after each poll, when what it gave is taken in; it raises nothing.
            tombstones: records without a value are the end of a key, and nothing to do; else they are refused.
            service: names the dead-letter topic.
            contracts: the events that may come, by topic without the prefix.
            took_in: called after each batch, to wake workers and relay in this process.
        """
        self._service = service
        self._group = group
        self._kafka = kafka
        self._contracts = {kafka.topic_prefix + topic: events for topic, events in contracts.items()}
        self._database = database
        self._handler = handler
        self._health = health
        self._took_in = took_in
        self._tombstones = tombstones
        self._polled = polled
        self._name = f"intake {group}"
        health.to_join.add(group)
        # From the start, so that the first of a kind is seen as one more.
        metrics.COMMIT_FAILURES.labels(group)
        for topic in self._contracts:
            for reason in REASONS:
                metrics.DEAD_LETTERS.labels(topic, reason)

    async def run(self, stop: asyncio.Event) -> None:
        """Take records in until `stop`. Brokers and databases that are away are waited for."""
        try:
            while not stop.is_set():
                try:
                    await self._follow(stop)
                except TopicsAbsentError as error:
                    await self._wait(str(error), stop)
                except KafkaError as error:
                    await self._wait(repr(error), stop)
                except asyncio.CancelledError:
                    current = asyncio.current_task()
                    if current is None or current.cancelling():
                        raise
                    # Not ours: aiokafka has cancelled what it waited for itself, as its broker went away.
                    await self._wait("the consumer has given up", stop)
        finally:
            self._health.ended(self._name)

    async def _wait(self, why: str, stop: asyncio.Event) -> None:
        self._health.waiting_for[self._name] = f"Kafka: {why}"
        log.warning("kafka_away", group=self._group, error=why)
        self._beat()
        await wait_or_stop(stop, 2)

    async def _follow(self, stop: asyncio.Event) -> None:
        """Take records in by one consumer, until `stop` or until its credentials are no longer those that are given."""
        credentials = CredentialFiles(self._kafka)
        consumer = make_consumer(self._kafka, self._group)
        try:
            await consumer.start()
            insist_on_topics(self._kafka, self._contracts, await consumer.topics(), "Read")
            consumer.subscribe(list(self._contracts), listener=_Rebalances(self._group, self._joined))
            self._health.waiting_for[self._name] = "Kafka: the consumer group is not joined yet"
            await self._consume(consumer, credentials, stop)
        finally:
            await part_with(consumer)

    def _joined(self) -> None:
        self._health.to_join.discard(self._group)
        self._health.waiting_for.pop(self._name, None)

    def _beat(self) -> None:
        self._health.beat(self._name, within=self._kafka.max_poll_interval)

    async def _consume(self, consumer: AIOKafkaConsumer, credentials: CredentialFiles, stop: asyncio.Event) -> None:
        self._beat()
        while not stop.is_set():
            if credentials.changed():
                log.info("kafka_credentials_changed", group=self._group)
                return
            batches = await self._poll(consumer)
            if batches is None:
                continue  # no poll, and no beat: who never gets in is found by both
            self._beat()
            await self._measure_poll(consumer)
            records = [record for partition in batches.values() for record in partition]
            if records and await self._hold(records, stop):
                await self._commit(consumer, batches)
            elif records:
                self._seek_back(consumer, batches)
                continue
            if self._polled:
                await self._polled(consumer)

    async def _poll(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, list[Record]] | None:
        """A batch as large as what has been fetched allows: a transaction costs the same for one as for all.

        None: the group is being joined, which the client itself would wait for without end, and deaf to `stop`.
        """
        batches: dict[TopicPartition, list[Record]] = {}
        room, patience = self._kafka.batch_records, 500
        while room > 0:
            try:
                async with asyncio.timeout(_JOINING):
                    fetched = await consumer.getmany(timeout_ms=patience, max_records=room)
            except TimeoutError:
                return batches or None
            if not fetched:
                break
            for partition, records in fetched.items():
                batches.setdefault(partition, []).extend(records)
                room -= len(records)
            patience = 0
        return batches

    async def _hold(self, records: Sequence[Record], stop: asyncio.Event) -> bool:
        """Take a batch in, waiting for a database that is away. False: give it back to the bus."""
        give_up = time.monotonic() + self._kafka.max_poll_interval / 3
        wait = 0.2
        while True:
            try:
                await self.take_in(records)
            except Exception as error:
                if not is_away(error):
                    raise
                self._health.waiting_for[self._name] = f"PostgreSQL: {error!r:.200}"
                log.warning("database_away", group=self._group, error=repr(error)[:500], held=len(records))
                if time.monotonic() + wait > give_up or await wait_or_stop(stop, wait):
                    return False
                wait = min(wait * 2, 10)
            else:
                self._health.waiting_for.pop(self._name, None)
                self._took_in()
                return True

    async def take_in(self, records: Sequence[Record]) -> None:
        """Take a batch in: each event once, however often it comes.

        A large batch is written by several transactions at once, each with previews of its own, so that the database
        works on one while Python works on another. If one fails, the batch can be taken in again.
        """
        events, unreadable = self._read(records)
        first: dict[tuple[str, str], Received] = {}
        for event in events:
            first.setdefault((event.source, event.event_id), event)
        lanes: list[list[Received]] = [[] for _ in range(_LANES if len(first) >= _WORTH_LANES else 1)]
        for event in first.values():
            lanes[event.event.preview_file_id.int % len(lanes)].append(event)
        written = await asyncio.gather(*(self._write(lane) for lane in lanes if lane), return_exceptions=True)
        for result in written:
            if isinstance(result, BaseException):
                raise result
        if unreadable:  # last: a batch that is taken in again finds its events in the inbox, but not these
            async with self._database.begin() as connection:
                await self._bury(connection, unreadable)
        self._measure(records)
        log.debug("taken_in", records=len(records), events=len(first), unreadable=len(unreadable))

    def _read(self, records: Sequence[Record]) -> tuple[list[Received], list[tuple[Record, UnreadableError]]]:
        events: list[Received] = []
        unreadable: list[tuple[Record, UnreadableError]] = []
        for record in records:
            if record.value is None and self._tombstones:
                continue
            try:
                events.append(read_event(record, self._contracts[record.topic]))
            except UnreadableError as error:
                unreadable.append((record, error))
        return events, unreadable

    async def _write(self, events: Sequence[Received]) -> None:
        """Write events by one transaction, or by several if the database refuses some of them.

        Events that the database refuses for their data are halved until the bad one stands alone; that one goes to
        the dead-letter topic.
        """
        try:
            async with self._database.begin() as connection:
                new = await self._new(connection, events)
                refused = await self._handler.handle(connection, new) if new else []
                await self._bury(connection, [(event.record, why) for event, why in refused])
                after_commit(connection, lambda: self._count(events, new))
        except Exception as error:
            if not is_refused_data(error):
                raise
            log.warning("batch_refused", events=len(events), error=error_text(error))
            if len(events) > 1:
                middle = len(events) // 2
                await self._write(events[:middle])
                await self._write(events[middle:])
                return
            reason = UnreadableError("refused", error_text(error))
            async with self._database.begin() as connection:
                await self._bury(connection, [(events[0].record, reason)])

    def _count(self, events: Sequence[Received], new: Sequence[Received]) -> None:
        taken_in = Counter(event.record.topic for event in new)
        for topic, count in Counter(event.record.topic for event in events).items():
            metrics.EVENTS.labels(topic, "new").inc(taken_in[topic])
            metrics.EVENTS.labels(topic, "known").inc(count - taken_in[topic])

    async def _new(self, connection: AsyncConnection, events: Sequence[Received]) -> list[Received]:
        """The events that did not come before, in their order."""
        ordered = sorted((event.source, event.event_id) for event in events)
        result = await connection.execute(
            _TAKE_IN,
            {
                "consumer": self._group,
                "sources": [source for source, _ in ordered],
                "ids": [event_id for _, event_id in ordered],
            },
        )
        new = {(row.source, row.event_id) for row in result}
        return [event for event in events if (event.source, event.event_id) in new]

    async def _measure_poll(self, consumer: AIOKafkaConsumer) -> None:
        lag = dict.fromkeys(self._contracts, 0)
        for partition in consumer.assignment():
            end = consumer.last_stable_offset(partition)
            if end is not None:  # something was fetched, so the position is known without asking
                lag[partition.topic] += max(0, end - await consumer.position(partition))
        for topic, records in lag.items():
            metrics.CONSUMER_LAG.labels(self._group, topic).set(records)
            metrics.LAST_POLL.labels(self._group, topic).set_to_current_time()

    def _measure(self, records: Sequence[Record]) -> None:
        now = time.time()
        delays = {topic: metrics.RECORD_DELAY.labels(topic) for topic in self._contracts}
        for record in records:
            delays[record.topic].observe(max(0.0, now - record.timestamp / 1000))

    async def _bury(self, connection: AsyncConnection, dead: Sequence[tuple[Record, UnreadableError]]) -> None:
        for record, why in dead:
            after_commit(connection, metrics.DEAD_LETTERS.labels(record.topic, why.reason).inc)
            log.warning(
                "dead_letter",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=why.reason,
                detail=why.detail,
                traceparent=trace_of(record),
            )
        await outbox.put(connection, [outbox.dead_letter(self._service, record, why) for record, why in dead])

    async def _commit(self, consumer: AIOKafkaConsumer, batches: Mapping[TopicPartition, Sequence[Record]]) -> None:
        # After a rebalance some partitions are another member's; it meets our work in the inbox.
        assigned = consumer.assignment()
        offsets = {partition: records[-1].offset + 1 for partition, records in batches.items() if partition in assigned}
        try:
            if offsets:
                await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            metrics.COMMIT_FAILURES.labels(self._group).inc()
            log.warning("commit_failed", group=self._group, error=repr(error))

    def _seek_back(self, consumer: AIOKafkaConsumer, batches: Mapping[TopicPartition, Sequence[Record]]) -> None:
        assigned = consumer.assignment()
        for partition, records in batches.items():
            if partition in assigned:
                consumer.seek(partition, records[0].offset)

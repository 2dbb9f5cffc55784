"""Follows `status-changed`: one consumer a process, in no group, from the latest offsets on."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic_core import to_json
from rushes_runtime.envelopes import UnreadableError, read_event
from rushes_runtime.health import Health
from rushes_runtime.kafka import CredentialFiles, make_consumer, part_with
from rushes_runtime.settings import KafkaSettings
from rushes_runtime.waiting import wait_or_stop
from rushes_schemas import CONTRACTS, StatusChanged
from rushes_schemas.contracts import STATUS_CHANGED_TOPIC

from rushes_normalizer.api import metrics
from rushes_normalizer.api.history import Change, ChangeHistory

log = structlog.get_logger(__name__)

EVENT: Final = "status-changed"
_CONTRACTS: Final = [contract for contract in CONTRACTS if contract.topic == STATUS_CHANGED_TOPIC]
_WAIT: Final = 1.0  # seconds before another look for a broker that is away
_RECORDS: Final = 1000
_PULSE: Final = 60.0


class ChangeFollower:
    """Reads the topic into the history of this process.

    It begins as many records before the end as the history holds, so that clients of a process that ended can go on
    here. `caught_up` is set once it has come to what was the end then.
    """

    def __init__(
        self, kafka: KafkaSettings, history: ChangeHistory, *, keep: int, expose: bool, health: Health
    ) -> None:
        """
        Args:
            keep: changes that the history holds.
            expose: `EXPOSE_MISSING`.
        """
        self._kafka = kafka
        self._history = history
        self._keep = keep
        self._expose = expose
        self._health = health
        self.caught_up = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`. While no broker answers, streams are silent, and nothing is lost to them."""
        while not stop.is_set():
            self._health.beat("changes", within=_PULSE)
            try:
                await self._follow(stop)
            except KafkaError as error:
                log.warning("kafka_away", error=repr(error)[:500], topic=STATUS_CHANGED_TOPIC)
                await wait_or_stop(stop, _WAIT)
        self._health.ended("changes")

    async def _follow(self, stop: asyncio.Event) -> None:
        files = CredentialFiles(self._kafka)
        consumer = make_consumer(self._kafka, None, self._kafka.topic_prefix + STATUS_CHANGED_TOPIC)
        try:
            await consumer.start()
            ends: dict[TopicPartition, int] = {}
            while not (stop.is_set() or files.changed()):
                self._health.beat("changes", within=_PULSE)
                if new := consumer.assignment() - set(ends):
                    ends |= await self._begin(consumer, new)
                if not ends:  # the topic is not there yet
                    await wait_or_stop(stop, _WAIT)
                    continue
                batches = await consumer.getmany(timeout_ms=500, max_records=_RECORDS)
                for records in batches.values():
                    for record in records:
                        self._take(record)
                if batches:
                    self._history.passed_on()
                if not self.caught_up.is_set() and await _has_reached(consumer, ends):
                    self.caught_up.set()
                    log.info("changes_followed", partitions=len(ends))
            if not stop.is_set():
                log.info("kafka_credentials_changed", topic=STATUS_CHANGED_TOPIC)
        finally:
            await part_with(consumer)

    async def _begin(self, consumer: AIOKafkaConsumer, new: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Seek: on where this process was, or a share of the history before the end."""
        ends: dict[TopicPartition, int] = await consumer.end_offsets(new)
        begins = await consumer.beginning_offsets(new)
        share = self._keep // len(new)
        self._history.begin({each.partition: max(begins[each], ends[each] - share) for each in new})
        for each in new:
            consumer.seek(each, self._history.positions[each.partition])
        return ends

    def _take(self, record: ConsumerRecord[bytes, bytes]) -> None:
        if record.offset < self._history.positions[record.partition]:
            log.warning("topic_made_anew", partition=record.partition, offset=record.offset)
            self._history.forget({**self._history.positions, record.partition: record.offset})
        if record.value is None:  # a tombstone: that the preview is deleted was told long ago
            return
        try:
            event = read_event(record, _CONTRACTS).event
        except UnreadableError as error:
            log.warning("change_unreadable", partition=record.partition, offset=record.offset, reason=error.reason)
            metrics.CHANGES.labels("unreadable").inc()
            return
        assert isinstance(event, StatusChanged)
        metrics.CHANGES.labels("told").inc()
        marker = self._history.marker_after(record.partition, record.offset)
        data = to_json(event.exposed(expose_missing=self._expose)).decode()
        message = f"id: {marker}\nevent: {EVENT}\ndata: {data}\n\n".encode()
        self._history.add(Change(record.partition, record.offset, event.project_id, message))


async def _has_reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    """Whether a consumer has come to these offsets."""
    return all([await consumer.position(each) >= end for each, end in ends.items()])

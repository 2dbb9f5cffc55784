"""The relay: outbox rows onto the bus, in order, by one process at a time.

Each batch is one Kafka transaction under one transactional id, so that a twin which was paused and wakes up
is fenced by the broker. A crash between the commit and the mark sends a batch again, with the same event ids.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from rushes_runtime import metrics, outbox
from rushes_runtime.database import Database, is_away
from rushes_runtime.health import Health
from rushes_runtime.kafka import CredentialFiles, TopicsAbsentError, insist_on_topics, make_producer, part_with
from rushes_runtime.leases import RoleLease
from rushes_runtime.settings import KafkaSettings
from rushes_runtime.waiting import Hint, wait_or_stop

log = structlog.get_logger(__name__)

_BATCH_ROWS: Final = 500
_BATCH_BYTES: Final = 4_000_000
_STARTING: Final = 10.0  # seconds
_TOPICS_AGAIN: Final = 2.0  # seconds

# Unsent rows are found by their mark, never by a remembered id: ids are given before commits.
_UNSENT: Final = """
    SELECT id, topic, key, headers, value FROM (
        SELECT *, sum(coalesce(length(value), 0)) OVER (ORDER BY id) - coalesce(length(value), 0) AS before
        FROM (SELECT * FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT :rows) AS oldest
    ) AS counted WHERE before < :bytes ORDER BY id"""
_NEWEST: Final = "SELECT coalesce(max(id), 0) AS id FROM outbox WHERE sent_at IS NULL"
_MARK: Final = "UPDATE outbox SET sent_at = now() WHERE id = ANY(:ids) RETURNING id"


class Relay:
    """Sends what stands in the outbox."""

    def __init__(
        self,
        *,
        database: Database,
        kafka: KafkaSettings,
        lease: RoleLease,
        lease_seconds: float,
        transactional_id: str,
        poll_interval: float,
        health: Health,
    ) -> None:
        self._database = database
        self._kafka = kafka
        self._lease = lease
        self._lease_seconds = lease_seconds
        self._transactional_id = transactional_id
        self._poll_interval = poll_interval
        self._health = health
        self.hint = Hint()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop`, and then what stands in the outbox; stand by while another process relays."""
        try:
            stopping = False
            while not stopping:
                stopping = stop.is_set()  # one more look after `stop`: the drain may have written while we stood by
                self._beat()
                try:
                    if await self._lease.hold():
                        await self._lead(stop)
                except TopicsAbsentError as error:
                    log.warning("relay_waits_for_topics", error=str(error))
                    self._health.waiting_for["relay"] = f"Kafka: {error}"
                    stopping = stop.is_set()
                    await wait_or_stop(stop, _TOPICS_AGAIN)
                except KafkaError as error:
                    # ProducerFenced too: another process took over, or our own successor producer will.
                    log.warning("relay_lost_producer", error=repr(error))
                    stopping = stop.is_set()  # the next relay sends it, wherever that runs
                except Exception as error:
                    if not is_away(error):
                        raise
                    log.warning("relay_waits_for_database", error=repr(error)[:500])
                await wait_or_stop(stop, self._poll_interval)
            with suppress(Exception):  # the lease ends by itself
                await self._lease.give_back()
        finally:
            self._health.ended("relay")

    def _beat(self) -> None:
        self._health.beat("relay", within=120)

    async def _lead(self, stop: asyncio.Event) -> None:
        credentials = CredentialFiles(self._kafka)
        producer = make_producer(self._kafka, self._transactional_id)
        try:
            await self._start(producer)
            log.info("relay_leads", transactional_id=self._transactional_id)
            renewed = time.monotonic()
            seen: set[str] = set()  # topics
            last: int | None = None  # of what stood in the outbox at `stop`; what others write since is theirs to send
            while True:
                self._beat()
                if credentials.changed():
                    log.info("kafka_credentials_changed", transactional_id=self._transactional_id)
                    return
                if time.monotonic() - renewed > self._lease_seconds / 3:
                    if not await self._lease.hold():
                        log.info("relay_stands_by")
                        return
                    renewed = time.monotonic()
                if last is None and stop.is_set():
                    (newest,) = await self._database.fetch(_NEWEST)
                    last = newest.id
                rows = await self._database.fetch(_UNSENT, rows=_BATCH_ROWS, bytes=_BATCH_BYTES)
                if last is not None and (not rows or rows[0].id > last):
                    return
                if rows:
                    await self._look_for_topics(producer, rows, seen)
                    await self._send(producer, rows)
                else:
                    await self.hint.wait(stop, self._poll_interval)
        finally:
            await part_with(producer)

    async def _start(self, producer: AIOKafkaProducer) -> None:
        """The client would wait without end, and silently, for a broker that cannot end the last relay's transaction.

        Raises:
            KafkaError: the broker is away, or does not let us begin.
        """
        try:
            async with asyncio.timeout(_STARTING):
                await producer.start()
        except TimeoutError:
            raise KafkaTimeoutError(f"{self._transactional_id} could not begin within {_STARTING:.0f} s") from None

    async def _look_for_topics(self, producer: AIOKafkaProducer, rows: list[Any], seen: set[str]) -> None:
        """Look once for each topic of these rows. Rows leave in order, so all wait for one whose topic is not there."""
        wanted = {self._kafka.topic_prefix + row.topic for row in rows}
        if wanted <= seen:
            return
        there = (await producer.client.fetch_all_metadata()).topics()
        insist_on_topics(self._kafka, wanted, there, "Write")
        seen |= wanted
        self._health.waiting_for.pop("relay", None)

    async def _send(self, producer: AIOKafkaProducer, rows: list[Any]) -> None:
        async with producer.transaction():
            deliveries = [
                await producer.send(
                    self._kafka.topic_prefix + row.topic,
                    value=row.value,
                    key=row.key,
                    headers=outbox.unpack_headers(row.headers),
                )
                for row in rows
            ]
            await asyncio.gather(*deliveries)
        await self._database.fetch(_MARK, ids=[row.id for row in rows])
        for row in rows:
            metrics.OUTBOX_SENT.labels(row.topic).inc()
        log.debug("relayed", records=len(rows))

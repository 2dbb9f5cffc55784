"""How far a site has come: a new one is bootstrapped once it is past where the topic ended when it was first seen.

It is one consumer group more, from the earliest record: nothing but this watches a new site otherwise than an old one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from rushes_runtime.database import Database, is_away
from sqlalchemy import text

from rushes_syncer import site_states

log = structlog.get_logger(__name__)

_LOOK_EVERY: Final = 1.0  # seconds, while it is new
MARK_EVERY: Final = 60.0  # seconds between marks that the site is there
_TELL_EVERY: Final = 30.0  # seconds between lines of progress

_RECORD: Final = text("""
    INSERT INTO site_partition (site, partition, end_offset, passed)
    SELECT :site, partition, end_offset, end_offset = 0
    FROM unnest(CAST(:partitions AS int[]), CAST(:ends AS bigint[])) AS new (partition, end_offset)
    ON CONFLICT DO NOTHING""")
_LEFT: Final = "SELECT partition, end_offset FROM site_partition WHERE site = :site AND NOT passed"
_IS_RECORDED: Final = "SELECT 1 FROM site_partition WHERE site = :site LIMIT 1"
_PASSED: Final = """
    UPDATE site_partition SET passed = true WHERE site = :site AND partition = ANY(:partitions) RETURNING partition"""


class Bootstrap:
    """Watches the intake of one site; many processes may, each for its own partitions."""

    def __init__(self, site: str, database: Database) -> None:
        self._site = site
        self._database = database
        self._bootstrapped = False
        self._was_new = False
        self._look_at = self._mark_at = self._tell_at = 0.0

    async def polled(self, consumer: AIOKafkaConsumer) -> None:
        """After a poll whose records are taken in. What is away is looked for again at the next poll."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY
        try:
            await self._look(consumer, now)
        except KafkaError as error:
            log.warning("bootstrap_waits_for_kafka", site=self._site, error=repr(error))
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("bootstrap_waits_for_database", site=self._site, error=repr(error)[:500])

    async def _look(self, consumer: AIOKafkaConsumer, now: float) -> None:
        if now >= self._mark_at:
            async with self._database.begin() as connection:
                self._bootstrapped = await site_states.mark_there(connection, self._site)
            self._mark_at = now + MARK_EVERY
        if not self._bootstrapped:
            self._was_new = True
            self._bootstrapped = await self._has_passed(consumer)
        if self._was_new and now >= self._tell_at:
            await self._tell()
            self._tell_at = now + _TELL_EVERY

    async def _has_passed(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether all partitions are past their ends, by this process and others."""
        if not await self._database.fetch(_IS_RECORDED, site=self._site):
            await self._record_ends(consumer)
        left = {row.partition: row.end_offset for row in await self._database.fetch(_LEFT, site=self._site)}
        if passed := await _passed(consumer, left):
            await self._database.fetch(_PASSED, site=self._site, partitions=passed)
        if len(passed) < len(left):
            return False
        async with self._database.begin() as connection:
            await site_states.bootstrapped(connection, self._site)
        log.info("site_bootstrapped", site=self._site)
        return True

    async def _record_ends(self, consumer: AIOKafkaConsumer) -> None:
        (topic,) = consumer.subscription()
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends = await consumer.end_offsets(partitions)
        async with self._database.begin() as connection:
            values = {
                "site": self._site,
                "partitions": [each.partition for each in partitions],
                "ends": [ends[each] for each in partitions],
            }
            await connection.execute(_RECORD, values)

    async def _tell(self) -> None:
        async with self._database.begin() as connection:
            progress = await site_states.progress(connection, self._site)
        self._was_new = not (self._bootstrapped and progress.waiting == 0)
        log.info(
            "bootstrap_progress",
            site=self._site,
            bootstrapped=self._bootstrapped,
            previews=progress.previews,
            of_previews=progress.wanted_previews,
            bytes=progress.bytes,
            of_bytes=progress.wanted_bytes,
            seconds_left=progress.seconds_left,
        )


async def _passed(consumer: AIOKafkaConsumer, ends: Mapping[int, int]) -> list[int]:
    """Which of these partitions this consumer is past the end of."""
    return [
        each.partition
        for each in consumer.assignment()
        # Something was fetched, so the position is known without asking.
        if each.partition in ends
        and consumer.last_stable_offset(each) is not None
        and await consumer.position(each) >= ends[each.partition]
    ]

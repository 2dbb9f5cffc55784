"""Waiting, for a bounded time, until nothing is left to be done."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.bench.saying import say
from tests.faults.at_sites import unfinished
from tests.faults.plan import SITES
from tests.faults.stage import DATABASE_AWAY, Stage
from tests.faults.violations import Violation
from tests.pace import pace

PATIENCE: Final = 150.0 * pace()  # seconds in which nothing ends
_STILL: Final = 3  # looks in a row that find nothing to do

# What is still to be done, by name; $1 is a site whose store is dead.
_OPEN: Final = """
    SELECT
        (SELECT count(*) FROM normalizer.task WHERE state IN ('queued', 'running')) AS jobs,
        (SELECT count(*) FROM normalizer.request WHERE outcome IS NULL) AS requests,
        (SELECT count(*) FROM normalizer.preview_file WHERE status = 'processing' AND deleted_at IS NULL) AS processing,
        (SELECT count(*) FROM normalizer.preview_file
         WHERE deleted_at IS NOT NULL AND (purged_at IS NULL OR tombstone_at IS NULL)) AS deletions,
        (SELECT count(*) FROM normalizer.outbox WHERE sent_at IS NULL) AS unsent,
        (SELECT count(*) FROM syncer.task WHERE state IN ('queued', 'running')
            AND split_part(subject, '/', 1) IS DISTINCT FROM $1) AS copies,
        (SELECT count(*) FROM syncer.outbox WHERE sent_at IS NULL) AS unsent_by_syncer,
        (SELECT count(*) FROM normalizer.preview_file AS row CROSS JOIN unnest($2::text[]) AS named (site)
         LEFT JOIN syncer.site_preview AS seen ON seen.preview_file_id = row.id AND seen.site = named.site
         WHERE seen.version IS DISTINCT FROM row.version) AS unheard_by_sites"""


async def settle(stage: Stage, patience: float = PATIENCE, *, dead: str | None = None) -> list[Violation]:
    """Wait until nothing is open; what is still open after `patience` seconds in which nothing ended, as violations.

    On a busy machine all takes its time; what is stuck is the last that is left.

    Args:
        dead: a site of which the store is dead: its copies may wait.
    """
    began = said = moved = time.monotonic()
    still, before, fewest = 0, -1, sys.maxsize
    left: dict[str, int] = {}
    while time.monotonic() - moved < patience:
        try:
            # Records that nobody has taken in yet leave no row: they are seen by the lag of the groups.
            (counts,) = await stage.query(_OPEN, dead, list(SITES))
            left = {**counts, "not_taken_in": await _lag(stage), "begun_at_sites": await _begun(stage, dead)}
        except (*DATABASE_AWAY, KafkaException):
            pass  # a restart that just ended
        else:
            still = still + 1 if not any(left.values()) else 0
            if still >= _STILL:
                return []
            if sum(left.values()) < fewest:
                moved, fewest = time.monotonic(), sum(left.values())
        if time.monotonic() - said > 5 and sum(left.values()) != before:
            said, before = time.monotonic(), sum(left.values())
            listed = ", ".join(f"{name} {count}" for name, count in left.items() if count)
            say(f"{said - began:6.1f} s  open: {listed}")
        await asyncio.sleep(0.5)
    return [
        Violation("stuck", "settling", "any", f"{count} {name} though nothing ended for {patience:.0f} s")
        for name, count in left.items()
        if count
    ]


async def _begun(stage: Stage, dead: str | None) -> int:
    """What copies have begun at sites and not ended; what a killed one left goes after a while."""
    return sum([len(await unfinished(stage, site)) for site in SITES if site != dead])


async def _lag(stage: Stage) -> int:
    """Records of the studio that the normalizers have not taken in; the site's are seen by its rows."""
    return await asyncio.to_thread(
        _lag_of, stage, f"{stage.name}.normalizer", ["preview-uploaded", "renormalize-requested"]
    )


def _lag_of(stage: Stage, group: str, topics: list[str]) -> int:
    """A group's lag, counted without joining it."""
    consumer = Consumer({"bootstrap.servers": stage.servers.kafka.bootstrap_servers, "group.id": group, "log_level": 0})
    try:
        lag = 0
        for topic in topics:
            found = consumer.list_topics(stage.prefix + topic, timeout=10).topics[stage.prefix + topic]
            places = [TopicPartition(stage.prefix + topic, number) for number in found.partitions]
            for place in consumer.committed(places, timeout=10):
                low, high = consumer.get_watermark_offsets(place, timeout=10)
                lag += high - (place.offset if place.offset >= 0 else low)
        return lag
    finally:
        consumer.close()

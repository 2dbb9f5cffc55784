"""The intake as `rushes-normalizer run --roles intake` has it, with a clock."""

from __future__ import annotations

import asyncio
import cProfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC, UploadIntake
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake, Record
from rushes_runtime.logs import configure_logs
from rushes_runtime.service import spare_the_garbage_collector


class ClockedIntake(Intake):
    """Notes when the first record was taken and when the last offset was committed, and then stops."""

    began = 0.0
    ended = 0.0
    missing = 0
    stop: asyncio.Event

    async def take_in(self, records: Sequence[Record]) -> None:
        self.began = self.began or time.perf_counter()
        await super().take_in(records)

    async def _commit(self, consumer: AIOKafkaConsumer, batches: Mapping[TopicPartition, Sequence[Record]]) -> None:
        await super()._commit(consumer, batches)
        self.ended = time.perf_counter()
        self.missing -= sum(len(records) for records in batches.values())
        if self.missing <= 0:
            self.stop.set()


def run(settings: NormalizerSettings, group: str, events: int, profile: Path | None) -> float:
    """Seconds from the first record taken to the last offset committed. Its database is migrated and empty."""
    configure_logs("warning", "json")
    if profile is None:
        return asyncio.run(_run(settings, group, events))
    profiler = cProfile.Profile()
    try:
        return profiler.runcall(asyncio.run, _run(settings, group, events))
    finally:
        profiler.dump_stats(profile)


async def _run(settings: NormalizerSettings, group: str, events: int) -> float:
    database = Database.of(settings, SCHEMA)
    intake = ClockedIntake(
        service="normalizer",
        group=group,
        kafka=settings.kafka,
        contracts=CONTRACTS_BY_TOPIC,
        database=database,
        handler=UploadIntake(settings),
        health=Health(),
        took_in=lambda: None,
    )
    intake.missing, intake.stop = events, asyncio.Event()
    spare_the_garbage_collector()
    try:
        await intake.run(intake.stop)
    finally:
        await database.close()
    return intake.ended - intake.began

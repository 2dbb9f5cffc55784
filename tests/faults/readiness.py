"""Waiting until every service takes part: a fault that meets a process which only starts shows little."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Final

import aiohttp
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from tests.faults.plan import NORMALIZERS, SITES
from tests.faults.stage import Stage
from tests.pace import pace

_PATIENCE: Final = 180.0 * pace()  # seconds: on a busy machine six processes and three groups take their time
_LOOK_EVERY: Final = 0.3
_READY: Final = 2  # looks in a row: a process that has just started joins its group a moment later


async def until_ready(stage: Stage) -> None:
    """Wait until every process has started, and reads its share of the topics."""
    groups = {f"{stage.name}.normalizer": len(NORMALIZERS)}
    groups |= {f"{stage.name}.syncer.{site}": 1 for site in SITES}
    broker = AdminClient({"bootstrap.servers": stage.servers.kafka.bootstrap_servers, "log_level": 0})
    deadline = time.monotonic() + _PATIENCE
    ready = 0
    while ready < _READY:
        assert time.monotonic() < deadline, f"not all services were up within {_PATIENCE:.0f} s"
        await asyncio.sleep(_LOOK_EVERY)
        up = await _have_started(stage.operations.values()) and await asyncio.to_thread(_have_members, broker, groups)
        ready = ready + 1 if up else 0


async def _have_started(addresses: Iterable[str]) -> bool:
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) as session:
            for address in addresses:
                async with session.get(f"{address}/startupz") as answer:
                    if not answer.ok:
                        return False
    except (aiohttp.ClientError, TimeoutError):
        return False
    return True


def _have_members(broker: AdminClient, groups: Mapping[str, int]) -> bool:
    """Whether each group is stable and has so many members, each with partitions."""
    try:
        found = {name: answer.result() for name, answer in broker.describe_consumer_groups(list(groups)).items()}
    except KafkaException:
        return False
    return all(
        found[name].state == ConsumerGroupState.STABLE
        and sum(bool(member.assignment.topic_partitions) for member in found[name].members) == wanted
        for name, wanted in groups.items()
    )

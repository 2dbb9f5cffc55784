"""A service that is told to stop does not wait for what a broker keeps from it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import psutil
import pytest
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC, group_of

from tests.integration.normalizer.processes import control, normalizers
from tests.pace import pace
from tests.world import World, eventually

# Another member of the group, which says when it has joined.
_MEMBER = """
import asyncio, sys
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

async def main():
    servers, group, *topics = sys.argv[1:]
    consumer = AIOKafkaConsumer(
        *topics, bootstrap_servers=servers, group_id=group, session_timeout_ms=45_000, max_poll_interval_ms=300_000,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )
    await consumer.start()
    print("joined", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.apache_kafka
async def test_a_process_that_stops_does_not_wait_until_a_paused_member_lets_its_group_be_joined(world: World) -> None:
    async with normalizers(world):
        settings = world.normalizer_settings()
        group = group_of(settings.instance)
        servers = settings.kafka.bootstrap_servers
        topics = [settings.kafka.topic_prefix + name for name in CONTRACTS_BY_TOPIC]
        member = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _MEMBER, servers, group, *topics, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert member.stdout
            assert (await member.stdout.readline()).strip() == b"joined"
            psutil.Process(member.pid).suspend()
            process = control(world)
            admin = AdminClient({"bootstrap.servers": servers})

            async def state() -> ConsumerGroupState:
                described = await asyncio.to_thread(admin.describe_consumer_groups([group])[group].result, 10)
                shown: ConsumerGroupState = described.state
                return shown

            await eventually(state, lambda shown: shown is ConsumerGroupState.PREPARING_REBALANCING)
            began = time.monotonic()
            os.kill(process.pid, signal.SIGTERM)
            assert await asyncio.to_thread(process.wait) == 0
            assert time.monotonic() - began < 20 * pace()  # a paused member keeps its group for 45 s
        finally:
            member.send_signal(signal.SIGKILL)
            await member.wait()

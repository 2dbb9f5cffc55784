"""Faults of servers and of the network before them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from confluent_kafka import admin

from tests.faults.plan import SITES, Fault
from tests.faults.scene import Scene, together
from tests.faults.stage import DATABASE_AWAY


async def broker_restart(scene: Scene, fault: Fault) -> None:
    """An orderly restart of the broker."""
    await scene.stage.servers.restart_kafka(kill=False)


async def broker_kill(scene: Scene, fault: Fault) -> None:
    """SIGKILL of the broker, and a new start."""
    await scene.stage.servers.restart_kafka(kill=True)


async def broker_cut(scene: Scene, fault: Fault) -> None:
    """The network before the broker: the kind says how."""
    await _disturb(scene, ["broker"], fault)


async def database_cut(scene: Scene, fault: Fault) -> None:
    """The network before the database, of one process or of all."""
    await _disturb(scene, [f"{scene.stage.name}-{each.name}" for each in scene.chosen(fault.target)], fault)


async def _disturb(scene: Scene, proxies: list[str], fault: Fault) -> None:
    how = fault.kind.rpartition("_")[2]
    toxiproxy = scene.stage.servers.toxiproxy
    try:
        await together(toxiproxy.disturb(proxy, how) for proxy in proxies)
        await asyncio.sleep(fault.seconds)
    finally:
        await together(toxiproxy.heal(proxy) for proxy in proxies)


async def database_restart(scene: Scene, fault: Fault) -> None:
    """PostgreSQL restarts, fast or immediately (as after a crash)."""
    await scene.stage.servers.restart_postgres(fault.target)


async def connections_ended(scene: Scene, fault: Fault) -> None:
    """A failover: every connection of the services ends at once."""
    with suppress(*DATABASE_AWAY):  # it is being restarted
        await scene.stage.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def relay_locked_out(scene: Scene, fault: Fault) -> None:
    """A hand in the database holds the lock of the relay's lease: events pile up in the outbox."""
    connection = await asyncpg.connect(scene.stage.database_url, timeout=5)
    try:
        async with connection.transaction():
            await connection.fetch("SELECT FROM normalizer.role_lease WHERE role = 'relay' FOR UPDATE")
            await asyncio.sleep(fault.seconds)
    finally:
        await connection.close(timeout=5)


async def rebalance_storm(scene: Scene, fault: Fault) -> None:
    """Strangers join the services' groups and leave them again, several times a second."""
    name = scene.stage.name
    groups = {
        f"{name}.normalizer": ["preview-uploaded", "renormalize-requested"],
        **{f"{name}.syncer.{site}": ["status-changed"] for site in SITES},
    }
    ends = asyncio.get_running_loop().time() + fault.seconds

    async def join_and_leave(group: str, topics: list[str]) -> None:
        while asyncio.get_running_loop().time() < ends:
            stranger = AIOKafkaConsumer(
                *(scene.stage.prefix + topic for topic in topics),
                bootstrap_servers=scene.stage.servers.kafka.bootstrap_servers,
                group_id=group,
                enable_auto_commit=False,
                partition_assignment_strategy=(RangePartitionAssignor,),
            )
            try:
                async with asyncio.timeout(5):
                    await stranger.start()
                    await asyncio.sleep(0.3)
            except (KafkaError, TimeoutError):
                pass  # the broker is away: another fault's doing
            finally:
                with suppress(KafkaError):
                    await stranger.stop()

    await together(join_and_leave(*each) for each in groups.items())


async def dead_letters_refused(scene: Scene, fault: Fault) -> None:
    """The topic of dead letters takes no record. The broker's own mark of a transaction's end must fit, or it hangs."""
    topic = scene.stage.prefix + "normalizer.dead-letters"
    try:
        await asyncio.to_thread(_limit_records, scene, topic, 150)
        await asyncio.sleep(fault.seconds)
    finally:
        await asyncio.to_thread(_limit_records, scene, topic, 1_048_588)


def _limit_records(scene: Scene, topic: str, most: int) -> None:
    # The package imports these names without exporting them by its types.
    client = admin.AdminClient({"bootstrap.servers": scene.stage.servers.kafka.bootstrap_servers, "log_level": 0})
    entry = admin.ConfigEntry("max.message.bytes", str(most), incremental_operation=admin.AlterConfigOpType.SET)  # type: ignore[attr-defined]
    resource = admin.ConfigResource(admin.ResourceType.TOPIC, topic, incremental_configs=[entry])  # type: ignore[attr-defined]
    for future in client.incremental_alter_configs([resource], request_timeout=30).values():
        future.result(timeout=40)

"""The relay: in order, by one at a time, whatever happens to its producer."""

from __future__ import annotations

import asyncio

import pytest
from rushes_runtime import outbox
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.kafka import make_producer
from rushes_runtime.outbox import Outgoing
from rushes_runtime.wiring import make_relay

from tests.pace import pace
from tests.world import PATIENCE, World, eventually, playing


async def _put(database: Database, numbers: range) -> None:
    async with database.begin() as connection:
        await outbox.put(
            connection,
            [Outgoing("status-changed", b"one", [("n", b"\xff")], str(number).encode()) for number in numbers],
        )


async def _sent(world: World) -> list[int]:
    return [int(record.value or b"-1") for record in await world.records("status-changed")]


@pytest.mark.each_broker
async def test_records_leave_in_order_with_headers_and_tombstones(world: World) -> None:
    settings = world.normalizer_settings()
    async with world.normalizer_database() as database:
        await _put(database, range(1200))
        async with database.begin() as connection:
            await outbox.put(connection, [Outgoing("status-changed", b"one", [], None)])
        async with playing(make_relay(settings, "normalizer", database, Health())):
            await eventually(
                lambda: database.fetch("SELECT 1 FROM outbox WHERE sent_at IS NULL"), lambda rows: not rows
            )
        records = await world.records("status-changed")
    assert [record.value for record in records] == [*(str(n).encode() for n in range(1200)), None]
    assert tuple(records[0].headers) == (("n", b"\xff"),)


@pytest.mark.each_broker
async def test_two_relays_send_each_record_once(world: World) -> None:
    settings = world.normalizer_settings()
    async with world.normalizer_database() as database:
        relays = [make_relay(settings, "normalizer", database, Health()) for _ in range(2)]
        relays[1]._lease._holder = "another-process"
        async with playing(*relays):
            for start in range(0, 100, 10):
                await _put(database, range(start, start + 10))
            await eventually(lambda: _sent(world), lambda seen: len(seen) >= 100)
        assert await _sent(world) == list(range(100))


@pytest.mark.each_broker
async def test_a_relay_stops_only_when_the_outbox_is_empty(world: World) -> None:
    settings = world.normalizer_settings()
    async with world.normalizer_database() as database:
        relay = make_relay(settings, "normalizer", database, Health())
        stop = asyncio.Event()
        running = asyncio.create_task(relay.run(stop))
        await _put(database, range(1))
        await eventually(lambda: _sent(world), lambda seen: seen == [0])
        await _put(database, range(1, 700))
        stop.set()
        await running
        assert await _sent(world) == list(range(700))


@pytest.mark.each_broker
async def test_a_relay_stops_however_much_others_go_on_to_write(world: World) -> None:
    settings = world.normalizer_settings()
    async with world.normalizer_database() as database:
        relay = make_relay(settings, "normalizer", database, Health())
        stop, enough = asyncio.Event(), asyncio.Event()

        async def write() -> None:
            number = 0
            while not enough.is_set():
                await _put(database, range(number, number + 1))
                number += 1

        writers = [asyncio.create_task(write()) for _ in range(3)]
        running = asyncio.create_task(relay.run(stop))
        try:
            await eventually(lambda: database.fetch("SELECT 1 FROM outbox WHERE sent_at IS NOT NULL"))
            stop.set()
            await asyncio.wait_for(running, PATIENCE)
        finally:
            enough.set()
            await asyncio.gather(*writers)


@pytest.mark.apache_kafka
async def test_a_relay_that_loses_its_producer_goes_on_and_loses_nothing(world: World) -> None:
    settings = world.normalizer_settings()
    async with world.normalizer_database() as database:
        async with playing(make_relay(settings, "normalizer", database, Health())):
            await _put(database, range(10))
            await eventually(lambda: _sent(world), lambda seen: len(seen) == 10)
            usurper = make_producer(settings.kafka, f"{settings.instance}.normalizer.relay")
            await usurper.start()  # the broker fences the relay's producer now
            await usurper.stop()
            await _put(database, range(10, 20))
            await eventually(lambda: _sent(world), lambda seen: len(seen) >= 20)
        assert await _sent(world) == list(range(20))


@pytest.mark.extended
async def test_a_relay_stops_though_its_broker_never_lets_it_begin(world: World) -> None:
    connected, silence = asyncio.Event(), asyncio.Event()

    async def never_answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await silence.wait()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    silent = world.with_settings(KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server, world.normalizer_database() as database:
        stop = asyncio.Event()
        running = asyncio.create_task(
            make_relay(silent.normalizer_settings(), "normalizer", database, Health()).run(stop)
        )
        await connected.wait()
        stop.set()
        try:
            await asyncio.wait_for(running, 25 * pace())  # the client itself would wait for 40 s
        finally:
            silence.set()

"""`files-synced`: whoever waits for a copy hears of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord
from rushes_embedded.broker import Topic
from rushes_runtime.store import Unconditional
from rushes_schemas import CONTRACTS, FilesSynced, PreviewStatus

from tests.integration.syncer.follower import change, follower
from tests.world import TOPICS, World, eventually

pytestmark = pytest.mark.extended


def _told(record: ConsumerRecord[bytes, bytes]) -> FilesSynced:
    return FilesSynced.model_validate_json(record.value or b"")


@pytest.mark.each_broker
async def test_a_copy_is_told_with_its_version_and_so_is_what_a_pass_completed(world: World) -> None:
    preview, unannounced = uuid4(), uuid4()
    async with follower(world) as lyon:
        files = await lyon.publish(preview, b"x")
        world.process("rushes-syncer", "run")
        try:
            await world.send(change(preview, 7, PreviewStatus.READY, files))
            (record,) = await eventually(lambda: world.records("files-synced"))
            contract = next(each for each in CONTRACTS if each.name == "files-synced")
            assert dict(record.headers)["ce_type"] == contract.type.encode()
            assert record.key == str(preview).encode()
            told = _told(record)
            size = sum(stored.bytes for stored in files[1:])
            assert (told.site, told.version, told.objects, told.bytes, told.absent) == ("lyon", 7, 2, size, 0)

            await lyon.publish(unannounced, b"y")
            await lyon.site.delete(files[1].bucket, files[1].key, condition=Unconditional())
            code, _, errors = await world.command("rushes-syncer", "full")
            assert code == 0, errors
            records = await eventually(lambda: world.records("files-synced"), lambda records: len(records) == 3)
            more = {each.preview_file_id: each for each in map(_told, records) if each != told}
            assert {each: (told.version, told.objects) for each, told in more.items()} == {
                preview: (7, 2),
                unannounced: (None, 2),
            }
        finally:
            world.stop_processes()


@pytest.mark.apache_kafka
async def test_a_syncer_copies_without_the_topic_says_what_is_missing_and_tells_all_once_it_is_there(
    world: World,
) -> None:
    prefix = f"{world.prefix}before."
    before = replace(world, prefix=prefix, environment={**world.environment, "KAFKA__TOPIC_PREFIX": prefix})
    topics = {topic: Topic(prefix + topic, config=config) for topic, config in TOPICS.items()}
    late = topics.pop("files-synced")
    before.broker.ensure_topics(topics.values())
    await before.prepare()
    previews = [uuid4(), uuid4()]
    async with follower(before) as lyon:
        files = {each: await lyon.publish(each, b"x") for each in previews}
        before.process("rushes-syncer", "run", log="syncer")
        try:
            await before.send(*(change(each, 2, PreviewStatus.READY, files[each]) for each in previews))
            await eventually(lyon.held, lambda held: len(held) == 4)
            log = before.folder / "syncer.log"
            missing = f"there is no topic {late.name}"
            await eventually(lambda: asyncio.to_thread(log.read_text), lambda said: missing in said)
            assert "migrate --topics" in log.read_text()
            before.broker.ensure_topics([late])
            records = await eventually(lambda: before.records("files-synced"), lambda records: len(records) == 2)
        finally:
            before.stop_processes()
    assert {_told(record).preview_file_id for record in records} == set(previews)


async def test_what_the_main_store_has_no_more_is_told_as_absent(world: World) -> None:
    preview = uuid4()
    async with follower(world) as lyon:
        files = await lyon.publish(preview, b"x")
        await lyon.main.delete(files[1].bucket, files[1].key, condition=Unconditional())
        world.process("rushes-syncer", "run", RETRY_FIRST_WAIT="0.1")
        try:
            await world.send(change(preview, 1, PreviewStatus.READY, files))
            (record,) = await eventually(lambda: world.records("files-synced"))
            assert (_told(record).objects, _told(record).absent) == (1, 1)
        finally:
            world.stop_processes()

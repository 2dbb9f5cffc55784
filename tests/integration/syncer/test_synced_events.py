"""`files-synced`: whoever waits for a copy hears of it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord
from rushes_runtime.store import Unconditional
from rushes_schemas import CONTRACTS, FilesSynced, PreviewStatus

from tests.integration.syncer.follower import change, follower
from tests.world import World, eventually


def _told(record: ConsumerRecord[bytes, bytes]) -> FilesSynced:
    return FilesSynced.model_validate_json(record.value or b"")


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


@pytest.mark.any_broker
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

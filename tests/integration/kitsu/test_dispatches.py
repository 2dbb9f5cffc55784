"""A dispatch of Zou becomes an upload, its polls are answered whatever is away, and its end comes back by the bus."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import time
from typing import Any
from uuid import uuid4

import pytest
from rushes_embedded.stack import Stack
from sqlalchemy import make_url, text

from tests.cable import cable_to
from tests.integration.kitsu.bridge import (
    JOB,
    bridge_of,
    database_behind,
    database_port,
    kitsu_database,
    logged,
    maintenance,
    state_of,
    unknown_job,
)
from tests.pace import pace
from tests.unit.kitsu.zou_payloads import SECRET
from tests.world import World, eventually

CORRUPT = {"code": "corrupt", "message": "moov atom not found", "retryable": False}


async def test_a_dispatch_is_an_upload_and_runs_until_the_bus_tells_its_end(world: World) -> None:
    async with bridge_of(world) as bridge:
        ready, broken = await bridge.dispatched(), await bridge.dispatched(width=1998, skip_high_def=True)
        assert [await bridge.state(job) for job in (ready, broken)] == ["Running", "Running"]
        events = await eventually(bridge.events, lambda found: len(found) == 2)
        by_id = {event.preview_file_id: event for event in events}
        encoding = by_id[broken.preview_file_id].encoding
        assert encoding
        assert (encoding.width, encoding.height, encoding.fps) == (1998, 1080, "24000/1001")
        assert encoding.skip_highdef
        await world.send(
            state_of(ready, by_id[ready.preview_file_id].uploaded_at),
            state_of(
                broken,
                by_id[broken.preview_file_id].uploaded_at,
                internal_status="broken",
                error=CORRUPT,
            ),
        )
        await eventually(lambda: bridge.state(ready), lambda state: state == "Complete")
        await eventually(lambda: bridge.state(broken), lambda state: state == "Failed")
        _, allocations = await bridge.ask("GET", f"/v1/job/{broken}/allocations")
        (allocation,) = json.loads(allocations)
        assert allocation["TaskStates"][JOB]["StartedAt"]
        _, frame = await bridge.ask("GET", f"/v1/client/fs/logs/{allocation['ID']}?task={JOB}&type=stderr")
        assert "moov atom not found" in base64.b64decode(json.loads(frame)["Data"]).decode()
        assert await bridge.ask("GET", f"/v1/client/fs/logs/{allocation['ID']}?type=stdout") == (200, "")


async def test_the_end_of_an_upload_before_does_not_end_a_dispatch_and_that_of_a_later_one_does(world: World) -> None:
    async with bridge_of(world) as bridge:
        preview = uuid4()
        first, second = await bridge.dispatched(preview), await bridge.dispatched(preview)
        events = await eventually(bridge.events, lambda found: len(found) == 2)
        times = sorted(event.uploaded_at for event in events)
        await world.send(state_of(first, times[0]))
        await eventually(lambda: bridge.state(first), lambda state: state == "Complete")
        assert await bridge.state(second) == "Running"
        third = await bridge.dispatched(preview)
        events = await eventually(bridge.events, lambda found: len(found) == 3)
        await world.send(state_of(third, max(event.uploaded_at for event in events)))
        await eventually(lambda: bridge.state(third), lambda state: state == "Complete")
        assert await bridge.state(second) == "Complete"


async def test_a_preview_that_is_deleted_in_the_middle_ends_the_job_with_words(world: World) -> None:
    async with bridge_of(world) as bridge:
        job = await bridge.dispatched()
        (event,) = await eventually(bridge.events)
        await world.send(state_of(job, event.uploaded_at, internal_status="processing", deleted=True))
        await eventually(lambda: bridge.state(job), lambda state: state == "Failed")
        _, frame = await bridge.ask("GET", f"/v1/client/fs/logs/{job}?type=stderr")
        assert "the preview was deleted" in base64.b64decode(json.loads(frame)["Data"]).decode()


async def test_row_and_event_of_a_dispatch_are_written_together_or_not_at_all(world: World) -> None:
    async with bridge_of(world) as bridge, kitsu_database(world) as database:
        async with database.begin() as connection:
            await connection.execute(text("ALTER TABLE outbox ADD CHECK (topic <> 'preview-uploaded')"))
        status, _ = await bridge.dispatch()
        assert status == 500
        assert await database.fetch("SELECT * FROM dispatch") == []


@pytest.mark.extended
async def test_a_database_that_hangs_leaves_every_job_running_and_a_dispatch_is_refused_within_zous_patience(
    world: World,
) -> None:
    async with (
        cable_to(database_port(world)) as cable,
        bridge_of(world, DATABASE_URL=database_behind(world, cable.port)) as bridge,
    ):
        job = await bridge.dispatched()
        cable.hold()
        assert await asyncio.gather(*(bridge.state(job) for _ in range(50))) == ["Running"] * 50
        # It may be a job of ours that was never heard of here: without the database nobody can tell.
        assert await bridge.state(unknown_job()) == "Running"
        begun = time.monotonic()
        status, said = await bridge.dispatch()
        assert (status, time.monotonic() - begun < 5 * pace()) == (503, True)
        assert "PostgreSQL does not answer" in said
        cable.release()

        async def known() -> int:
            return (await bridge.ask("GET", f"/v1/job/{unknown_job()}/summary"))[0]

        await eventually(known, lambda status: status == 404)
        assert await bridge.state(job) == "Running"


@pytest.mark.extended
async def test_a_dispatch_waits_out_a_short_absence_of_the_database(world: World, stack: Stack) -> None:
    name = make_url(world.environment["DATABASE_URL"]).database
    async with bridge_of(world) as bridge, maintenance(stack) as execute:
        await bridge.dispatched()
        await execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        dispatching = asyncio.create_task(bridge.dispatched())
        await eventually(lambda: logged(world, "dispatch_waits_for_database"))
        await execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await dispatching


async def test_credentials_of_the_payload_are_neither_stored_nor_logged(world: World) -> None:
    async with bridge_of(world, LOG_LEVEL="debug") as bridge, kitsu_database(world) as database:
        await bridge.dispatched()
        wrong: tuple[dict[str, Any], ...] = (
            {"FS_BUCKET_PREFIX": "other-"},
            {"fps": "soon"},
            {"FS_S3_ENDPOINT": f"http://u:{SECRET}@h"},
        )
        for changed in wrong:
            status, said = await bridge.dispatch(**changed)
            assert status == 400
            assert said.startswith("rushes-kitsu refuses: ")
            assert SECRET not in said
        await eventually(bridge.events)
        tables = await database.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'kitsu'")
        for (table,) in tables:
            (stored,) = await database.fetch(f"SELECT coalesce(string_agg(t::text, ''), '') AS all FROM {table} AS t")
            assert SECRET not in stored.all
            assert SECRET.encode().hex() not in stored.all
    assert SECRET not in (world.folder / "kitsu.log").read_text()


async def test_what_is_refused_is_told_in_the_answer_and_in_the_log_and_keeps_nothing_else_out(world: World) -> None:
    async with bridge_of(world) as bridge:
        told = [await bridge.dispatch(version="3"), await bridge.dispatch(FS_BUCKET_PREFIX="other-")]
        path = f"/v1/job/{unknown_job()}/summary"
        unknown = await bridge.ask("GET", path)
        job = await bridge.dispatched()
        (event,) = await eventually(bridge.events)
    assert event.preview_file_id == job.preview_file_id
    log = [json.loads(line) for line in (world.folder / "kitsu.log").read_text().splitlines()]
    reasons = [each["reason"] for each in log if each["event"] == "dispatch_refused"]
    for (status, said), reason, words in zip(told, reasons, ("not of version 2", "FS_BUCKET_PREFIX"), strict=True):
        assert (status, said) == (400, f"rushes-kitsu refuses: {reason}")
        assert words in reason
    assert (unknown[0], "rushes-kitsu" in unknown[1]) == (404, True)
    assert [each["path"] for each in log if each["event"] == "job_unknown"] == [path]


@pytest.mark.extended
async def test_answers_go_on_while_a_process_that_is_told_to_stop_lingers(world: World) -> None:
    async with bridge_of(world, NOMAD_LINGER="2", OPERATIONS_PORT="0") as bridge:
        job = await bridge.dispatched()
        (leash,) = world.processes
        os.kill(leash.pid, signal.SIGTERM)
        await eventually(lambda: logged(world, '"stopping"'))
        assert await bridge.state(job) == "Running"
        # The connection is given up with the answer, so that the next poll goes to a process that stays.
        async with bridge.client.get(f"{bridge.address}/v1/job/{job}/summary") as answer:
            assert answer.headers.get("Connection") == "close"
        assert await bridge.dispatched()
        assert leash.wait() == 0
    # What was dispatched last was sent, too: the relay ends after the server.
    assert len(await bridge.events()) == 2


@pytest.mark.apache_kafka
async def test_any_replica_answers_for_a_job_that_another_took(world: World) -> None:
    async with bridge_of(world, log="first") as first, bridge_of(world, log="second") as second:
        job = await first.dispatched()
        assert await second.state(job) == "Running"
        (event,) = await eventually(second.events)
        await world.send(state_of(job, event.uploaded_at))
        await eventually(lambda: second.state(job), lambda state: state == "Complete")
        assert await first.state(job) == "Complete"

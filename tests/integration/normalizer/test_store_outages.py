"""A store that is down: claims pause, no try is spent, and the work goes on once it is back."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from rushes_embedded.stack import Stack
from rushes_runtime.store import SENTINEL_KEY, Unconditional, place_sentinels

from tests.cable import cable_to
from tests.integration.normalizer.parts import Parts, parts_of
from tests.pace import pace
from tests.world import World, eventually, playing, put_source, source_key, upload


async def _circuit(open_: bool) -> None:
    async def look() -> Any:
        return REGISTRY.get_sample_value("rushes_store_circuit_open", {"store": "main"})

    await eventually(look, lambda value: value == float(open_))


async def _statuses(parts: Parts) -> dict[UUID, str]:
    return {row.id: row.status for row in await parts.database.fetch("SELECT id, status FROM preview_file")}


@pytest.mark.extended
async def test_a_store_that_hangs_costs_no_job_a_try_and_all_are_made_once_it_is_back(
    world: World, clip: Path, stack: Stack
) -> None:
    events = [upload() for _ in range(5)]
    async with cable_to(int(stack.objects.endpoint_url.rpartition(":")[2])) as cable:
        behind = world.with_settings(
            STORE__ENDPOINT_URL=f"http://127.0.0.1:{cable.port}",
            STORE__CONNECT_TIMEOUT=str(0.3 * pace()),
            STORE__READ_TIMEOUT=str(0.3 * pace()),
            RETRY_LIMIT="1",
            RETRY_AGE="0.1",
        )
        async with parts_of(behind) as parts, playing(parts.intake()):
            for event in events:
                await put_source(parts.store, event.preview_file_id, clip)
            cable.hold()
            await world.send(*events)
            await eventually(
                lambda: parts.database.fetch("SELECT count(*) AS n FROM task"), lambda rows: rows[0].n == 5
            )
            async with playing(parts.worker()):
                await _circuit(True)
                await eventually(
                    lambda: parts.database.fetch("SELECT 1 FROM task WHERE state = 'running'"), lambda rows: not rows
                )
                (before,) = await parts.database.fetch("SELECT last_value FROM fence")
                probes = partial(
                    REGISTRY.get_sample_value, "rushes_store_probes_total", {"store": "main", "outcome": "down"}
                )
                first = probes() or 0.0

                async def probed_again() -> bool:
                    return (probes() or 0.0) >= first + 2

                await eventually(probed_again)
                assert await parts.database.fetch("SELECT last_value FROM fence") == [before], "no job was begun"
                assert set((await _statuses(parts)).values()) == {"processing"}
                assert parts.health.silent_loops() == []
                cable.release()
                await eventually(partial(_statuses, parts), lambda found: set(found.values()) == {"ready"})
                await _circuit(False)
            tasks = await parts.database.fetch("SELECT tries, looks, losses FROM task")
    assert {tuple(task) for task in tasks} == {(0, 0, 0)}


@pytest.mark.extended
async def test_one_object_that_is_refused_spends_its_own_tries_and_stops_nobody(
    world: World, clip: Path, stack: Stack
) -> None:
    bad, good = upload(), upload()
    async with cable_to(int(stack.objects.endpoint_url.rpartition(":")[2])) as cable:
        cable.refuse(source_key(bad.preview_file_id).encode())
        behind = world.with_settings(STORE__ENDPOINT_URL=f"http://127.0.0.1:{cable.port}", RETRY_LIMIT="6")
        async with parts_of(behind) as parts, playing(parts.intake(), parts.worker()):
            await put_source(parts.store, good.preview_file_id, clip)
            await world.send(bad)
            await eventually(partial(_statuses, parts), lambda found: found.get(bad.preview_file_id) == "broken")
            await world.send(good)
            await eventually(partial(_statuses, parts), lambda found: found.get(good.preview_file_id) == "ready")
            (row,) = await parts.database.fetch(
                "SELECT failure_code, tries FROM task WHERE subject = :id", id=str(bad.preview_file_id)
            )
    assert tuple(row) == ("storage_denied", 5)


async def test_a_bucket_that_is_lost_opens_the_circuit_and_no_preview_is_missing(world: World) -> None:
    events = [upload() for _ in range(4)]
    async with parts_of(world.with_settings(RETRY_LIMIT="1")) as parts, playing(parts.intake(), parts.worker()):
        await parts.store.delete("movies", SENTINEL_KEY, condition=Unconditional())
        await world.send(*events)
        await _circuit(True)
        assert set((await _statuses(parts)).values()) == {"processing"}
        await place_sentinels(parts.store, ["movies"], parts.settings.instance)
        await _circuit(False)
        await eventually(partial(_statuses, parts), lambda found: set(found.values()) == {"missing"})


async def test_a_worker_that_waits_for_the_store_still_sees_that_the_database_answers(world: World) -> None:
    async with parts_of(world) as parts:
        await parts.store.delete("movies", SENTINEL_KEY, condition=Unconditional())
        async with playing(parts.intake()):
            await world.send(upload())
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM task"))
        async with playing(parts.worker()):
            await _circuit(True)
            await eventually(
                lambda: parts.database.fetch("SELECT 1 FROM task WHERE state = 'running'"), lambda rows: not rows
            )

            async def answered() -> float:
                return REGISTRY.get_sample_value("rushes_database_answer_timestamp_seconds") or 0.0

            last = await answered()
            await eventually(answered, lambda now: now > last + 0.5)

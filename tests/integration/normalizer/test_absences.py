"""A flood of absent sources makes nothing missing, until it is over or somebody accepts it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from rushes_schemas import RenormalizeRequested

from tests.integration.normalizer.parts import Parts, parts_of
from tests.world import World, eventually, playing, put_source, upload


def _cautious(world: World) -> World:
    return world.with_settings(ABSENCE_FLOOD_NUMBER="2", MISSING_CONFIRM_AFTER="1.5", RETRY_LIMIT="1")


async def _statuses(parts: Parts) -> Counter[str]:
    return Counter(row.status for row in await parts.database.fetch("SELECT status FROM preview_file"))


async def _held(parts: Parts) -> int:
    return len(await parts.database.fetch("SELECT 1 FROM absent_source WHERE held"))


async def test_a_flood_holds_all_and_ends_by_itself_once_sources_are_back(world: World, clip: Path) -> None:
    events = [upload() for _ in range(5)]
    async with (
        parts_of(_cautious(world)) as parts,
        playing(parts.intake(), parts.worker(), parts.janitor()),
    ):
        await world.send(*events)
        await eventually(partial(_held, parts), lambda held: held == 5)

        async def said() -> float | None:
            return REGISTRY.get_sample_value("rushes_absences_held")

        await eventually(said, lambda held: held == 5.0)
        assert await _statuses(parts) == {"processing": 5}
        for event in events[:4]:
            await put_source(parts.store, event.preview_file_id, clip)
        await eventually(partial(_statuses, parts), lambda found: found == {"ready": 4, "missing": 1})
        tasks = await parts.database.fetch("SELECT tries, looks, losses FROM task")
        await eventually(said, lambda held: held == 0.0)
    assert {tuple(task) for task in tasks} == {(0, 1, 0)}


@pytest.mark.extended
async def test_an_operator_accepts_a_flood_and_what_is_missing_already_counts_towards_no_other(world: World) -> None:
    cautious = _cautious(world)
    events = [upload() for _ in range(5)]
    async with parts_of(cautious) as parts, playing(parts.intake(), parts.worker()):
        await world.send(*events)
        await eventually(partial(_held, parts), lambda held: held == 5)
        code, said, _ = await cautious.command("rushes-normalizer", "absences")
        assert (code, said.startswith("a flood: 5 sources absent (5 held)")) == (1, True)
        for _ in range(2):
            code, said, errors = await cautious.command("rushes-normalizer", "absences", "--accept")
            assert (code, said.startswith("no flood")) == (0, True), errors
        await eventually(partial(_statuses, parts), lambda found: found == {"missing": 5})
        assert not await parts.database.fetch("SELECT 1 FROM absent_source")
        await parts.database.fetch("UPDATE absences_accepted SET until = now() RETURNING 1")
        again = [
            RenormalizeRequested(preview_file_id=event.preview_file_id, reason="again", requested_by="me")
            for event in events
        ]
        await world.send(*again)
        await eventually(
            lambda: parts.database.fetch("SELECT 1 FROM task WHERE state = 'failed'"), lambda rows: len(rows) == 10
        )
        assert not await parts.database.fetch("SELECT 1 FROM absent_source")

"""Looks for many sources at once: they cost no slot, and prove as much as those of a slot."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rushes_embedded.leash import Leash
from rushes_embedded.stack import Stack
from rushes_normalizer import absences
from rushes_normalizer.looking import SourceLooker
from rushes_normalizer.previews import PreviewRow
from rushes_runtime.database import Database
from rushes_runtime.store import SENTINEL_KEY, Store, Unconditional, open_store, place_sentinels
from rushes_schemas import PreviewStatus, RenormalizeRequested
from rushes_schemas.outputs import BUCKETS

from tests.cable import Cable, cable_to
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.parts import Parts, parts_of
from tests.integration.normalizer.processes import logged
from tests.world import World, eventually, playing, put_source, upload


async def _ask(world: World, parts: Parts, count: int) -> list[PreviewRow]:
    """So many previews that play, whose sources are gone; each is asked for in the bulk lane, and is taken in."""
    rows = [kept_preview(PreviewStatus.READY) for _ in range(count)]
    await keep(parts.database, *rows)
    await world.send(
        *(
            RenormalizeRequested(preview_file_id=row.id, reason="all", requested_by="me", priority="bulk")
            for row in rows
        )
    )
    await eventually(lambda: _tasks(parts, "batched"), lambda tasks: len(tasks) == count)
    return rows


async def _tasks(parts: Parts, where: str = "true") -> list[Any]:
    return await parts.database.fetch(f"SELECT * FROM task WHERE {where}")


async def _all_ended(parts: Parts) -> list[Any]:
    await eventually(lambda: _tasks(parts, "ended_at IS NULL"), lambda tasks: not tasks)
    return await parts.database.fetch("SELECT * FROM preview_file")


async def _nothing_followed(parts: Parts, count: int) -> None:
    """Every job has come back from its look to wait, with nothing counted and nothing said."""
    await eventually(
        lambda: _tasks(parts, "state = 'queued' AND fence > 0 AND looks + tries + losses = 0"),
        lambda tasks: len(tasks) == count,
    )
    assert not await parts.database.fetch("SELECT 1 FROM outbox")
    assert not await parts.database.fetch("SELECT 1 FROM preview_file WHERE status <> 'ready' OR version <> 2")


async def test_lost_sources_are_missing_after_two_looks_and_those_that_are_there_are_made(
    world: World, clip: Path
) -> None:
    # A batch that a busy machine lets lose its lease would be done one by one.
    patient = world.with_settings(ABSENCE_FLOOD_NUMBER="600", LEASE="60")
    async with parts_of(patient) as parts, playing(parts.intake()):
        rows = await _ask(world, parts, 600)  # two batches
        present = {row.id for row in rows[::300]}
        for each in present:
            await put_source(parts.store, each, clip)
        ranks = {task.subject: task.rank for task in await _tasks(parts)}
        async with playing(parts.looker(), parts.worker(), parts.relay()):
            ended = await _all_ended(parts)
        tasks = await _tasks(parts)
        requests = await parts.database.fetch("SELECT * FROM request")
        outbox = await parts.database.fetch("SELECT key FROM outbox WHERE sent_at IS NOT NULL")
        changes = await world.statuses(rows[1].id)
    assert {row.id for row in ended if row.status == "ready" and row.files} == present
    assert {row.id for row in ended if row.status == "missing"} == {row.id for row in rows} - present
    assert {row.version for row in ended} == {3}
    for task in tasks:
        lost = UUID(task.subject) not in present
        assert (task.looks, task.tries, task.losses, task.rank) == (int(lost), 0, 0, ranks[task.subject])
        if lost:  # the second look began no sooner than the pause after the first was over
            assert task.started_at >= task.available_at
            assert (task.available_at - task.created_at).total_seconds() >= parts.settings.missing_confirm_after
    outcomes = {(each.outcome, each.preview_file_id in present) for each in requests}
    assert outcomes == {("missing", False), ("ready", True)}
    assert len({each.key for each in outbox}) == len(outbox) == 600
    (change,) = changes
    assert (change.status, change.internal_status, change.version) == ("broken", "missing", 3)
    assert change.error is not None
    assert change.error.code == "source_missing"
    assert change.job is not None
    assert change.job.request_ids == [each.event_id for each in requests if each.preview_file_id == rows[1].id]
    assert change.job.attempt == 2


class Meddled:
    """The store, but that something happens each time that sources were looked for."""

    def __init__(self, store: Store, happens: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def absent(self, bucket: str, keys: Collection[str]) -> frozenset[str]:
        """As the store says."""
        found = await self._store.absent(bucket, keys)
        if SENTINEL_KEY not in keys:
            await self._happens()
        return found


def _meddled(parts: Parts, happens: Callable[[], Awaitable[None]]) -> SourceLooker:
    store: Any = Meddled(parts.store, happens)
    return replace(parts, store=store).looker()


@pytest.mark.parametrize("sentinel", ["is not there", "goes", "comes"])
async def test_a_store_that_does_not_show_its_sentinel_before_and_after_the_looks_makes_nothing_missing(
    world: World, sentinel: str
) -> None:
    async with parts_of(world) as parts, playing(parts.intake()):

        async def goes() -> None:
            await parts.store.delete("movies", SENTINEL_KEY, condition=Unconditional())

        async def comes() -> None:
            await place_sentinels(parts.store, BUCKETS, parts.settings.instance)

        async def stays_away() -> None:
            pass

        await _ask(world, parts, 3)
        if sentinel != "goes":
            await goes()
        during = {"is not there": stays_away, "goes": goes, "comes": comes}[sentinel]
        async with playing(_meddled(parts, during)):
            await _nothing_followed(parts, 3)


async def test_refused_looks_make_nothing_missing(world: World, stack: Stack) -> None:
    stranger = stack.objects.stranger
    refused = world.with_settings(
        STORE__ACCESS_KEY_ID=stranger.access_key_id, STORE__SECRET_ACCESS_KEY=stranger.secret_access_key
    )
    async with (
        parts_of(world) as parts,
        open_store(refused.normalizer_settings().store) as store,
        playing(parts.intake()),
    ):
        await _ask(world, parts, 3)
        async with playing(replace(parts, store=store).looker()):
            await _nothing_followed(parts, 3)


async def test_a_source_that_comes_between_two_looks_is_made(world: World, clip: Path) -> None:
    async with parts_of(world.with_settings(MISSING_CONFIRM_AFTER="2")) as parts, playing(parts.intake()):
        back, gone = await _ask(world, parts, 2)
        async with playing(parts.looker(), parts.worker()):
            await eventually(lambda: _tasks(parts, "looks = 1 AND state = 'queued'"), lambda tasks: len(tasks) == 2)
            await put_source(parts.store, back.id, clip)
            ended = await _all_ended(parts)
    assert {(row.id, row.status) for row in ended} == {(back.id, "ready"), (gone.id, "missing")}


async def test_a_batch_waits_for_a_store_that_is_down_and_is_looked_for_when_it_is_back(world: World) -> None:
    async with parts_of(world.with_settings(STORE_FAILURES="100")) as parts, playing(parts.intake()):
        await _ask(world, parts, 3)
        await parts.store.delete("movies", SENTINEL_KEY, condition=Unconditional())
        async with playing(parts.looker()):
            await _nothing_followed(parts, 3)
            await place_sentinels(parts.store, BUCKETS, parts.settings.instance)
            ended = await _all_ended(parts)
    assert {row.status for row in ended} == {"missing"}


async def test_a_flood_of_absences_holds_a_batch_until_an_operator_accepts_it(world: World) -> None:
    async with parts_of(world.with_settings(ABSENCE_FLOOD_NUMBER="2")) as parts, playing(parts.intake()):
        await _ask(world, parts, 5)
        async with playing(parts.looker()):
            held = "SELECT 1 FROM absent_source WHERE held"
            await eventually(lambda: parts.database.fetch(held), lambda marks: len(marks) == 5)
            assert not await parts.database.fetch("SELECT 1 FROM preview_file WHERE status <> 'ready'")
            async with parts.database.begin() as connection:
                await absences.accept(connection, 60.0)
            ended = await _all_ended(parts)
        tasks = await _tasks(parts)
    assert {row.status for row in ended} == {"missing"}
    assert {(task.tries, task.looks, task.losses) for task in tasks} == {(0, 1, 0)}


async def test_with_keep_playable_a_slot_looks_for_the_outputs_too(world: World) -> None:
    async with parts_of(world.with_settings(KEEP_PLAYABLE="true")) as parts, playing(parts.intake()):
        await _ask(world, parts, 2)
        async with playing(parts.looker()):
            await _nothing_followed(parts, 2)
            assert not await _tasks(parts, "batched")


@pytest.mark.extended
async def test_an_upload_starts_while_a_bulk_pass_waits_and_looks(world: World, clip: Path) -> None:
    event = upload()
    patient = world.with_settings(SLOTS="1", MISSING_CONFIRM_AFTER="5", ABSENCE_FLOOD_NUMBER="600", LEASE="60")
    async with parts_of(patient) as parts, playing(parts.intake()):
        await _ask(world, parts, 450)
        await put_source(parts.store, event.preview_file_id, clip)
        async with playing(parts.looker(), parts.worker()):
            await eventually(lambda: _tasks(parts, "looks = 1"))
            await world.send(event)
            await _all_ended(parts)
        tasks = await _tasks(parts)
    (urgent,) = [task for task in tasks if task.lane == "upload"]
    assert urgent.state == "done"
    assert urgent.ended_at < max(task.ended_at for task in tasks if task.lane == "bulk")


async def test_a_request_that_comes_during_the_look_makes_one_more_run_and_it_answers_both(world: World) -> None:
    async with parts_of(world) as parts, playing(parts.intake()):
        (row,) = await _ask(world, parts, 1)

        async def asked_again() -> None:
            await world.send(RenormalizeRequested(preview_file_id=row.id, reason="again", requested_by="me"))
            await eventually(lambda: _tasks(parts, "state = 'queued'"))

        async with playing(_meddled(parts, asked_again)):
            await eventually(lambda: _tasks(parts, "state = 'failed'"))
        tasks = await _tasks(parts)
        requests = await parts.database.fetch("SELECT task_id, outcome FROM request")
    (waiting,) = [task for task in tasks if task.state == "queued"]
    assert waiting.lane == "single"
    assert [(each.task_id, each.outcome) for each in requests] == [(waiting.id, None)] * 2


@asynccontextmanager
async def _held_in_mid_look(world: World, stack: Stack) -> AsyncIterator[tuple[Leash, Cable, Database]]:
    """A worker process that waits for the answers of a whole batch's looks."""
    async with cable_to(int(stack.objects.endpoint_url.rpartition(":")[2])) as cable, parts_of(world) as parts:
        try:
            through_cable = f"http://127.0.0.1:{cable.port}"
            held = world.process(
                "rushes-normalizer", "run", "--roles", "worker", log="held", STORE__ENDPOINT_URL=through_cable
            )
            await logged(world, "held", "started")  # it asks for its sentinels before
            cable.hold_at(b"HEAD ")
            async with playing(parts.intake()):
                await _ask(world, parts, 20)
            await cable.held.wait()
            yield held, cable, parts.database
        finally:
            with suppress(ProcessLookupError):
                os.kill(held.pid, signal.SIGCONT)
            world.stop_processes()


def _second(world: World) -> None:
    world.process("rushes-normalizer", "run", "--roles", "janitor,worker", log="second")


async def _ended_by_the_second(database: Database) -> Any:
    open_tasks = "SELECT 1 FROM task WHERE ended_at IS NULL"
    await eventually(lambda: database.fetch(open_tasks), lambda tasks: not tasks)
    names = ("preview_file", "outbox", "request", "task")
    return [await database.fetch(f"SELECT * FROM {name} ORDER BY id") for name in names]


@pytest.mark.extended
async def test_the_batch_of_a_killed_worker_counts_no_loss_and_is_done_by_the_slots_of_others(
    world: World, stack: Stack
) -> None:
    async with _held_in_mid_look(world, stack) as (held, _, database):
        os.kill(held.pid, signal.SIGKILL)
        # What was queued when the first worker had its batch already may come in one of the second's own.
        batch = {task.id for task in await database.fetch("SELECT id FROM task WHERE state = 'running'")}
        _second(world)
        previews, *_, tasks = await _ended_by_the_second(database)
    assert {row.status for row in previews} == {"missing"}
    assert {(task.losses, task.looks) for task in tasks} == {(0, 1)}
    assert {task.batched for task in tasks if task.id in batch} == {False}


@pytest.mark.extended
async def test_a_worker_paused_in_mid_look_loses_its_batch_and_changes_nothing_when_it_wakes(
    world: World, stack: Stack
) -> None:
    async with _held_in_mid_look(world, stack) as (held, cable, database):
        os.kill(held.pid, signal.SIGSTOP)
        _second(world)
        before = await _ended_by_the_second(database)
        cable.release()
        os.kill(held.pid, signal.SIGCONT)

        async def woke() -> bool:
            return '"looked"' in (world.folder / "held.log").read_text()

        await eventually(woke)
        assert await _ended_by_the_second(database) == before
        assert len(before[1]) == 20

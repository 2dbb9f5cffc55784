"""Jobs: what ends as what, whoever dies on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from rushes_normalizer import workshop
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.make import make_movie
from rushes_normalizer.publishing import Publisher
from rushes_normalizer.workshop import PreviewWorkshop
from rushes_runtime import ledger
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.fenced_writes import LostLeaseError
from rushes_runtime.health import Health
from rushes_runtime.store import SENTINEL_KEY, Unconditional, open_store, place_sentinels
from rushes_schemas import FailureCode, ObjectKind, RenormalizeRequested, object_key

from tests.integration.normalizer.parts import Parts, parts_of
from tests.movies import ffmpeg, tools
from tests.pace import pace
from tests.world import World, eventually, playing, put_source, source_key, upload


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a small movie, with sound."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=1", "-f", "lavfi", "-i", "sine=duration=1"]
    ffmpeg(*source, "-pix_fmt", "yuv420p", "-movflags", "+faststart", path)
    return path


async def _row(parts: Parts, preview_file_id: UUID) -> Any:
    rows = await parts.database.fetch("SELECT * FROM preview_file WHERE id = :id", id=preview_file_id)
    return rows[0] if rows else None


async def _ended(parts: Parts, preview_file_id: UUID, status: str) -> Any:
    return await eventually(lambda: _row(parts, preview_file_id), lambda row: row is not None and row.status == status)


async def test_every_output_lies_under_zous_key_before_the_status_says_ready(world: World, clip: Path) -> None:
    event = upload()
    async with parts_of(world) as parts, playing(parts.intake(), parts.relay(), parts.worker()):
        await put_source(parts.store, event.preview_file_id, clip)
        await world.send(event)
        row = await _ended(parts, event.preview_file_id, "ready")
        kinds = {stored["kind"] for stored in row.files}
        for stored in row.files:
            there = await parts.store.stat(stored["bucket"], stored["key"])
            assert there is not None
            assert (there.etag, there.bytes) == (stored["etag"], stored["bytes"])
            assert stored["key"] == object_key(ObjectKind(stored["kind"]), event.preview_file_id)
        changes = await eventually(lambda: world.statuses(event.preview_file_id), lambda seen: len(seen) == 2)
    assert kinds == {
        "source_movie", "high_definition", "low_definition", "original", "thumbnail", "square_thumbnail",
        "preview_picture", "tile",
    }  # fmt: skip
    assert [(each.version, each.internal_previous_status, each.internal_status) for each in changes] == [
        (1, None, "processing"),
        (2, "processing", "ready"),
    ]
    assert (changes[1].fps, changes[1].frame_count, changes[1].height) == ("25/1", 25, 180)
    assert changes[1].job is not None
    assert len(changes[1].job.request_ids) == 1


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "source_empty"), (b"Shot 010\n" * 99, "not_a_movie")], ids=["empty", "text"]
)
async def test_a_source_that_is_no_movie_ends_broken_with_its_code(
    world: World, tmp_path: Path, content: bytes, code: str
) -> None:
    event = upload()
    source = tmp_path / "bad.mp4"
    source.write_bytes(content)
    async with parts_of(world) as parts, playing(parts.intake(), parts.relay(), parts.worker()):
        await put_source(parts.store, event.preview_file_id, source)
        await world.send(event)
        row = await _ended(parts, event.preview_file_id, "broken")
        assert row.failure_code == code
        last = (await eventually(lambda: world.statuses(event.preview_file_id), lambda seen: len(seen) == 2))[-1]
    assert last.error is not None
    assert (last.error.code, last.error.retryable) == (code, False)


async def test_an_absent_source_is_missing_after_two_looks_and_shows_as_broken(world: World) -> None:
    event = upload()
    async with parts_of(world) as parts, playing(parts.intake(), parts.relay(), parts.worker()):
        await world.send(event)
        await _ended(parts, event.preview_file_id, "missing")
        (task,) = await parts.database.fetch("SELECT looks, tries FROM task")
        last = (await eventually(lambda: world.statuses(event.preview_file_id), lambda seen: len(seen) == 2))[-1]
    assert (task.looks, task.tries) == (1, 0)
    assert (last.status, last.internal_status) == ("broken", "missing")


async def test_a_store_that_does_not_show_its_sentinel_makes_nothing_missing(world: World) -> None:
    event = upload()
    async with parts_of(world.with_settings(RETRY_LIMIT="3")) as parts:
        await parts.store.delete("movies", SENTINEL_KEY, condition=Unconditional())
        async with playing(parts.intake(), parts.relay(), parts.worker()):
            await world.send(event)
            await eventually(lambda: _failed(parts, "storage_unavailable"))
            await place_sentinels(parts.store, ["movies"], parts.settings.instance)
            await _ended(parts, event.preview_file_id, "missing")
        (task,) = await parts.database.fetch("SELECT tries, looks FROM task")
    assert tuple(task) == (0, 1)


async def _failed(parts: Parts, code: str) -> Any:
    """Whether a job went back to the queue with a code."""
    return await parts.database.fetch("SELECT 1 FROM task WHERE state = 'queued' AND failure_code = :code", code=code)


async def test_a_source_that_comes_between_the_looks_is_made_ready(world: World, clip: Path) -> None:
    event = upload()
    patient = world.with_settings(MISSING_CONFIRM_AFTER="2")
    async with parts_of(patient) as parts, playing(parts.intake(), parts.worker()):
        await world.send(event)
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE looks = 1"))
        await put_source(parts.store, event.preview_file_id, clip)
        await _ended(parts, event.preview_file_id, "ready")


async def test_a_preview_plays_on_while_it_is_renormalized_and_a_lost_source_makes_it_missing(
    world: World, clip: Path
) -> None:
    event = upload()
    asked = RenormalizeRequested(preview_file_id=event.preview_file_id, reason="again", requested_by="me")
    async with parts_of(world) as parts, playing(parts.intake(), parts.relay()):
        await put_source(parts.store, event.preview_file_id, clip)
        await world.send(event)
        async with playing(parts.worker()):
            await _ended(parts, event.preview_file_id, "ready")
        await parts.store.delete("movies", source_key(event.preview_file_id), condition=Unconditional())
        await world.send(asked)
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE state = 'queued'"))
        assert (await _row(parts, event.preview_file_id)).status == "ready"
        async with playing(parts.worker()):
            row = await _ended(parts, event.preview_file_id, "missing")
    assert any(stored["kind"] == "low_definition" for stored in row.files)


async def test_keep_playable_keeps_a_preview_ready_and_says_the_error(world: World, clip: Path) -> None:
    event = upload()
    asked = RenormalizeRequested(preview_file_id=event.preview_file_id, reason="again", requested_by="me")
    keeping = world.with_settings(KEEP_PLAYABLE="true")
    async with parts_of(keeping) as parts, playing(parts.intake(), parts.relay(), parts.worker()):
        await put_source(parts.store, event.preview_file_id, clip)
        await world.send(event)
        await _ended(parts, event.preview_file_id, "ready")
        await parts.store.delete("movies", source_key(event.preview_file_id), condition=Unconditional())
        await world.send(asked)
        last = (await eventually(lambda: world.statuses(event.preview_file_id), lambda seen: len(seen) == 3))[-1]
    assert last.internal_status == "ready"
    assert last.error is not None
    assert last.error.code == "source_missing"


async def test_a_new_upload_during_the_run_starts_the_job_again(world: World, clip: Path, tmp_path: Path) -> None:
    event = upload(upload_generation=1)
    again = upload(event.preview_file_id, upload_generation=2)
    async with parts_of(world) as parts, playing(parts.intake()):
        await put_source(parts.store, event.preview_file_id, clip)
        await world.send(event)
        async with playing(parts.worker()):
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE state = 'running'"))
            await world.send(again)
            await eventually(
                lambda: parts.database.fetch("SELECT 1 FROM request WHERE ended_at IS NULL"), lambda rows: not rows
            )
        outcomes = await parts.database.fetch("SELECT outcome FROM request")
        row = await _row(parts, event.preview_file_id)
    assert [request.outcome for request in outcomes] == ["ready", "ready"]
    assert (row.status, row.upload_generation) == ("ready", 2)


@pytest.mark.parametrize(
    "failure", [MediaError(FailureCode.CORRUPT, "the old file is damaged"), RuntimeError("ours")], ids=["file", "code"]
)
async def test_a_result_of_the_old_upload_says_nothing_of_the_new_one(
    world: World, clip: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    event = upload(upload_generation=1)
    again = upload(event.preview_file_id, upload_generation=2)
    began, replaced = asyncio.Event(), asyncio.Event()
    real = make_movie

    async def refuse_the_first(*arguments: Any, **options: Any) -> Any:
        if began.is_set():
            return await real(*arguments, **options)
        began.set()
        await replaced.wait()
        raise failure

    monkeypatch.setattr(workshop, "make_movie", refuse_the_first)
    async with (
        parts_of(world.with_settings(RETRY_LIMIT="1")) as parts,
        playing(parts.intake(), parts.relay(), parts.worker()),
    ):
        await put_source(parts.store, event.preview_file_id, clip)
        await world.send(event)
        await began.wait()
        await world.send(again)
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM preview_file WHERE upload_generation = 2"))
        replaced.set()
        await _ended(parts, event.preview_file_id, "ready")
        changes = await eventually(lambda: world.statuses(event.preview_file_id), lambda seen: len(seen) >= 3)
        outcomes = await parts.database.fetch("SELECT outcome FROM request")
    assert [each.internal_status for each in changes] == ["processing", "processing", "ready"]
    assert [request.outcome for request in outcomes] == ["ready", "ready"]


async def _queue(parts: Parts, world: World, clip: Path) -> UUID:
    event = upload()
    await put_source(parts.store, event.preview_file_id, clip)
    async with playing(parts.intake()):
        await world.send(event)
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task"))
    return event.preview_file_id


async def test_the_job_of_a_lost_worker_is_done_by_another_and_the_lost_one_can_change_nothing(
    world: World, clip: Path
) -> None:
    async with parts_of(world.with_settings(LEASE=str(pace()))) as parts:
        preview_file_id = await _queue(parts, world, clip)
        async with parts.database.begin() as connection:
            lost = await ledger.claim(connection, "lost", 1.0, idle=True)
        assert lost
        async with playing(parts.janitor(), parts.worker()):
            row = await _ended(parts, preview_file_id, "ready")
        assert row.fence > lost.fence
        async with parts.database.begin() as connection:
            assert not await ledger.end(connection, lost)
            assert not (await ledger.requeue(connection, lost)).held
        before = {stored["key"]: stored["etag"] for stored in row.files}

        async def confirm() -> None:
            if not await ledger.is_held(parts.database, lost):
                raise LostLeaseError

        # What the lost worker knew of the store: nothing was there yet.
        publisher = Publisher(
            parts.store, preview_file_id, {("movies", f"lowdef-{preview_file_id}"): "old"}, confirm, lambda _: None
        )
        with pytest.raises(LostLeaseError):
            await publisher.publish(ObjectKind.LOW_DEFINITION, clip)
        there = await parts.store.stat("movies", f"lowdef-{preview_file_id}")
        assert there is not None
        assert there.etag == before[f"lowdef-{preview_file_id}"]


async def test_a_job_that_loses_its_worker_three_times_is_poison(world: World, clip: Path) -> None:
    async with parts_of(world.with_settings(LEASE=str(pace()))) as parts:
        preview_file_id = await _queue(parts, world, clip)
        async with playing(parts.janitor()):
            for losses in range(3):
                await eventually(partial(_claim, parts, losses))
            row = await _ended(parts, preview_file_id, "broken")
    assert row.failure_code == "poison"


async def _claim(parts: Parts, losses: int) -> bool:
    async with parts.database.begin() as connection:
        task = await ledger.claim(connection, "dies", 1.0, idle=True)
    assert task is None or task.losses == losses
    return task is not None


async def test_a_worker_that_stops_hands_its_job_back_without_a_loss(world: World, clip: Path) -> None:
    async with parts_of(world.with_settings(DRAIN_BUDGET="0.01", DEFAULT_HEIGHT="1080")) as parts:
        preview_file_id = await _queue(parts, world, clip)
        async with playing(parts.worker()):
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE state = 'running'"))
        (task,) = await parts.database.fetch("SELECT state, losses, tries FROM task")
        assert (task.state, task.losses, task.tries) == ("queued", 0, 0)
        async with playing(parts.worker("second")):
            await _ended(parts, preview_file_id, "ready")


async def test_an_attempt_that_goes_silent_is_ended_by_the_watchdog(
    world: World, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with parts_of(world.with_settings(STALL_TIMEOUT="0.5")) as parts:
        preview_file_id = await _queue(parts, world, clip)
        silent = asyncio.Event()

        async def hang(*_: object, **__: object) -> Any:
            await silent.wait()

        monkeypatch.setattr(workshop, "make_movie", hang)  # ffmpeg cannot be asked to hang
        async with playing(parts.worker()):
            row = await _ended(parts, preview_file_id, "broken")
    assert row.failure_code == "timeout"


async def test_renormalizations_of_a_queued_preview_join_one_job_with_the_latest_wishes(
    world: World, clip: Path
) -> None:
    event = upload()
    wishes: list[Mapping[str, Any]] = [{"fps": "24"}, {"fps": "30"}]
    asked = [
        RenormalizeRequested.model_validate(
            {"preview_file_id": event.preview_file_id, "reason": "r", "requested_by": "me", "encoding": each}
        )
        for each in wishes
    ]
    async with parts_of(world) as parts, playing(parts.intake()):
        await put_source(parts.store, event.preview_file_id, clip)
        await world.send(event)
        async with playing(parts.worker()):
            await _ended(parts, event.preview_file_id, "ready")
        await world.send(*asked)
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM request"), lambda rows: len(rows) == 3)
        assert len(await parts.database.fetch("SELECT 1 FROM task WHERE state = 'queued'")) == 1
        async with playing(parts.worker()):
            await eventually(
                lambda: parts.database.fetch("SELECT 1 FROM request WHERE outcome = 'ready'"),
                lambda rows: len(rows) == 3,
            )
        assert (await _row(parts, event.preview_file_id)).fps == "30/1"


async def test_uploads_overtake_bulk_requests(world: World, clip: Path) -> None:
    done, later = upload(), upload()
    bulk = RenormalizeRequested.model_validate(
        {"preview_file_id": done.preview_file_id, "reason": "r", "requested_by": "me", "priority": "bulk"}
    )
    async with parts_of(world) as parts, playing(parts.intake()):
        await world.send(done)
        async with playing(parts.worker()):
            await _ended(parts, done.preview_file_id, "missing")
        await world.send(bulk)
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE lane = 'bulk'"))
        await world.send(later)
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task WHERE lane = 'upload' AND state = 'queued'"))
        async with parts.database.begin() as connection:
            first = await ledger.claim(connection, "w", 9.0, idle=True)
    assert first
    assert first.subject == str(later.preview_file_id)


async def test_an_orphan_in_processing_is_given_a_job(world: World, clip: Path) -> None:
    async with parts_of(world) as parts:
        preview_file_id = await _queue(parts, world, clip)
        await parts.database.fetch("DELETE FROM task RETURNING id")
        await parts.database.fetch("UPDATE preview_file SET updated_at = now() - interval '1 hour' RETURNING id")
        async with playing(parts.janitor(), parts.worker()):
            await _ended(parts, preview_file_id, "ready")


async def test_an_output_that_somebody_else_wrote_is_replaced_by_the_holder_of_the_lease(
    world: World, clip: Path, tmp_path: Path
) -> None:
    stray = tmp_path / "stray"
    stray.write_text(json.dumps({"left": "by another tool"}))
    preview_file_id = uuid4()

    async def confirm() -> None:
        """The lease is held."""

    async with parts_of(world) as parts:
        key = object_key(ObjectKind.TILE, preview_file_id)
        await parts.store.upload("pictures", key, stray, content_type="image/png", condition=Unconditional())
        publisher = Publisher(parts.store, preview_file_id, {("pictures", key): "gone"}, confirm, lambda _: None)
        written = await publisher.publish(ObjectKind.TILE, clip)
        there = await parts.store.stat("pictures", key)
    assert there is not None
    assert (there.etag, there.bytes) == (written.etag, clip.stat().st_size)


async def test_refused_credentials_are_storage_denied_never_missing(world: World, clip: Path) -> None:
    event = upload()
    async with parts_of(world) as parts, playing(parts.intake()):
        await world.send(event)
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task"))
    refused = world.with_settings(STORE__ACCESS_KEY_ID="NOBODY", RETRY_LIMIT="2")
    async with world.normalizer_database() as database:
        settings = refused.normalizer_settings()
        async with open_store(settings.store) as store:
            parts = Parts(settings, database, store, Health(), PreviewWorkshop(settings, database, store, tools()))
            with pytest.raises(AttemptFailedError):
                await store.stat("movies", "source-x")
            async with playing(parts.worker()):
                await eventually(lambda: _failed(parts, "storage_denied"))
        (task,) = await parts.database.fetch("SELECT tries, looks FROM task")
    assert tuple(task) == (0, 0)

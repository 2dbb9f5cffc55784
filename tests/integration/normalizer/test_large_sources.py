"""Jobs on large sources go to the workers that take them, and count nothing on the way."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from rushes_runtime.attempts import history
from rushes_schemas import PreviewUploaded

from tests.integration.normalizer.parts import Parts, parts_of
from tests.movies import make_clip
from tests.world import World, eventually, playing, put_source, source_key, upload


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of a small movie of 160x90 pixels."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    make_clip(path, "160x90", rate=24, seconds=0.5)
    return path


async def _take_in(parts: Parts, world: World, event: PreviewUploaded) -> None:
    async with playing(parts.intake()):
        await world.send(event)
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM task"))


@pytest.mark.parametrize("threshold", [{"LARGE_FROM_BYTES": "1000"}, {"LARGE_FROM_PIXELS": str(160 * 90)}])
async def test_a_source_found_to_be_large_is_handed_on_and_made_by_a_worker_for_large_ones(
    world: World, clip: Path, threshold: dict[str, str]
) -> None:
    event = upload()
    async with (
        parts_of(world.with_settings(TAKES="ordinary", **threshold)) as ordinary,
        parts_of(world.with_settings(TAKES="large", **threshold)) as large,
    ):
        await put_source(ordinary.store, event.preview_file_id, clip)
        await _take_in(ordinary, world, event)
        async with playing(ordinary.worker("ordinary")):
            (handed_on,) = await eventually(lambda: ordinary.database.fetch("SELECT * FROM task WHERE large"))
            assert (handed_on.state, handed_on.tries, handed_on.losses) == ("queued", 0, 0)
            async with playing(large.worker("large")):
                await eventually(lambda: ordinary.database.fetch("SELECT 1 FROM preview_file WHERE status = 'ready'"))
        attempts = await history(ordinary.database, str(event.preview_file_id))
    assert [attempt.outcome for attempt in attempts] == ["handed on", "done"]


async def test_a_source_just_under_the_thresholds_is_ordinary(world: World, clip: Path) -> None:
    event = upload()
    just_over = {"LARGE_FROM_BYTES": str(clip.stat().st_size + 1), "LARGE_FROM_PIXELS": str(160 * 90 + 1)}
    async with parts_of(world.with_settings(TAKES="ordinary", **just_over)) as parts:
        await put_source(parts.store, event.preview_file_id, clip)
        await _take_in(parts, world, event)
        async with playing(parts.worker()):
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM preview_file WHERE status = 'ready'"))


@pytest.mark.parametrize(("size", "is_large"), [(999, False), (1000, True)])
async def test_an_upload_whose_event_says_its_bytes_waits_for_the_right_worker_from_the_start(
    world: World, size: int, is_large: bool
) -> None:
    preview_file_id = uuid4()
    source = {"bucket": "movies", "key": source_key(preview_file_id), "bytes": size}
    async with parts_of(world.with_settings(LARGE_FROM_BYTES="1000")) as parts:
        await _take_in(parts, world, upload(preview_file_id, source=source))
        (task,) = await parts.database.fetch("SELECT large FROM task")
    assert task.large is is_large

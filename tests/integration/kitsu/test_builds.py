"""Playlists and missing tiles that Zou dispatches are built here, and written where Zou looks for them."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from PIL import Image
from rushes_runtime.store import Store, Unconditional
from rushes_schemas import ObjectKind, object_key
from rushes_schemas.outputs import MOVIES, PICTURES

from tests.integration.kitsu.bridge import Bridge, bridge_of, kitsu_database, logged
from tests.movies import frame, movie, numbers
from tests.unit.kitsu.zou_payloads import SECRET, playlist_payload, tile_payload
from tests.world import World, eventually

pytestmark = pytest.mark.extended

SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-c:a", "aac")


@asynccontextmanager
async def building(world: World, **settings: str) -> AsyncIterator[tuple[Bridge, Store]]:
    """A bridge with a process that builds, and the store."""
    async with world.store() as store, bridge_of(world, **settings) as bridge:
        world.process("rushes-kitsu", "build", log="build", **settings)
        yield bridge, store


async def put(store: Store, path: Path, prefix: str = "previews") -> UUID:
    """A movie of a preview, as one of its versions."""
    preview = uuid4()
    await store.upload(MOVIES, f"{prefix}-{preview}", path, content_type="video/mp4", condition=Unconditional())
    return preview


async def test_a_playlist_of_movies_that_are_coded_alike_holds_every_frame_of_each_in_their_order(
    world: World, tmp_path: Path
) -> None:
    async with building(world) as (bridge, store):
        first = await put(store, movie(tmp_path / "first.mp4", *X264, frames=12, sound=SOUND))
        second = await put(store, movie(tmp_path / "second.mp4", *X264, frames=7, sound=SOUND), "lowdef")
        build = uuid4()
        payload = playlist_payload(build, [first, second, first], width=None, fps="30")
        job = await bridge.ordered("zou-playlist", payload)
        assert await bridge.ended(job) == ("Complete", "")
        await store.download(MOVIES, f"playlists-{build}", tmp_path / "playlist.mp4")
    # At 25 frames a second, as they were: what is joined is not coded anew.
    assert numbers(tmp_path / "playlist.mp4") == [*range(12), *range(7), *range(12)]


@pytest.mark.parametrize("full", [False, True])
async def test_movies_that_are_coded_otherwise_are_coded_anew_to_the_size_and_rate_that_zou_asks_for(
    world: World, tmp_path: Path, full: bool
) -> None:
    async with building(world) as (bridge, store):
        wide = await put(store, movie(tmp_path / "wide.mp4", *X264, frames=10, sound=SOUND))
        other = wide
        if not full:
            other = await put(store, movie(tmp_path / "small.mp4", frames=6, width=160, height=90), "source")
        build = uuid4()
        payload = playlist_payload(build, [wide, other], full=full, width=240, height=136, fps="25.000")
        job = await bridge.ordered("zou-playlist", payload)
        assert (await bridge.ended(job))[0] == "Complete"
        await store.download(MOVIES, f"playlists-{build}", tmp_path / "playlist.mp4")
    assert numbers(tmp_path / "playlist.mp4") == [*range(10), *range(10 if full else 6)]
    assert frame(tmp_path / "playlist.mp4").shape == (136, 240, 3)


async def test_a_playlist_whose_movie_is_gone_fails_and_names_its_preview(world: World, tmp_path: Path) -> None:
    async with building(world) as (bridge, store):
        there, gone = await put(store, movie(tmp_path / "movie.mp4", frames=5)), uuid4()
        job = await bridge.ordered("zou-playlist", playlist_payload(uuid4(), [there, gone]))
        state, said = await bridge.ended(job)
        assert (state, f"no movie of the preview {gone}" in said) == ("Failed", True)


async def test_a_missing_tile_is_drawn_and_one_that_is_there_is_left_alone(world: World, tmp_path: Path) -> None:
    async with building(world) as (bridge, store):
        preview = await put(store, movie(tmp_path / "movie.mp4", *X264, frames=20, sound=SOUND), "lowdef")
        job = await bridge.ordered("rushes-tile", tile_payload(preview))
        assert (await bridge.ended(job))[0] == "Complete"
        key = object_key(ObjectKind.TILE, preview)
        await store.download(PICTURES, key, tmp_path / "tile.png")
        with Image.open(tmp_path / "tile.png") as tile:
            assert tile.size == (8 * 178, 3 * 100)
        before = await store.stat(PICTURES, key)
        again = await bridge.ordered("rushes-tile", tile_payload(preview))
        assert (await bridge.ended(again))[0] == "Complete"
        assert await logged(world, "tile_was_there", "build")
        assert await store.stat(PICTURES, key) == before


async def test_a_builder_that_is_killed_loses_no_playlist_and_no_secret_is_kept(world: World, tmp_path: Path) -> None:
    async with building(world, LOG_LEVEL="debug") as (bridge, store), kitsu_database(world) as database:
        first = await put(store, movie(tmp_path / "first.mp4", frames=200, width=640, height=360))
        build = uuid4()
        job = await bridge.ordered("zou-playlist", playlist_payload(build, [first], full=True))
        await eventually(lambda: database.fetch("SELECT 1 FROM task WHERE state = 'running' AND progress IS NOT NULL"))
        *_, builder = world.processes
        os.kill(builder.pid, signal.SIGKILL)
        in_schema = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'kitsu'"
        tables = await database.fetch(in_schema)
        for (table,) in tables:
            (stored,) = await database.fetch(f"SELECT coalesce(string_agg(t::text, ''), '') AS all FROM {table} AS t")
            assert SECRET not in stored.all
        assert await bridge.state(job) == "Running"
        world.process("rushes-kitsu", "build", log="second")
        assert (await bridge.ended(job))[0] == "Complete"
        assert await store.stat(MOVIES, f"playlists-{build}")
    assert all(SECRET not in log.read_text() for log in world.folder.glob("*.log"))

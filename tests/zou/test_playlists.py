"""Playlists and missing tiles of the real Zou, built by Rushes and served by Zou's own routes."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from PIL import Image
from rushes_runtime.store import Unconditional
from rushes_schemas import ObjectKind, object_key
from rushes_schemas.outputs import PICTURES

from tests.movies import movie, numbers
from tests.world import eventually
from tests.zou.conftest import Studio
from tests.zou.test_uploads import ended
from tests.zou.zou_client import Client


async def _built(artist: Client, *previews: UUID, full: bool = False) -> bytes:
    """The movie of a playlist, as Zou serves it."""
    playlist = await artist.playlist(*previews)
    build = await artist.build(playlist, full=full)
    status = await eventually(lambda: artist.build_status(playlist, build), lambda status: status != "running")
    assert status == "succeeded"
    async with artist.session.get(f"/data/playlists/{playlist}/jobs/{build}/build/mp4") as answer:
        assert answer.status == 200
        return await answer.read()


async def test_a_playlist_of_movies_of_rushes_is_joined_and_zou_serves_it(
    studio: Studio, artist: Client, tmp_path: Path
) -> None:
    first = await artist.upload(movie(tmp_path / "first.mp4", frames=9))
    second = await artist.upload(movie(tmp_path / "second.mp4", frames=14))
    for preview in (first, second):
        assert await ended(artist, preview) == "ready"
    (tmp_path / "playlist.mp4").write_bytes(await _built(artist, first, second))
    assert numbers(tmp_path / "playlist.mp4") == [*range(9), *range(14)]


async def test_a_playlist_of_movies_that_both_have_made_holds_all_of_their_frames(
    studio: Studio, artist: Client, tmp_path: Path
) -> None:
    ours = await artist.upload(movie(tmp_path / "ours.mp4", frames=9))
    assert await ended(artist, ours) == "ready"
    with studio.zou.workers_with(ENABLE_JOB_QUEUE_REMOTE="false"):
        zous = await artist.upload(movie(tmp_path / "zous.mp4", frames=14))
        assert await ended(artist, zous) == "ready"
    assert not await studio.world.statuses(zous)
    (tmp_path / "playlist.mp4").write_bytes(await _built(artist, zous, ours))
    assert numbers(tmp_path / "playlist.mp4") == [*range(14), *range(9)]


async def test_a_tile_that_zou_misses_is_built_and_served(studio: Studio, artist: Client, tmp_path: Path) -> None:
    preview = await artist.upload(movie(tmp_path / "upload.mp4", frames=20))
    assert await ended(artist, preview) == "ready"
    async with studio.world.store() as store:
        await store.delete(PICTURES, object_key(ObjectKind.TILE, preview), condition=Unconditional())
    route = f"/movies/tiles/preview-files/{preview}.png"

    async def served() -> int:
        async with artist.session.get(route) as answer:
            (tmp_path / "tile.png").write_bytes(await answer.read())
            return answer.status

    assert await served() == 404
    await eventually(served, lambda status: status == 200)
    with Image.open(tmp_path / "tile.png") as tile:
        assert tile.size == (8 * 178, 3 * 100)

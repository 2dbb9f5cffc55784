"""Movies that are uploaded to the real Zou as Kitsu does it: Rushes makes the outputs, Zou serves them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from uuid import UUID

import pytest

from tests.movies import movie
from tests.world import eventually
from tests.zou.conftest import HEIGHT, WIDTH, Studio
from tests.zou.zou_client import ROUTES, Client


async def ended(artist: Client, preview_file_id: UUID) -> str:
    """A preview's status once it has one."""
    return await eventually(lambda: artist.status(preview_file_id), lambda status: status != "processing")


async def made_by_rushes(studio: Studio, preview_file_id: UUID) -> dict[tuple[str, str], str]:
    """The SHA-256 of each object that Rushes announced, by bucket and prefix of the key."""
    (*_, last) = await studio.world.statuses(preview_file_id)
    return {
        (stored.bucket, stored.key.removesuffix(f"-{preview_file_id}")): str(stored.sha256) for stored in last.files
    }


async def test_a_movie_is_ready_and_zou_serves_what_rushes_wrote_byte_for_byte(
    studio: Studio, artist: Client, tmp_path: Path
) -> None:
    upload = movie(tmp_path / "upload.mp4", frames=50, width=640, height=360)
    preview = await artist.upload(upload)
    assert await artist.status(preview) == "processing"
    assert await ended(artist, preview) == "ready"
    row = await artist.preview(preview)
    assert (row["width"], row["height"], row["duration"]) == (WIDTH, HEIGHT, pytest.approx(2.0, abs=0.05))
    made = await made_by_rushes(studio, preview)
    for route, place in ROUTES.items():
        served = await artist.served(route, preview)
        assert hashlib.sha256(served).hexdigest() == made[place], route


async def test_a_file_that_is_no_movie_is_broken_and_zous_log_says_why(
    studio: Studio, artist: Client, tmp_path: Path
) -> None:
    upload = tmp_path / "upload.mp4"
    upload.write_bytes(b"this is no movie, whatever its name says\n" * 200)
    preview = await artist.upload(upload)
    assert await ended(artist, preview) == "broken"
    assert "not_a_movie: " in studio.zou.worker_log.read_text()
    assert f"rushes-normalizer history {preview}" in studio.zou.worker_log.read_text()


async def test_without_high_definition_zou_serves_the_low(studio: Studio, artist: Client, tmp_path: Path) -> None:
    upload = movie(tmp_path / "upload.mp4")
    with studio.zou.workers_with(SKIP_NORMALIZATION_HIGHDEF="true"):
        preview = await artist.upload(upload)
        assert await ended(artist, preview) == "ready"
    made = await made_by_rushes(studio, preview)
    assert ("movies", "previews") not in made
    for route in ("/movies/originals/preview-files/{}.mp4", "/movies/low/preview-files/{}.mp4"):
        served = await artist.served(route, preview)
        assert hashlib.sha256(served).hexdigest() == made["movies", "lowdef"], route


async def test_without_normalization_zou_serves_the_upload_with_pictures_of_rushes(
    studio: Studio, artist: Client, tmp_path: Path
) -> None:
    upload = movie(tmp_path / "upload.mp4")
    with studio.zou.workers_with(SKIP_NORMALIZATION_FULL="true"):
        preview = await artist.upload(upload)
        assert await ended(artist, preview) == "ready"
    made = await made_by_rushes(studio, preview)
    assert await artist.served("/movies/originals/preview-files/{}.mp4", preview) == upload.read_bytes()
    for route in ("/pictures/thumbnails/preview-files/{}.png", "/movies/tiles/preview-files/{}.png"):
        assert hashlib.sha256(await artist.served(route, preview)).hexdigest() == made[ROUTES[route]], route


async def test_an_import_reads_the_database_of_the_real_zou(studio: Studio, artist: Client, tmp_path: Path) -> None:
    async def counted() -> dict[str, int]:
        command = ("import", "--dry-run", "--json")
        url = studio.zou.database_url
        code, out, error = await studio.world.command("rushes-kitsu", *command, ZOU_DATABASE_URL=url)
        assert code == 0, error
        counts: dict[str, int] = json.loads(out)
        return counts

    before = await counted()
    preview = await artist.upload(movie(tmp_path / "upload.mp4", frames=5))
    assert await ended(artist, preview) == "ready"
    after = await counted()
    # Zou keeps no sources by default, but a remote worker needs one, and Zou leaves it.
    grown = {name: after[name] - before[name] for name in ("previews", "source", "outputs", "nothing")}
    assert grown == {"previews": 1, "source": 1, "outputs": 0, "nothing": 0}

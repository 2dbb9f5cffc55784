"""What Zou says of a movie against what Rushes made of it: `rushes-kitsu follow` sets it right, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from PIL import Image
from rushes_embedded.leash import Leash
from rushes_runtime.store import Unconditional
from rushes_schemas.outputs import MOVIES

from tests.integration.kitsu.bridge import kitsu_database, logged
from tests.movies import movie
from tests.world import World, eventually, source_key
from tests.zou.conftest import FPS, HEIGHT, WIDTH, Studio
from tests.zou.zou_client import Client, logged_in


@contextmanager
def following(studio: Studio, **settings: str) -> Iterator[World]:
    """`rushes-kitsu follow`, for as long as the block runs."""
    world = studio.world
    process: Leash = world.process(
        "rushes-kitsu", "follow", log="follow", ZOU_URL=studio.zou.address, FOLLOW_INTERVAL="0.5", **settings
    )
    try:
        yield world
    finally:
        process.stop()
        world.processes.remove(process)


async def row(artist: Client, preview: UUID) -> tuple[Any, ...]:
    """What Zou says of a preview."""
    found = await artist.preview(preview)
    return tuple(found[name] for name in ("status", "width", "height"))


async def test_a_preview_that_zou_calls_broken_though_it_was_made_is_set_right_and_only_once(
    studio: Studio, artist: Client, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("expired")
    preview = await artist.upload(movie(tmp_path / "upload.mp4", frames=5))
    await eventually(lambda: artist.status(preview), lambda status: status == "ready")
    wrong = {"status": "broken", "width": 0, "height": 0}
    path = f"/data/preview-files/{preview}"
    await artist.call("PUT", path, json=wrong)
    with following(studio, ZOU_TOKEN_FILE=str(token)) as world:
        await eventually(lambda: logged(world, "Zou refuses ZOU_TOKEN", "follow"))
        assert (await row(artist, preview))[0] == "broken"
        token.write_text(artist.token)
        await eventually(lambda: row(artist, preview), lambda found: found == ("ready", WIDTH, HEIGHT))
        # Whoever says so later is believed: other previews are set right, this one is left alone.
        await artist.call("PUT", path, json=wrong)
        other = await artist.upload(movie(tmp_path / "other.mp4", frames=5))
        await eventually(lambda: artist.status(other), lambda status: status == "ready")
        assert (await row(artist, preview))[0] == "broken"
    assert artist.token not in (world.folder / "follow.log").read_text()


async def test_a_movie_that_outlasts_zous_time_out_ends_ready(studio: Studio, tmp_path: Path) -> None:
    normalizer, *_ = studio.world.processes
    with studio.zou.web_host_with(JOB_QUEUE_TIMEOUT="5") as address:
        async with logged_in(address) as artist:
            await artist.make_task(resolution=f"{WIDTH}x{HEIGHT}", fps=FPS)
            os.kill(normalizer.pid, signal.SIGSTOP)
            try:
                preview = await artist.upload(movie(tmp_path / "upload.mp4", frames=5))
                await eventually(lambda: artist.status(preview), lambda status: status == "broken")
            finally:
                os.kill(normalizer.pid, signal.SIGCONT)
            with following(studio, ZOU_TOKEN=artist.token):
                await eventually(lambda: row(artist, preview), lambda found: found == ("ready", WIDTH, HEIGHT))


async def test_what_zou_did_not_ask_for_is_written_back(studio: Studio, artist: Client, tmp_path: Path) -> None:
    world = studio.world
    preview = await artist.upload(movie(tmp_path / "upload.mp4", frames=5))
    await eventually(lambda: artist.status(preview), lambda status: status == "ready")
    renormalize = ("renormalize", "--preview-file-id", str(preview), "--wait")
    await artist.call("PUT", f"/data/preview-files/{preview}", json={"width": 0, "height": 0, "file_size": 1})
    with following(studio, ZOU_TOKEN=artist.token):
        assert (await world.command("rushes-normalizer", *renormalize))[0] == 0
        await eventually(lambda: row(artist, preview), lambda found: found == ("ready", WIDTH, HEIGHT))
        made = {stored.kind: stored.bytes for stored in (await world.statuses(preview))[-1].files}
        assert (await artist.preview(preview))["file_size"] == made["high_definition"]
        async with world.store() as store:
            await store.delete(MOVIES, source_key(preview), condition=Unconditional())
        await world.command("rushes-normalizer", *renormalize)
        assert (await world.statuses(preview))[-1].internal_status == "missing"
        await eventually(lambda: artist.status(preview), lambda status: status == "broken")


async def test_a_picture_that_zou_made_and_its_deletion_become_known_to_rushes(
    studio: Studio, artist: Client, tmp_path: Path
) -> None:
    async def last(preview: UUID) -> tuple[str, bool] | None:
        statuses = await studio.world.statuses(preview)
        return (statuses[-1].internal_status, statuses[-1].deleted) if statuses else None

    Image.new("RGB", (640, 360), "teal").save(tmp_path / "picture.png")
    with following(studio, ZOU_TOKEN=artist.token, ZOU_DATABASE_URL=studio.zou.database_url):
        async with kitsu_database(studio.world) as database:  # it tells of what comes after its first look
            await eventually(lambda: database.fetch("SELECT 1 FROM zou_events_read"))
        preview = await artist.upload(tmp_path / "picture.png")
        await eventually(lambda: last(preview), lambda found: found == ("ready", False))
        assert await artist.status(preview) == "ready"
        async with artist.session.delete(f"/data/preview-files/{preview}", params={"force": "true"}) as answer:
            assert answer.status == 204
        await eventually(lambda: last(preview), lambda found: found is not None and found[1])

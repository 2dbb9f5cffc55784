"""What Zou says of a movie against what Rushes made of it: `rushes-kitsu follow` sets it right, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from rushes_embedded.leash import Leash

from tests.integration.kitsu.bridge import logged
from tests.movies import movie
from tests.world import World, eventually
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

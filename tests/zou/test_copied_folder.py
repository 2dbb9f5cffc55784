"""A folder that `rushes-syncer` filled, and the real Zou with `FS_BACKEND=local` that serves it at the other site."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.movies import movie
from tests.world import eventually
from tests.zou.conftest import Studio
from tests.zou.test_uploads import made_by_rushes
from tests.zou.zou_client import ROUTES, Client, logged_in


async def test_a_zou_at_another_site_serves_from_its_folder_what_was_copied_byte_for_byte(
    studio: Studio, artist: Client, tmp_path: Path
) -> None:
    preview = await artist.upload(movie(tmp_path / "upload.mp4", frames=50, width=640, height=360))
    await eventually(lambda: artist.status(preview), lambda status: status == "ready")
    made = await made_by_rushes(studio, preview)
    folder = tmp_path / "lyon"
    site = {"SITES__LYON__ROOT": str(folder), "SYNC_SOURCE_MOVIES": "true"}
    for command in (("migrate", "--store"), ("full",), ("verify", "--deep")):
        code, said, errors = await studio.world.command("rushes-syncer", *command, **site)
        assert code == 0, said + errors
    there = studio.zou.web_host_with(FS_BACKEND="local", FS_BUCKET_PREFIX="", PREVIEW_FOLDER=str(folder))
    with there as address:
        async with logged_in(address) as reviewer:
            for route, place in ROUTES.items():
                served = await reviewer.served(route, preview)
                assert hashlib.sha256(served).hexdigest() == made[place], route
            # It is this folder that is served, and not the first site's store.
            for path in folder.rglob(str(preview)):
                path.unlink()
            async with reviewer.session.get(next(iter(ROUTES)).format(preview)) as answer:
                assert answer.status == 404, json.dumps(await answer.text())

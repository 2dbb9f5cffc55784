"""The peak memory of each service while movies of all sizes go through: the service alone, its children apart."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from rushes_embedded.studio import Studio
from rushes_normalizer.kinds import UploadKind
from rushes_normalizer.media.tools import find_tools
from rushes_normalizer.outcomes import follow_requests
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.publish import open_sender, store_upload, upload_event
from rushes_runtime.database import Database
from rushes_runtime.store import LocalStore, open_store
from rushes_schemas import Envelope

from tests.bench.movies import make_movie_of_size
from tests.bench.saying import say

# Sources are copied to the site, too: the largest objects that there are.
SETTINGS: Final = {"SYNC_SOURCE_MOVIES": "true", "POLL_INTERVAL": "0.2"}
_SYNC_SECONDS: Final = 300.0
_ENDED: Final = "SELECT id, status, failure_message, files FROM preview_file WHERE id = ANY(:ids)"


async def measure_memory(megabytes: Sequence[int]) -> dict[str, Any]:
    """Publish all at once, wait until the second site holds them; the figures as JSON has them."""
    tools = find_tools()
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as name:
        folder = Path(name)
        with Studio(folder / "studio", SETTINGS) as studio:
            idle = _peaks(studio)
            movies = []
            for size in megabytes:
                say(f"making a movie of {size} MB")
                movies.append(folder / f"{size}.mov")
                await make_movie_of_size(tools, movies[-1], size)
            await _publish_and_wait(studio, movies)
            peaks = _peaks(studio)
            sizes = [round(movie.stat().st_size / 1e6, 1) for movie in movies]
    return {"peak_rss_mb": peaks, "memory": {"peak_rss_mb_when_started": idle, "source_megabytes": sizes}}


async def _publish_and_wait(studio: Studio, movies: Sequence[Path]) -> None:
    settings = studio.settings()
    database = Database.of(settings, SCHEMA)
    try:
        async with open_store(settings.store) as store, open_sender(settings.kafka) as sender:
            envelopes: list[Envelope] = []
            for movie in movies:
                preview = uuid4()
                source = await store_upload(store, movie, preview, "mov", UploadKind.MOVIE)
                envelopes.append(upload_event(preview, "mov", source, {"name": movie.stem}))
            await sender.send(envelopes)
        say(f"{len(movies)} previews published")
        await _follow(studio, database, {envelope.event_id for envelope in envelopes})
        rows = await database.fetch(_ENDED, ids=[envelope.event.preview_file_id for envelope in envelopes])
        for row in rows:
            assert row.status == "ready", f"{row.id} is {row.status}: {row.failure_message}"
        await _synced(studio, {row.id: row.files for row in rows})
    finally:
        await database.close()


async def _follow(studio: Studio, database: Database, event_ids: set[str]) -> None:
    ended = -1
    async for known in follow_requests(database, event_ids):
        studio.check()
        now = sum(bool(request["outcome"]) for request in known.values())
        if now != ended:
            ended = now
            say(f"{ended} of {len(event_ids)} ended: {_peaks(studio)}")


async def _synced(studio: Studio, files: Mapping[UUID, Sequence[Mapping[str, Any]]]) -> None:
    """Wait until the second site holds every object."""
    site = LocalStore(studio.site)
    deadline = time.monotonic() + _SYNC_SECONDS
    for stored in (each for of_preview in files.values() for each in of_preview):
        while True:
            held = await site.stat(stored["bucket"], stored["key"])
            if held is not None and held.bytes == stored["bytes"]:
                break
            studio.check()
            assert time.monotonic() < deadline, f"{stored['key']} does not come to the second site"
            await asyncio.sleep(0.2)
    say("the second site holds all objects")


def _peaks(studio: Studio) -> dict[str, float]:
    """The most memory that each service had so far, in MB of 2^20 bytes."""
    return {service.removeprefix("rushes-"): _peak_rss(leash.pid) for service, leash in studio.services.items()}


def _peak_rss(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    (kilobytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return round(int(kilobytes) / 1024, 1)

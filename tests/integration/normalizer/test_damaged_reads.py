"""Bytes that come damaged from the store say nothing of the file that lies there; damaged to it, they are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rushes_embedded.ports import LOOPBACK
from rushes_embedded.stack import Stack
from rushes_runtime.store import IfAbsent, StoreUnavailableError

from tests.faults.s3_proxy import S3Proxy
from tests.integration.normalizer.parts import Parts, parts_of
from tests.movies import movie
from tests.world import World, eventually, playing, put_source, upload

CLIENT = "worker"


@asynccontextmanager
async def _through_proxy(world: World, stack: Stack) -> AsyncIterator[tuple[Parts, S3Proxy]]:
    """The normalizer's parts, whose store lies behind a proxy."""
    proxy = S3Proxy(stack.objects.endpoint_url, (CLIENT,))
    async with proxy.serve():
        address = f"http://{LOOPBACK}:{proxy.ports[CLIENT]}"
        async with parts_of(world.with_settings(STORE__ENDPOINT_URL=address, RETRY_LIMIT="100")) as parts:
            yield parts, proxy


async def _rows(parts: Parts, statement: str) -> Any:
    return await eventually(lambda: parts.database.fetch(statement))


@pytest.mark.parametrize("described", [True, False], ids=["checksum in the event", "no checksum in the event"])
async def test_a_source_that_comes_damaged_is_read_again_and_never_called_broken(
    world: World, stack: Stack, tmp_path: Path, described: bool
) -> None:
    path = movie(tmp_path / "clip.mp4", frames=12, width=64, height=36)
    if not described:  # no demuxer reads it, however it comes
        path.write_bytes(b"no movie at all\n" * 100)
    event = upload()
    async with _through_proxy(world, stack) as (parts, proxy), playing(parts.intake(), parts.worker()):
        source = await put_source(parts.store, event.preview_file_id, path)
        with proxy.trouble("flipped", frozenset({CLIENT})):
            await world.send(event.model_copy(update={"source": source if described else None}))
            # Its sentinel comes damaged too, so the store counts as down, and the job is not charged a try.
            (task,) = await _rows(parts, "SELECT * FROM task WHERE state = 'queued' AND failure_code IS NOT NULL")
            assert (task.failure_code, task.tries) == ("storage_unavailable", 0)
            assert "came damaged" in task.failure_message
        (row,) = await _rows(parts, "SELECT * FROM preview_file WHERE status <> 'processing'")
    assert row.status == ("ready" if described else "broken")
    assert row.failure_code == (None if described else "not_a_movie")


async def test_the_row_keeps_the_checksum_of_the_source_that_was_read(world: World, tmp_path: Path) -> None:
    event = upload()
    async with parts_of(world) as parts:
        first = movie(tmp_path / "first.mp4", frames=12, width=64, height=36)
        source = await put_source(parts.store, event.preview_file_id, first)
        second = movie(tmp_path / "second.mp4", frames=13, width=64, height=36)
        replaced = await put_source(parts.store, event.preview_file_id, second)
        async with playing(parts.intake(), parts.worker()):
            await world.send(event.model_copy(update={"source": source}))
            (row,) = await _rows(parts, "SELECT * FROM preview_file WHERE status = 'ready'")
    assert (row.source["etag"], row.source["sha256"]) == (replaced.etag, replaced.sha256)


@pytest.mark.parametrize("size", [2_000, 6 << 20], ids=["whole", "in parts"])
async def test_an_output_that_arrives_damaged_is_refused(world: World, stack: Stack, tmp_path: Path, size: int) -> None:
    path = tmp_path / "output"
    path.write_bytes(b"frames" * (size // 6))
    async with _through_proxy(world, stack) as (parts, proxy):
        with proxy.trouble("flipped", frozenset({CLIENT})), pytest.raises(StoreUnavailableError, match="BadDigest"):
            await parts.store.upload("movies", "output", path, content_type="video/mp4", condition=IfAbsent())
        assert await parts.store.stat("movies", "output") is None

"""Which of many objects a store lacks: absent, refused and unreachable are three answers here too."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from rushes_embedded.stack import Stack
from rushes_runtime.store import Store, StoreDeniedError, StoreUnavailableError, Unconditional, open_store

from tests.world import World, eventually, free_port

# The signs that a key may have, as `rushes_schemas.fields.ObjectKey` says.
KEYS = ["source-1", "AZaz09!_.*'()-", "folder-a/b.c/d", "source-2"]


async def _put(store: Store, key: str, path: Path) -> None:
    await store.upload("movies", key, path, content_type="video/mp4", condition=Unconditional())


async def test_what_is_there_is_not_absent_whatever_signs_its_key_has(world: World, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    async with world.store() as store:
        assert await store.absent("movies", KEYS) == set(KEYS)
        for key in KEYS[:3]:
            await _put(store, key, tmp_path / "one")
        assert await store.absent("movies", KEYS) == {"source-2"}
        assert await store.absent("movies", []) == set()


async def test_in_a_folder_too(world: World, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    async with world.with_settings(STORE__KIND="local", STORE__ROOT=str(tmp_path / "store")).store() as store:
        await _put(store, "source-0123456789", tmp_path / "one")
        assert await store.absent("movies", ["source-0123456789", "source-9876543210"]) == {"source-9876543210"}


async def test_a_refusal_is_no_absence(world: World, stack: Stack) -> None:
    stranger = stack.objects.stranger
    refused = world.with_settings(
        STORE__ACCESS_KEY_ID=stranger.access_key_id, STORE__SECRET_ACCESS_KEY=stranger.secret_access_key
    )
    unknown = world.with_settings(STORE__ACCESS_KEY_ID="nobody", STORE__SECRET_ACCESS_KEY="nothing")
    async with world.store():
        for each in (refused, unknown):
            async with open_store(each.normalizer_settings().store) as store:
                with pytest.raises(StoreDeniedError, match="403"):
                    await store.absent("movies", ["source-1", "source-2"])


async def test_a_store_that_is_away_is_no_absence(world: World) -> None:
    away = world.with_settings(STORE__ENDPOINT_URL=f"http://127.0.0.1:{free_port()}")
    async with open_store(away.normalizer_settings().store) as store:
        with pytest.raises(StoreUnavailableError):
            await store.absent("movies", ["source-1"])


async def test_a_look_at_a_store_that_hangs_can_be_given_up_and_leaves_no_thread_for_long(world: World) -> None:
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()  # to its end, which is the client's
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hanging = world.with_settings(STORE__ENDPOINT_URL=f"http://127.0.0.1:{port}", STORE__READ_TIMEOUT="1")
    async with server, open_store(hanging.normalizer_settings().store) as store:
        look = asyncio.create_task(store.absent("movies", [f"source-{number}" for number in range(1000)]))
        await asked.wait()
        look.cancel()
        done, _ = await asyncio.wait([look], timeout=0.5)  # whoever stops waits no longer than for that
        assert done

    async def looking() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name.startswith("heads")]

    await eventually(looking, until=lambda names: not names)  # a process waits for its threads before it exits

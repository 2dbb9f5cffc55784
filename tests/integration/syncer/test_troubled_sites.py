"""What goes wrong while a syncer copies: the site ends right, with no half or wrong object and no upload left."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from uuid import uuid4

import pytest
from aiohttp import web
from multidict import CIMultiDict
from rushes_embedded.stack import Stack
from rushes_runtime.store import IfAbsent, Store
from rushes_runtime.store.endpoint import Endpoint
from rushes_schemas import ObjectKind, PreviewStatus, StoredFile, object_key
from rushes_syncer.abandoned import remove_abandoned

from tests.faults.s3_proxy import S3Proxy
from tests.integration.syncer.copies import content
from tests.integration.syncer.follower import Follower, change, follower
from tests.world import PATIENCE, World, eventually, playing

PARTED = 11 << 20
LYON = "lyon"


def _through(world: World, proxy: S3Proxy) -> World:
    """The world with a site in S3, which is reached through a proxy."""
    names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    same = {f"SITES__LYON__{name}": world.environment[f"STORE__{name}"] for name in names}
    return world.with_settings(
        SITES__LYON__KIND="s3",
        SITES__LYON__ENDPOINT_URL=f"http://127.0.0.1:{proxy.ports[LYON]}",
        SITES__LYON__BUCKET_PREFIX=f"{world.environment['STORE__BUCKET_PREFIX']}lyon-",
        **same,
    )


@asynccontextmanager
async def _follower(world: World, proxy: S3Proxy) -> AsyncIterator[Follower]:
    async with proxy.serve(), follower(_through(world, proxy)) as lyon:
        yield lyon


async def _is_right(lyon: Follower, files: list[StoredFile]) -> None:
    """The site holds these files, byte by byte, and nothing half done."""
    for stored in files[1:]:
        async with lyon.site.read(stored.bucket, stored.key) as reading:
            sha256 = hashlib.sha256(b"".join([chunk async for chunk in reading.chunks])).hexdigest()
        assert sha256 == stored.sha256
    assert len(await lyon.held()) == len(files) - 1
    rows = await lyon.database.fetch("SELECT key, sha256, etag FROM held")
    assert {row.key: row.sha256 for row in rows} == {stored.key: stored.sha256 for stored in files[1:]}
    assert await _left_behind(lyon.site) == 0


async def _left_behind(site: Store) -> int:
    """Uploads that nobody ends; they are removed."""
    return await remove_abandoned(site, timedelta(minutes=-1))


async def _tasks(lyon: Follower) -> list[tuple[str, int]]:
    return [(row.state, row.tries) for row in await lyon.database.fetch("SELECT state, tries FROM task ORDER BY fence")]


def _all_ended(tasks: list[tuple[str, int]]) -> bool:
    return bool(tasks) and not {"queued", "running"} & {state for state, _ in tasks}


def _all_done(tasks: list[tuple[str, int]]) -> bool:
    return bool(tasks) and all(state == "done" for state, _ in tasks)


class _OffByItsClock(S3Proxy):
    """A server whose clock is off: what it says of times, in headers and listings."""

    def __init__(self, upstream: str, off: timedelta) -> None:
        super().__init__(upstream, (LYON,))
        self._off = off
        self.said = 0

    def rewritten(self, content: bytes, headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        changed = CIMultiDict(headers)
        for name in ("Date", "Last-Modified"):
            if name in changed:
                changed[name] = format_datetime(parsedate_to_datetime(changed[name]) + self._off, usegmt=True)
                self.said += 1
        return re.sub(rb"(?<=<LastModified>)[^<]+|(?<=<Initiated>)[^<]+", self._later, content), changed

    def _later(self, match: re.Match[bytes]) -> bytes:
        moment = datetime.fromisoformat(match[0].decode()) + self._off
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z").encode()


@pytest.mark.extended
@pytest.mark.parametrize("hours", [-40, 40])
async def test_a_site_whose_clock_is_off_gets_its_copies_once_and_shows_no_drift(
    world: World, stack: Stack, hours: int
) -> None:
    preview = uuid4()
    proxy = _OffByItsClock(stack.objects.endpoint_url, timedelta(hours=hours))
    async with _follower(world, proxy) as lyon, playing(lyon.intake, lyon.worker):
        for version, made in ((2, content(PARTED)), (3, b"another")):
            files = await lyon.publish(preview, made)
            await world.send(change(preview, version, PreviewStatus.READY, files))
            newest = files[1].sha256
            await eventually(lambda: lyon.database.fetch("SELECT 1 FROM held WHERE sha256 = :sha", sha=newest))  # noqa: B023
        await _is_right(lyon, files)
        for command in ("verify", "full"):
            code, said, errors = await lyon.world.command("rushes-syncer", command, "--json")
            assert code == 0, said + errors
            (report,) = json.loads(said)["sites"]
            assert (report.get("left", 0), report["copied"], report["looked_at"]) == (0, 0, 3)
        assert proxy.said
        assert {tries for _, tries in await _tasks(lyon)} == {0}


@pytest.mark.parametrize("hours", [-40, 40])
async def test_how_old_an_upload_is_is_told_by_the_clock_of_its_site(world: World, stack: Stack, hours: int) -> None:
    proxy = _OffByItsClock(stack.objects.endpoint_url, timedelta(hours=hours))
    async with _follower(world, proxy) as lyon:
        size = len(content(PARTED))
        key = object_key(ObjectKind.LOW_DEFINITION, uuid4())
        async with lyon.site.write("movies", key, size=size, content_type="video/mp4", condition=IfAbsent()) as writing:
            await writing.write(content(PARTED))
            assert await remove_abandoned(lyon.site) == 0, "it is a moment old, and goes on"
            await writing.commit()
        await _begin_and_leave(lyon, key)
        assert await remove_abandoned(lyon.site, timedelta(hours=1)) == 0
        assert await _left_behind(lyon.site) == 1


async def _begin_and_leave(lyon: Follower, key: str) -> None:
    endpoint: Endpoint = lyon.site._endpoint  # type: ignore[attr-defined]
    await endpoint.client.create_multipart_upload(Bucket=endpoint.full_name("movies"), Key=key)


class _Refusing(S3Proxy):
    """A server that refuses some writes while `kind` says how."""

    def __init__(self, upstream: str, bucket: str, code: str) -> None:
        super().__init__(upstream, (LYON,))
        self._bucket = bucket
        self._code = code
        self.refuses = True
        self.refused = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.refuses and f"-{self._bucket}/" in request.path and (self._code != "AccessDenied" or _writes(request)):
            self.refused += 1
            return web.Response(status=403, text=f"<Error><Code>{self._code}</Code></Error>")
        return await super().handle(request)


def _writes(request: web.Request) -> bool:
    return request.method in {"PUT", "POST"}


@pytest.mark.extended
@pytest.mark.parametrize("code", ["AccessDenied", "RequestTimeTooSkewed"])
async def test_a_bucket_that_is_refused_for_a_while_is_filled_afterwards(world: World, stack: Stack, code: str) -> None:
    preview = uuid4()
    proxy = _Refusing(stack.objects.endpoint_url, "movies", code)
    patient = world.with_settings(RETRY_LIMIT="100", RETRY_LONGEST_WAIT="0.5")
    proxy.refuses = False
    async with _follower(patient, proxy) as lyon, playing(lyon.intake, lyon.worker):
        proxy.refuses = True
        files = await lyon.publish(preview, content(PARTED))
        await world.send(change(preview, 2, PreviewStatus.READY, files))
        before = proxy.refused
        await eventually(lambda: _refusals(proxy), lambda refused: refused > before + 3)
        assert not {key for key in await lyon.held() if key.startswith("lowdef-")}
        proxy.refuses = False
        await eventually(lambda: _tasks(lyon), _all_done)
        await _is_right(lyon, files)


async def _refusals(proxy: _Refusing) -> int:
    return proxy.refused


@pytest.mark.extended
async def test_a_syncer_that_is_killed_while_it_uploads_in_parts_leaves_nothing_and_the_next_one_ends_it(
    world: World, stack: Stack
) -> None:
    preview = uuid4()
    proxy = S3Proxy(stack.objects.endpoint_url, (LYON,))
    async with _follower(world, proxy) as lyon:
        files = await lyon.publish(preview, content(PARTED))
        with proxy.trap(LYON, of_part=True) as trap:
            killed = lyon.world.process("rushes-syncer", "run", log="killed")
            await world.send(change(preview, 2, PreviewStatus.READY, files))
            await asyncio.wait_for(trap.sprung.wait(), PATIENCE)
            os.kill(killed.pid, signal.SIGKILL)
            killed.wait()
        assert trap.key.endswith(str(preview))
        assert trap.key not in await lyon.held(), "no half object"
        lyon.world.process("rushes-syncer", "run", log="next")
        try:
            await eventually(lambda: _tasks(lyon), _all_done)
        finally:
            lyon.world.stop_processes()
        assert await _left_behind(lyon.site) == 1
        await _is_right(lyon, files)


@pytest.mark.apache_kafka
async def test_a_partition_that_is_revoked_in_mid_copy_leaves_the_site_with_the_newest_files(
    world: World, stack: Stack
) -> None:
    preview = uuid4()
    proxy = S3Proxy(stack.objects.endpoint_url, (LYON,))
    async with _follower(world, proxy) as lyon, playing(lyon.worker):
        first = await lyon.publish(preview, content(PARTED))
        with proxy.trap(LYON, of_part=True) as trap:
            async with playing(lyon.intake):
                await world.send(change(preview, 2, PreviewStatus.READY, first))
                await asyncio.wait_for(trap.sprung.wait(), PATIENCE)
            # Its consumer has left the group; another process's has all partitions now, and takes the newer record in.
            lyon.world.process("rushes-syncer", "run", "--roles", "intake")
            try:
                second = await lyon.publish(preview, b"another")
                await world.send(change(preview, 3, PreviewStatus.READY, second))
                await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site_preview WHERE version = 3"))
                assert [state for state, _ in await _tasks(lyon)] == ["queued", "running"]
                trap.go_on.set()
                tasks = await eventually(lambda: _tasks(lyon), _all_ended)
                assert tasks[-1] == ("done", 0), "what the first had no time for is the second's"
            finally:
                lyon.world.stop_processes()
        await _is_right(lyon, second)
        events = await lyon.database.fetch("SELECT 1 FROM inbox")
        assert len(events) == 2, "each was taken in once"


async def test_a_record_that_comes_again_or_late_in_mid_copy_or_after_it_copies_nothing_more(
    world: World, stack: Stack
) -> None:
    preview, old_id, new_id = uuid4(), str(uuid4()), str(uuid4())
    proxy = S3Proxy(stack.objects.endpoint_url, (LYON,))
    async with _follower(world, proxy) as lyon, playing(lyon.intake, lyon.worker):
        old = change(preview, 2, PreviewStatus.READY, await lyon.publish(preview, b"old"))
        await world.send(old, ids=[old_id])
        await eventually(lambda: _tasks(lyon), _all_done)
        files = await lyon.publish(preview, content(PARTED))
        new = change(preview, 3, PreviewStatus.READY, files)

        async def again() -> None:
            """Duplicates under their own ids, and under others as a mirror gives them; the last of them is a mark."""
            mark = str(uuid4())
            await world.send(new, old, old, new, ids=[new_id, old_id, str(uuid4()), mark])
            await eventually(lambda: lyon.database.fetch("SELECT 1 FROM inbox WHERE event_id = :mark", mark=mark))

        with proxy.trap(LYON, of_part=True) as trap:
            await world.send(new, ids=[new_id])
            await asyncio.wait_for(trap.sprung.wait(), PATIENCE)
            await again()
        await eventually(lambda: _tasks(lyon), _all_done)
        await _is_right(lyon, files)
        written = {stat.key: stat.etag async for stat in lyon.site.list("movies")}
        await again()
        assert await _tasks(lyon) == [("done", 0), ("done", 0)]
        assert {stat.key: stat.etag async for stat in lyon.site.list("movies")} == written

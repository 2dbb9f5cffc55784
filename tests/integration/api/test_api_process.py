"""The API as a process: its start, its end, and its page of documentation."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from rushes_embedded.leash import Leash

from tests.databases import migrate_all
from tests.integration.api.consumer import ACCESS, ALL, PROJECT, Stream, announce, bearer, change, served
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.processes import logged
from tests.world import PATIENCE, World, eventually, free_port

pytestmark = pytest.mark.extended

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


def _started(world: World, **settings: str) -> tuple[Leash, str, str]:
    """A process, its address, and that of its probes."""
    port, operations = free_port(), free_port()
    given = {"API_ACCESS": json.dumps(ACCESS), "API_PORT": str(port), "OPERATIONS_PORT": str(operations)}
    leash = world.process("rushes-normalizer", "api", log="api", **{**given, **settings})
    return leash, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{operations}"


async def test_a_process_that_stops_answers_until_the_network_has_turned_away(world: World) -> None:
    async with world.normalizer_database(), aiohttp.ClientSession(headers=bearer(ALL)) as client:
        leash, address, probes = _started(world, API_LINGER="10")
        try:
            await logged(world, "api", "changes_followed")
            async with client.get(f"{probes}/readyz") as answer:
                assert answer.status == 200
            async with client.get(f"{address}/status-changes", timeout=aiohttp.ClientTimeout(PATIENCE)) as answer:
                stream = Stream(answer)
                await stream.begun()
                os.kill(leash.pid, signal.SIGTERM)
                await logged(world, "api", "stopping")
                async with client.get(f"{probes}/readyz") as probed:
                    assert probed.status == 503, "so that it gets no new calls"
                async with client.get(f"{address}/previews") as listed:
                    assert listed.status == 200, "and answers those that come"
                row = kept_preview()
                await announce(world, change(None, row))
                assert (await stream.event()).data["id"] == str(row.id), "streams go on meanwhile"
                with pytest.raises(EOFError):  # it ends, and not in its midst
                    await stream.event()
            assert await asyncio.to_thread(leash.wait) == 0
        finally:
            world.stop_processes()
        with pytest.raises(aiohttp.ClientError):
            await client.get(f"{address}/previews")
    log = (world.folder / "api.log").read_text()
    assert '"level": "error"' not in log
    assert '"reason": "stopped"' in log
    assert not [token for token in (ALL, *(each["sha256"] for each in ACCESS["tokens"])) if token in log]


async def test_a_client_that_takes_nothing_does_not_keep_a_process_that_stops(world: World) -> None:
    large = kept_preview(original_name="x" * 250, failure_code="corrupt", failure_message="m" * 2000)
    async with world.normalizer_database(), aiohttp.ClientSession(headers=bearer(ALL)) as client:
        leash, address, _ = _started(world, API_LINGER="0", API_STREAM_PATIENCE="3600", API_STREAM_HISTORY="100000")
        await logged(world, "api", "changes_followed")
        host, port = address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        try:
            writer.write(f"GET /status-changes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")  # and reads no more
            async with client.get(f"{address}/status-changes", timeout=None) as answer:
                attentive = Stream(answer)
                await attentive.begun()
                events = [change(None, large)] * 100
                for _ in range(30):  # more than sockets hold, and never more at once than the broker keeps
                    await announce(world, *events)
                    for _ in events:
                        await attentive.event()
                os.kill(leash.pid, signal.SIGTERM)
                assert await eventually(lambda: asyncio.sleep(0, leash.poll()), lambda code: code is not None) == 0
        finally:
            writer.transport.abort()
            world.stop_processes()


async def test_a_process_waits_for_its_schema_and_says_so(bare_world: World) -> None:
    async with aiohttp.ClientSession(headers=bearer(ALL)) as client:
        _, address, probes = _started(bare_world)
        try:
            await logged(bare_world, "api", "waiting")
            async with client.get(f"{probes}/startupz") as answer:
                assert (answer.status, "PostgreSQL" in await answer.text()) == (503, True)
            await migrate_all(bare_world.environment["DATABASE_URL"], bare_world.environment["INSTANCE"])
            await logged(bare_world, "api", "api_served")
            async with client.get(f"{address}/previews") as answer:
                assert answer.status == 200
        finally:
            bare_world.stop_processes()


@pytest.mark.parametrize(("access", "said"), [("{", "cannot be read"), (None, "must say who may read what")])
async def test_a_list_that_cannot_be_used_ends_the_start_in_a_sentence(
    world: World, access: str | None, said: str
) -> None:
    code, _, errors = await world.command("rushes-normalizer", "api", **({"API_ACCESS": access} if access else {}))
    assert (code, said in errors) == (2, True), errors
    assert "Traceback" not in errors


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
async def test_the_commands_of_the_page_work(world: World) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (commands,) = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (access,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    row = kept_preview(project_id=PROJECT, failure_code="corrupt", created_at=datetime.now(UTC) - timedelta(hours=2))
    async with served(world, json.loads(access)):
        pass  # the list of the page is one
    async with served(world) as api:
        await keep(api.database, row)
        environment = {**os.environ, "API": api.address, "TOKEN": ALL, "ID": str(row.id)}
        ran = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euc", commands],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count(str(row.id)) >= 4
    assert "retry: " in ran.stdout


async def test_a_preview_is_followed_from_its_request_to_its_end(world: World) -> None:
    """All together: who asks by HTTP hears by HTTP that it was done."""
    row = kept_preview(project_id=PROJECT)
    async with served(world) as api:
        await keep(api.database, row)
        async with world.store():
            world.process("rushes-normalizer", "run", log="run")
            try:
                await logged(world, "run", "started")
                async with api.stream() as stream:
                    wish = {"reason": "its source was lost"}
                    asked = await api.ask(f"/previews/{row.id}/renormalize", method="POST", json=wish)
                    told = await stream.event()
                    while asked.body["request_id"] not in (told.data["job"] or {}).get("request_ids", ()) or (
                        told.data["job"]["state"] == "queued"
                    ):
                        told = await stream.event()
                assert told.data["status"] == "broken", "missing, as callers may see it"
                assert told.data["error"]["code"] == "source_missing"
                shown = await eventually(lambda: api.ask(f"/previews/{row.id}"))
                assert shown.body["version"] == told.data["version"]
            finally:
                world.stop_processes()

"""The read API with a user that may only read, and by HTTPS."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import ssl
from pathlib import Path

import aiohttp
import pytest
from rushes_runtime.database import Database
from rushes_schemas import PreviewStatus

from tests.certificates import Authority
from tests.integration.api.consumer import ACCESS, ALL, PROJECT, bearer, change
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.processes import logged
from tests.integration.security.processes import log_of
from tests.integration.security.test_least_grants import DENIALS
from tests.secured import Secured
from tests.world import eventually, free_port

pytestmark = pytest.mark.alone


async def test_the_api_does_its_whole_work_with_a_user_that_may_only_read(
    secured: Secured, authority: Authority, tmp_path: Path
) -> None:
    await secured.prepare()
    secured.grant_in_database()
    row = kept_preview(PreviewStatus.READY, project_id=PROJECT)
    database = Database(secured.world.environment["DATABASE_URL"], "normalizer")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def show(name: str) -> None:
        issued = authority.issue(name)
        shutil.copy(issued.key, key)
        shutil.copy(issued.certificate, certificate)

    show("api-1")
    port = free_port()
    settings = {
        "API_PORT": str(port),
        "API_LINGER": "0",
        "API_ACCESS": json.dumps(ACCESS),
        "API_TLS_CERTFILE": str(certificate),
        "API_TLS_KEYFILE": str(key),
    }
    trusted = ssl.create_default_context(cafile=authority.certificate)
    leash = secured.as_("api").process("rushes-normalizer", "api", log="api", **settings)
    try:
        await keep(database, row)
        await logged(secured.world, "api", "changes_followed")
        address = f"https://127.0.0.1:{port}"
        async with aiohttp.ClientSession(address, headers=bearer(ALL), connector=_by(trusted)) as client:
            async with client.get("/status-changes") as stream:
                await stream.content.readuntil(b"\n\n")
                await secured.world.send(change(None, row))
                assert b"event: status-changed" in await stream.content.readuntil(b"\n\n")
            async with client.get(f"/previews/{row.id}") as answer:
                assert answer.status == 200
            async with client.post(f"/previews/{row.id}/renormalize", json={"reason": "x"}) as answer:
                assert answer.status == 202, await answer.text()
        assert [record.key for record in await secured.world.records("renormalize-requested")] == [str(row.id).encode()]

        show("api-2")  # a certificate is replaced while callers come
        await eventually(lambda: _name_shown(port, trusted), lambda name: name == "api-2")
        os.kill(leash.pid, signal.SIGTERM)
        assert await asyncio.to_thread(leash.wait) == 0
    finally:
        secured.world.stop_processes()
        await database.close()
    log = log_of(secured, "api")
    assert not [line for line in log if any(each in line for each in DENIALS)]
    assert not [each for each in secured.passwords if any(each in line for line in log)]


def _by(trusted: ssl.SSLContext) -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(ssl=trusted)


async def _name_shown(port: int, trusted: ssl.SSLContext) -> str:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert()
        return str(dict(each[0] for each in shown["subject"])["commonName"])
    finally:
        writer.close()
        await writer.wait_closed()

"""Secrets of the read API are replaced while clients listen and ask: nobody restarts it, nothing is lost to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout
from pydantic import SecretStr
from rushes_normalizer.api.access import hash_of
from rushes_runtime.database import Database
from rushes_runtime.settings import KafkaSettings, nest_variables
from rushes_schemas import PreviewStatus, StatusChanged

from tests.integration.api.consumer import ACCESS, ALL, ONE, PROJECT, Stream, bearer, change
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.processes import logged
from tests.secured import Secured, lets_in, write_secret
from tests.world import eventually, free_port

pytestmark = pytest.mark.alone

NEW = "token-of-one-project-2"
NEW_HASHES = {hash_of(ONE): hash_of(NEW)}


async def test_a_listener_loses_nothing_while_passwords_and_tokens_are_replaced(secured: Secured) -> None:
    await secured.prepare()
    secured.grant_in_database()
    row = kept_preview(PreviewStatus.READY, project_id=PROJECT)
    access = secured.folder_of("api") / "access.json"
    write_secret(access, json.dumps(ACCESS))
    settings = {"API_PORT": str(free_port()), "API_ACCESS_FILE": str(access), "API_STREAM_HEARTBEAT": "0.2"}
    process = secured.as_("api").process("rushes-normalizer", "api", log="api", **settings)
    database = Database(secured.world.environment["DATABASE_URL"], "normalizer")
    await keep(database, row)
    await logged(secured.world, "api", "changes_followed")
    address = f"http://127.0.0.1:{settings['API_PORT']}"
    try:
        async with ClientSession(address, timeout=ClientTimeout(None)) as client:

            async def ask(token: str, path: str = f"/previews/{row.id}", **call: Any) -> tuple[int, str]:
                method = "POST" if call else "GET"
                async with client.request(method, path, headers=bearer(token), **call) as answer:
                    return answer.status, await answer.text()

            async with client.get("/status-changes", headers=bearer(ALL)) as listening:
                stream = Stream(listening)
                await stream.begun()
                await _said(secured, stream, change(None, row := row.moved()))
                asked = await ask(ALL, f"/previews/{row.id}/renormalize", json={"reason": "first"})
                assert asked[0] == 202, asked

                # The worse order: the servers know the new secrets alone, before the process does.
                now = KafkaSettings(**nest_variables(secured.settings("api"))["kafka"])
                held = SecretStr(now.read_sasl_password() or "")
                old = now.model_copy(update={"sasl_password": held, "sasl_password_file": None})
                password, kafka_password = secured.set_database_password("api"), secured.set_kafka_password("api")
                user = secured.user("api")
                secured.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'")
                status, said = await eventually(lambda: ask(ALL), lambda answer: answer[0] != 200)
                assert (status, "PostgreSQL does not answer now" in said) == (503, True)
                await _said(secured, stream, change(None, row := row.moved()))

                secured.tell_database_url("api", password)
                secured.tell_kafka_password("api", kafka_password)
                await eventually(lambda: ask(ALL), lambda answer: answer[0] == 200)
                await logged(secured.world, "api", "kafka_credentials_changed")
                assert not await lets_in(old)
                await _said(secured, stream, change(None, row := row.moved()))
                sent = await ask(ALL, f"/previews/{row.id}/renormalize", json={"reason": "second"})
                assert sent[0] == 202, sent

                renewed = [
                    {**each, "sha256": NEW_HASHES.get(each["sha256"], each["sha256"])} for each in ACCESS["tokens"]
                ]
                write_secret(access, json.dumps({"tokens": renewed}))
                assert [(await ask(token))[0] for token in (ONE, NEW, ALL)] == [401, 200, 200]
                await _said(secured, stream, change(None, row := row.moved()))
        assert len(await secured.world.records("renormalize-requested")) == 2
    finally:
        await database.close()
    assert process.poll() is None
    log = (secured.world.folder / "api.log").read_text()
    assert not [each for each in (*secured.passwords, ALL, ONE, NEW) if each in log]


async def _said(secured: Secured, stream: Stream, event: StatusChanged) -> None:
    """A status change is the next that comes on a stream that has not ended."""
    await secured.world.send(event)
    assert (await stream.event()).data["version"] == event.version

"""Secrets are replaced while the services work: nobody restarts, nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr
from rushes_runtime.database import Database
from rushes_runtime.settings import KafkaSettings, nest_variables
from rushes_schemas import object_key
from rushes_schemas.outputs import ObjectKind

from tests.integration.normalizer.processes import upload_clip
from tests.integration.security.processes import log_of, started
from tests.secured import Secured, lets_in
from tests.world import eventually

pytestmark = pytest.mark.alone


async def _has_logged(secured: Secured, name: str, words: str) -> None:
    async def said() -> bool:
        return any(words in line for line in log_of(secured, name))

    await eventually(said)


async def _several_more(previews: list[UUID]) -> None:
    enough = len(previews) + 4

    async def there() -> bool:
        return len(previews) >= enough

    await eventually(there)


async def test_secrets_are_replaced_while_uploads_flow_and_nothing_is_lost(secured: Secured, clip: Path) -> None:
    await secured.prepare()
    secured.grant_in_database()
    processes = started(secured)
    previews: list[UUID] = []

    async def flow() -> None:
        while True:
            previews.append(await upload_clip(secured.world, clip))
            await asyncio.sleep(0.5)

    flowing = asyncio.create_task(flow())
    database = Database(secured.world.environment["DATABASE_URL"], "normalizer")
    sites = Database(secured.world.environment["DATABASE_URL"], "syncer")
    try:
        await eventually(lambda: database.fetch("SELECT 1 FROM preview_file WHERE status = 'ready'"))
        # The worse order: the servers know the new secrets alone, before any process does.
        now = KafkaSettings(**nest_variables(secured.settings("control"))["kafka"])
        old = now.model_copy(
            update={"sasl_password": SecretStr(now.read_sasl_password() or ""), "sasl_password_file": None}
        )
        passwords = {who: secured.set_database_password(who) for who in ("control", "worker", "syncer")}
        kafka_passwords = {who: secured.set_kafka_password(who) for who in ("control", "syncer")}
        for who in ("worker", "syncer", "site"):
            secured.set_access_key(who)
        for who in passwords:
            secured.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{secured.user(who)}'")
        for who in passwords:
            await _has_logged(secured, who, "password authentication failed")
        for who, password in passwords.items():
            secured.tell_database_url(who, password)
        for who, password in kafka_passwords.items():
            secured.tell_kafka_password(who, password)
        for who in ("worker", "syncer", "site"):
            secured.tell_access_key(who)
        for who in kafka_passwords:
            await _has_logged(secured, who, "kafka_credentials_changed")
        assert not await lets_in(old)
        await _several_more(previews)
        flowing.cancel()
        rows = await eventually(
            lambda: database.fetch("SELECT id, status FROM preview_file WHERE status <> 'processing'"),
            lambda rows: len(rows) == len(previews),
        )
        assert {row.status for row in rows} == {"ready"}
        keys = [object_key(ObjectKind.LOW_DEFINITION, each) for each in previews]
        await eventually(
            lambda: sites.fetch("SELECT 1 FROM held WHERE key = ANY(:keys)", keys=keys),
            lambda rows: len(rows) == len(keys),
        )
        outcomes = {row.outcome for row in await database.fetch("SELECT outcome FROM attempt")}
        assert outcomes <= {"done", "postponed", "tried again"}
    finally:
        flowing.cancel()
        await database.close()
        await sites.close()
    assert [process.poll() for process in processes] == [None, None, None]

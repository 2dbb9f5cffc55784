"""No secret is ever shown: not in logs, metrics and probes, not in what commands print, and not when it is wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import aiohttp
import pytest
from sqlalchemy import make_url

from tests.integration.security.processes import log_of, started
from tests.secured import Secured
from tests.world import eventually, free_port

pytestmark = pytest.mark.alone

# Characters that need quotes in an address, a log and a shell, in a word that nothing else holds.
MARK = "marker5ecret"
WRONG = f"{MARK}%40:/?#[]"


def _wrong_database(secured: Secured, password: str = WRONG) -> str:
    address = make_url(secured.world.environment["DATABASE_URL"]).set(username=secured.user("control"))
    return address.set(password=password).render_as_string(hide_password=False)


async def test_a_process_with_wrong_secrets_shows_none_of_them(secured: Secured) -> None:
    port = free_port()
    await secured.prepare()
    secured.grant_in_database()
    (secured.folder_of("worker") / "secret-access-key").write_text(WRONG)
    (secured.folder_of("control") / "kafka-password").write_text(WRONG)
    (secured.folder_of("syncer") / "database-url").write_text(_wrong_database(secured))
    started(secured, "worker", "syncer", LOG_LEVEL="debug")
    started(secured, "control", LOG_LEVEL="debug", OPERATIONS_PORT=str(port))

    async def complained() -> bool:
        lines = {"worker": "SignatureDoesNotMatch", "control": "kafka_away", "syncer": "password authentication failed"}
        return all(any(words in line for line in log_of(secured, name)) for name, words in lines.items())

    await eventually(complained)
    async with aiohttp.ClientSession() as client:
        for path in ("startupz", "readyz", "livez", "metrics"):
            async with client.get(f"http://127.0.0.1:{port}/{path}") as answer:
                assert MARK not in await answer.text()
    secured.world.stop_processes()
    for name in ("control", "worker", "syncer"):
        said = "\n".join(log_of(secured, name))
        assert MARK not in said
        assert not [each for each in secured.passwords if each in said]


async def test_commands_with_a_wrong_secret_fail_without_showing_it(secured: Secured) -> None:
    for who, file in (("operator", "kafka-password"), ("migration", "secret-access-key")):
        (secured.folder_of(who) / file).write_text(WRONG)
    (secured.folder_of("control") / "database-url").write_text(_wrong_database(secured))
    # An address that was not quoted: a part of the password looks like a port.
    unquoted = {**secured.settings("reader"), "DATABASE_URL": f"postgresql+asyncpg://rushes:a@{MARK}:{MARK}@h/d"}
    del unquoted["DATABASE_URL_FILE"]

    async def fails(settings: dict[str, str], *command: str) -> None:
        world = replace(secured.world, environment=settings)
        code, out, error = await world.command("rushes-normalizer", *command)
        assert code in {1, 2}
        assert error
        assert MARK not in out + error
        assert "Traceback" not in error

    await asyncio.gather(
        fails(secured.settings("control"), "attention"),
        fails(secured.settings("control"), "history", str(uuid4())),
        fails(secured.settings("control"), "migrate"),
        fails(secured.settings("operator"), "dead-letters", "list"),
        fails(secured.settings("migration"), "migrate", "--store"),
        fails(unquoted, "attention"),
    )

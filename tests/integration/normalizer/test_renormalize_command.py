"""`renormalize` as an operator types it, from a machine that has Kafka and a database address that may read."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from uuid import uuid4

from rushes_schemas import PreviewStatus
from sqlalchemy import make_url, text

from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.integration.normalizer.parts import parts_of
from tests.world import World, eventually, playing


async def _reader(world: World) -> World:
    """The world of an operator who may read the database, and knows of no store."""
    role = f"reader_{uuid4().hex[:8]}"
    async with world.normalizer_database() as database, database.begin() as connection:
        for statement in (
            f"CREATE ROLE {role} LOGIN PASSWORD 'reader'",
            f"GRANT USAGE ON SCHEMA normalizer TO {role}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA normalizer TO {role}",
        ):
            await connection.execute(text(statement))
    url = make_url(world.environment["DATABASE_URL"]).set(username=role, password="reader")
    kept = {name: value for name, value in world.environment.items() if not name.startswith("STORE__")}
    return replace(world, environment={**kept, "DATABASE_URL": url.render_as_string(hide_password=False)})


async def test_wait_goes_by_its_own_requests_and_needs_only_kafka_and_a_database_to_read(world: World) -> None:
    reader = await _reader(world)
    broken, playable = kept_preview(), kept_preview(PreviewStatus.READY)
    ends = (
        "UPDATE request SET ended_at = now(), outcome = 'ready', failure_code = :code WHERE outcome IS NULL RETURNING 1"
    )
    async with parts_of(world) as parts, playing(parts.intake()):
        await keep(parts.database, broken, playable)
        # Its own request ends well, whatever the row says.
        waiting = asyncio.create_task(reader.command("rushes-normalizer", "renormalize", "--all-broken", "--wait"))
        await eventually(lambda: parts.database.fetch(ends, code=None))
        code, said, errors = await waiting
        assert (code, str(broken.id) in said, str(playable.id) in said) == (0, True, False), errors
        # Its own request failed, though KEEP_PLAYABLE left the row ready.
        waiting = asyncio.create_task(
            reader.command(
                "rushes-normalizer", "renormalize", "--preview-file-id", str(playable.id), "--wait", "--json"
            )
        )
        await eventually(lambda: parts.database.fetch(ends, code="source_missing"))
        code, said, errors = await waiting
        lanes = await parts.database.fetch("SELECT subject, lane FROM task")
    (asked,) = json.loads(said)["requested"]
    assert (code, asked["outcome"], asked["code"]) == (1, "ready", "source_missing"), errors
    assert {(lane.subject, lane.lane) for lane in lanes} == {(str(broken.id), "bulk"), (str(playable.id), "single")}


async def test_ids_that_are_not_asked_for_are_named_and_a_dry_run_asks_nothing(world: World) -> None:
    kept, unknown = kept_preview(), uuid4()
    async with world.normalizer_database() as database:
        await keep(database, kept)
    ids = ["--preview-file-id", str(kept.id), "--preview-file-id", str(unknown)]
    code, said, errors = await world.command("rushes-normalizer", "renormalize", *ids, "--dry-run", "--json")
    assert (code, [row["preview_file_id"] for row in json.loads(said)["requested"]]) == (0, [str(kept.id)])
    assert f"not asked for: {unknown}" in errors
    code, _, errors = await world.command("rushes-normalizer", "renormalize", "--all-broken", "--code", "corupt")
    assert (code, "corrupt" in errors) == (2, True)
    assert not await world.records("renormalize-requested")

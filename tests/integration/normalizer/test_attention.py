"""What needs attention: complete, newest first, page by page."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession
from rushes_normalizer.attention import AttentionFilter, needs_attention
from rushes_normalizer.attention_endpoint import attention_route
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.operations import serve_operations
from rushes_schemas import PreviewStatus

from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.world import World


async def _ids(database: Database, **wanted: Any) -> list[UUID]:
    return [row["id"] for row in (await needs_attention(database, AttentionFilter(**wanted))).previews]


async def test_pages_lose_no_preview_of_the_same_moment_and_repeat_none(world: World) -> None:
    moment = datetime.now(UTC)
    rows = [kept_preview(created_at=moment - timedelta(seconds=number // 5)) for number in range(12)]
    async with world.normalizer_database() as database:
        await keep(database, *rows)
        seen, cursor = [], None
        while True:
            page = await needs_attention(database, AttentionFilter(limit=3, cursor=cursor))
            seen += [row["id"] for row in page.previews]
            await keep(database, kept_preview(created_at=datetime.now(UTC)))  # newer ones come meanwhile
            cursor = page.next_cursor
            if cursor is None:
                break
    assert seen == [row.id for row in sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)]


async def test_every_filter_leaves_the_others_out(world: World) -> None:
    project = uuid4()
    old = datetime.now(UTC) - timedelta(hours=2)
    corrupt = kept_preview(failure_code="corrupt", project_id=project)
    missing = kept_preview(PreviewStatus.MISSING, failure_code="source_missing")
    stuck = kept_preview(PreviewStatus.PROCESSING, created_at=old)
    ready = kept_preview(PreviewStatus.READY, project_id=project)
    deleted = kept_preview(deleted_at=old)
    async with world.normalizer_database() as database:
        await keep(database, corrupt, missing, stuck, ready, deleted)
        assert set(await _ids(database)) == {corrupt.id, missing.id, stuck.id}
        assert await _ids(database, status="missing") == [missing.id]
        assert await _ids(database, status="broken") == [corrupt.id]
        assert await _ids(database, project_id=project) == [corrupt.id]
        assert await _ids(database, code="source_missing") == [missing.id]
        assert await _ids(database, older_than_minutes=60) == [stuck.id]
        assert await _ids(database, older_than_minutes=60, status="broken") == []


AFTER_ALL_TIME = f"999999999999999999.{UUID(int=1)}"


@pytest.mark.parametrize(
    "cursor",
    ["x", "////", f"1.{UUID(int=1)}x", f"-1.{UUID(int=1)}", f"01.{UUID(int=1)}", "\N{SNOWMAN}", AFTER_ALL_TIME],
)
async def test_a_strange_cursor_is_refused_in_plain_words(world: World, cursor: str) -> None:
    async with world.normalizer_database() as database:
        with pytest.raises(ValueError, match="is no cursor"):
            await needs_attention(database, AttentionFilter(cursor=cursor))


async def test_the_endpoint_answers_as_the_command_does(world: World) -> None:
    rows = [kept_preview(name="a [/b] c", created_at=datetime.now(UTC) - timedelta(seconds=age)) for age in range(3)]
    async with world.normalizer_database() as database:
        await keep(database, *rows)
        async with (
            serve_operations(Health(), "127.0.0.1", 0, [attention_route(database)]) as address,
            ClientSession(address) as client,
        ):
            async with client.get("/attention", params={"limit": "2", "status": "broken"}) as answer:
                first = await answer.json()
                assert answer.status == 200
            async with client.get("/attention", params={"cursor": first["next_cursor"]}) as answer:
                second = await answer.json()
            for wrong in ({"limit": "0"}, {"status": "ready"}, {"colour": "red"}, {"cursor": "x"}):
                async with client.get("/attention", params=wrong) as answer:
                    assert answer.status == 400, wrong
                    assert (await answer.json())["error"]
            async with client.post("/attention") as answer:
                assert answer.status == 405
        code, said, _ = await world.command("rushes-normalizer", "attention", "--limit", "2", "--json")
    assert [each["id"] for page in (first, second) for each in page["previews"]] == [str(row.id) for row in rows]
    assert second["next_cursor"] is None
    assert datetime.fromisoformat(first["previews"][0]["created_at"]) == rows[0].created_at
    assert (code, json.loads(said)) == (0, first)


async def test_the_endpoint_says_when_the_database_is_away(world: World) -> None:
    database = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none", "normalizer")
    async with (
        serve_operations(Health(), "127.0.0.1", 0, [attention_route(database)]) as address,
        ClientSession(address) as client,
        client.get("/attention") as answer,
    ):
        assert answer.status == 503
    await database.close()


async def test_names_and_messages_of_uploads_are_no_markup(world: World) -> None:
    async with world.normalizer_database() as database:
        await keep(database, kept_preview(failure_message="no [/bold] end, [red]no red"))
    code, said, errors = await world.command("rushes-normalizer", "attention")
    assert code == 0, errors
    assert "[/bold]" in said
    assert "[red]" in said

"""What the API says of previews: complete, page by page, in the asked shape, as the caller may see it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import combinations
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from rushes_schemas import PreviewStatus
from sqlalchemy import make_url

from tests.cable import cable_to
from tests.integration.api.consumer import ALL, ONE, OTHER_PROJECT, PROJECT, Consumer, announce, change, served
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.said import where_missing_is_said
from tests.world import World

LISTS = ("/previews", "/previews/needs-attention")
SHAPES = ("full", "listed", "minimal")


async def _walk(api: Consumer, path: str, limit: int) -> list[UUID]:
    """All pages, while newer previews come."""
    seen: list[UUID] = []
    cursor: dict[str, str] = {}
    while True:
        page = await api.ask(path, params={"limit": str(limit), **cursor})
        seen += [UUID(each["preview"]["id"]) for each in page.body["previews"]]
        await keep(api.database, kept_preview(created_at=datetime.now(UTC)))
        if page.body["next_cursor"] is None:
            return seen
        cursor = {"cursor": page.body["next_cursor"]}


@pytest.mark.parametrize("path", LISTS)
async def test_pages_lose_no_preview_of_the_same_moment_and_repeat_none(world: World, path: str) -> None:
    moment = datetime.now(UTC)
    rows = [kept_preview(created_at=moment - timedelta(seconds=number // 5)) for number in range(12)]
    async with served(world) as api:
        await keep(api.database, *rows)
        seen = await _walk(api, path, 3)
        alone = await _walk(api, path, 1)
    newest_first = [row.id for row in sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)]
    assert seen == newest_first
    assert alone[-len(rows) :] == newest_first


async def test_with_the_switch_off_no_answer_and_no_stream_says_missing(world: World) -> None:
    rows = {
        status: kept_preview(status, project_id=PROJECT, failure_code="source_missing" if status != "ready" else None)
        for status in PreviewStatus
    }
    names = [status.value for status in PreviewStatus]
    filters = [chosen for count in range(1, 5) for chosen in combinations(names, count)]
    async with served(world) as api:
        await keep(api.database, *rows.values())
        for path in LISTS:
            for shape in SHAPES:
                for asked in filters:
                    answer = await api.ask(path, params=[("shape", shape), *(("status", each) for each in asked)])
                    assert answer.status == 200
                    assert not where_missing_is_said(answer.body)
                    shown = {each["preview"]["status"] for each in answer.body["previews"]}
                    assert shown <= set(asked), "a filter gives what it asks for"
                    wanted = {rows[status].id for status in PreviewStatus if _shown(status) in asked}
                    if path == LISTS[1]:
                        wanted.discard(rows[PreviewStatus.READY].id)
                    assert {UUID(each["preview"]["id"]) for each in answer.body["previews"]} == wanted, asked
        for row in rows.values():
            for shape in SHAPES:
                answer = await api.ask(f"/previews/{row.id}", params={"shape": shape})
                assert not where_missing_is_said(answer.body)
                assert answer.body["preview"]["status"] == _shown(row.status)
        assert not where_missing_is_said((await api.ask("/openapi.json")).body)
        assert not where_missing_is_said((await api.ask("/previews", params={"status": "x"})).body)

        transitions = [(before, after) for before in (None, *rows.values()) for after in rows.values()]
        async with api.stream() as stream:
            # Sent while the switch was on, and while it was off: what counts is how it is now.
            await announce(world, *(change(*each, expose_missing=on) for each in transitions for on in (True, False)))
            told = [await stream.event() for _ in range(2 * len(transitions))]
    assert not where_missing_is_said([each.data for each in told])
    assert not any(name.startswith("internal") or name == "upload" for each in told for name in each.data)
    assert sorted((each.data["previous_status"] or "", each.data["status"]) for each in told) == sorted(
        (_shown(before.status) if before else "", _shown(after.status)) for before, after in transitions for _ in "12"
    )


def _shown(status: PreviewStatus) -> str:
    return "broken" if status is PreviewStatus.MISSING else status.value


async def test_whatever_there_is_and_is_asked_for_the_answer_is_what_looks_like_it_and_never_says_missing(
    world: World,
) -> None:
    chance = Random(8)
    codes = (None, "source_missing", "corrupt")
    rows = [
        kept_preview(
            chance.choice(list(PreviewStatus)),
            project_id=chance.choice((PROJECT, OTHER_PROJECT, None)),
            failure_code=chance.choice(codes),
            deleted_at=chance.choice((None, None, None, datetime.now(UTC))),
        )
        for _ in range(60)
    ]
    async with served(world, API_BURST="10000") as api:
        async with api.stream() as stream:
            begun = stream.last
        await keep(api.database, *rows)
        await announce(world, *(change(None, row) for row in rows))
        for _ in range(100):
            path = chance.choice(LISTS)
            asked = chance.choice((None, chance.sample([each.value for each in PreviewStatus], chance.randint(1, 4))))
            code = chance.choice(codes) if path == LISTS[1] else None
            project = chance.choice((None, PROJECT, OTHER_PROJECT))
            query: dict[str, Any] = {"status": asked, "code": code, "project_id": project and str(project)}
            query |= {"shape": chance.choice(SHAPES), "limit": str(chance.choice((7, 50)))}
            found = await _all_pages(api, path, {name: value for name, value in query.items() if value})
            assert not where_missing_is_said(found)
            assert [UUID(each["preview"]["id"]) for each in reversed(found)] == [
                row.id
                for row in sorted(rows, key=lambda row: (row.created_at, row.id))
                if row.deleted_at is None
                and (asked is None or _shown(row.status) in asked)
                and (path == LISTS[0] or row.status is not PreviewStatus.READY)
                and code in (None, row.failure_code)
                and project in (None, row.project_id)
            ], query
        async with api.stream(last=begun) as again:
            told = [await again.event() for _ in rows]
    assert not where_missing_is_said([each.data for each in told])


async def _all_pages(api: Consumer, path: str, query: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    while True:
        page = await api.ask(path, params=query)
        assert page.status == 200, page
        found += page.body["previews"]
        if page.body["next_cursor"] is None:
            return found
        query = {**query, "cursor": page.body["next_cursor"]}


async def test_with_the_switch_on_missing_is_shown_and_asked_for(world: World) -> None:
    missing = kept_preview(PreviewStatus.MISSING)
    broken = kept_preview(PreviewStatus.BROKEN)
    async with served(world, EXPOSE_MISSING="true") as api:
        await keep(api.database, missing, broken)
        for path in LISTS:
            assert await api.ids(path, status="missing") == [missing.id]
            assert await api.ids(path, status="broken") == [broken.id]
        assert (await api.ask(f"/previews/{missing.id}")).body["preview"]["status"] == "missing"
        document = (await api.ask("/openapi.json")).body
        assert document["paths"]["/previews"]["get"]["parameters"][0]["schema"]["items"]["enum"][-1] == "missing"
        async with api.stream() as stream:
            await announce(world, change(None, missing))
            assert (await stream.event()).data["status"] == "missing"


async def test_a_preview_of_a_project_that_is_not_ones_own_is_not_there(world: World) -> None:
    mine = kept_preview(project_id=PROJECT)
    others = kept_preview(project_id=OTHER_PROJECT)
    of_none = kept_preview()
    async with served(world) as api:
        await keep(api.database, mine, others, of_none)
        unknown = await api.ask(f"/previews/{uuid4()}", ONE)
        for row in (others, of_none):
            hidden = await api.ask(f"/previews/{row.id}", ONE)
            assert (hidden.status, hidden.body) == (404, unknown.body), "as if there were none"
            wish = {"reason": "why not"}
            refused = await api.ask(f"/previews/{row.id}/renormalize", ONE, "POST", json=wish)
            assert (refused.status, refused.body) == (404, unknown.body)
        assert (await api.ask(f"/previews/{mine.id}", ONE)).status == 200
        for path in LISTS:
            assert await api.ids(path, ONE) == [mine.id]
            assert await api.ids(path, ONE, project_id=str(OTHER_PROJECT)) == []
            assert set(await api.ids(path, ALL)) == {mine.id, others.id, of_none.id}
            assert await api.ids(path, ALL, project_id=str(OTHER_PROJECT)) == [others.id]


async def test_a_preview_is_told_with_its_failure_and_its_job_in_the_asked_shape(world: World) -> None:
    row = kept_preview(
        failure_code="corrupt", failure_message="frame 48", project_id=PROJECT, width=1920, duration=2.5, revision=3
    )
    deleted = kept_preview(deleted_at=datetime.now(UTC))
    later = kept_preview(failure_code="source_haunted")
    async with served(world) as api:
        await keep(api.database, row, deleted, later)
        await api.database.fetch(
            "INSERT INTO task (subject, lane, rank, payload, state, progress, fence, lease_until, worker)"
            " VALUES (:id, 'upload', now(), '{}', 'running', '{\"stage\": \"encode\", \"fraction\": 0.5}', 1,"
            " now() + interval '1 hour', 'w') RETURNING id",
            id=str(row.id),
        )
        full = (await api.ask(f"/previews/{row.id}")).body
        assert full["preview"] | {"width": 1920, "duration": 2.5, "type": "PreviewFile"} == full["preview"]
        assert full["error"]["code"] == "corrupt"
        assert full["error"]["for_artist"]
        assert full["job"] == {"state": "running", "stage": "encode", "fraction": 0.5, "attempts_before": 0}
        assert (full["version"], full["project_id"]) == (row.version, str(PROJECT))
        minimal = (await api.ask(f"/previews/{row.id}", params={"shape": "minimal"})).body["preview"]
        assert set(minimal) == {"id", "name", "extension", "revision", "position", "status"}
        listed = (await api.ask("/previews")).body["previews"][-1]["preview"]
        assert {"file_size", "created_at"} <= set(listed)
        assert "width" not in listed
        assert (await api.ask(f"/previews/{deleted.id}")).status == 404
        assert deleted.id not in await api.ids("/previews")
        assert (await api.ask(f"/previews/{later.id}")).body["error"]["retryable"] is False, "of a later version"


async def test_what_needs_attention_is_found_by_code_and_age(world: World) -> None:
    old = datetime.now(UTC) - timedelta(hours=2)
    corrupt = kept_preview(failure_code="corrupt")
    stuck = kept_preview(PreviewStatus.PROCESSING, created_at=old)
    ready = kept_preview(PreviewStatus.READY, created_at=old)
    async with served(world) as api:
        await keep(api.database, corrupt, stuck, ready)
        path = LISTS[1]
        assert await api.ids(path) == [corrupt.id, stuck.id]
        assert await api.ids(path, code="corrupt") == [corrupt.id]
        assert await api.ids(path, older_than_minutes="60") == [stuck.id]
        assert await api.ids(path, status="ready") == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "status=brokn", "cursor=x", "cursor=////", "shape=round", "project_id=1", "cursor=AAAA"],
)
async def test_a_wrong_query_is_a_problem_in_plain_words(world: World, query: str) -> None:
    async with served(world) as api:
        answer = await api.ask(f"/previews?{query}")
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["title"]
    assert answer.body["detail"]


async def test_every_error_is_a_problem(world: World) -> None:
    async with served(world) as api:
        answers = [
            await api.ask("/nowhere"),
            await api.ask("/previews", method="DELETE"),
            await api.ask("/previews/none"),
            await api.ask(f"/previews/{uuid4()}"),
            await api.ask("/previews", token=None),
            await api.ask(f"/previews/{uuid4()}/renormalize", method="POST", data=b"{"),
            await api.ask(f"/previews/{uuid4()}/renormalize", method="POST", data=b" " * 70_000),
        ]
    assert [each.status for each in answers] == [404, 405, 422, 404, 401, 422, 413]
    for each in answers:
        assert each.headers["Content-Type"] == "application/problem+json"
        assert each.body["status"] == each.status
        assert each.headers["Cache-Control"] == "no-store"


async def test_a_database_that_is_away_is_said_so(world: World) -> None:
    url = make_url(world.environment["DATABASE_URL"])
    async with AsyncExitStack() as wires:
        cable = await wires.enter_async_context(cable_to(url.port or 0))
        through_cable = url.set(port=cable.port).render_as_string(hide_password=False)
        async with served(world, DATABASE_URL=through_cable) as api:
            assert (await api.ask("/previews")).status == 200
            await wires.aclose()
            answer = await api.ask("/previews")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "PostgreSQL" in answer.body["detail"]

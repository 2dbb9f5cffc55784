"""Asking for a preview to be made again."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientTimeout
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC
from rushes_runtime.envelopes import read_event
from rushes_schemas import PreviewStatus, RenormalizeRequested

from tests.integration.api.consumer import ALL, ONE, PROJECT, READ_ONLY, Answer, Consumer, served
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.world import PATIENCE, World, eventually

TOPIC = "renormalize-requested"


async def _ask(api: Consumer, preview_file_id: UUID, token: str = ALL, key: str | None = None, **wish: Any) -> Answer:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"reason": "repaired", **wish}
    return await api.ask(f"/previews/{preview_file_id}/renormalize", token, "POST", json=body, headers=headers)


@pytest.mark.each_broker
async def test_a_request_is_on_the_bus_before_it_is_answered(world: World) -> None:
    row = kept_preview(project_id=PROJECT)
    async with served(world) as api:
        await keep(api.database, row)
        answer = await _ask(api, row.id, ONE, priority="bulk", encoding={"fps": "23.976"})
        assert answer.status == 202
        (record,) = await world.records(TOPIC)
    received = read_event(record, CONTRACTS_BY_TOPIC[TOPIC])
    assert isinstance(received.event, RenormalizeRequested)
    assert answer.body == {"request_id": received.event_id, "preview_file_id": str(row.id)}
    assert (received.event.preview_file_id, received.event.reason) == (row.id, "repaired")
    assert (received.event.requested_by, received.event.priority) == ("one", "bulk")
    assert received.event.encoding
    assert received.event.encoding.fps == "24000/1001"
    assert record.key == str(row.id).encode()


@pytest.mark.each_broker
async def test_calls_with_one_key_are_one_request_at_any_process(world: World) -> None:
    row, other = kept_preview(PreviewStatus.READY, project_id=PROJECT), kept_preview(PreviewStatus.READY)
    async with served(world) as api, served(world) as twin:
        await keep(api.database, row, other)
        calls = [_ask(each, row.id, key="again") for each in (api, twin, api)]
        first, *repeated = await asyncio.gather(*calls)
        different = [
            await _ask(api, row.id, key="another"),
            await _ask(api, row.id, ONE, key="again"),
            await _ask(api, other.id, key="again"),
            await _ask(api, row.id),
            await _ask(api, row.id),
        ]
        assert {each.body["request_id"] for each in repeated} == {first.body["request_id"]}
        ids = {each.body["request_id"] for each in (first, *different)}
        assert len(ids) == 1 + len(different)
        world.process("rushes-normalizer", "run", "--roles", "intake")
        try:
            rows = await eventually(
                lambda: api.database.fetch("SELECT event_id FROM request"), lambda rows: len(rows) >= len(ids)
            )
        finally:
            world.stop_processes()
    assert sorted(row.event_id for row in rows) == sorted(ids), "each was taken in once"


async def test_who_may_only_read_is_refused_and_nothing_is_sent(world: World) -> None:
    row = kept_preview()
    async with served(world) as api:
        await keep(api.database, row)
        assert (await _ask(api, row.id, READ_ONLY)).status == 403
        assert (await _ask(api, row.id, key="with a space")).status == 422
        for wrong in (
            {"reason": "a\0b"},
            {"reason": "x" * 251},
            {"encoding": {"colour": 1}},
            {"priority": "now"},
            {"x": 1},
        ):
            assert (await _ask(api, row.id, **wrong)).status == 422, wrong
    assert await world.records(TOPIC) == []


@pytest.mark.extended
async def test_a_broker_that_is_away_is_said_so_and_previews_are_read_meanwhile(world: World) -> None:
    row = kept_preview()
    async with served(world, KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1") as api:
        await keep(api.database, row)
        answer = await _ask(api, row.id)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert "Kafka" in answer.body["detail"]
        assert (await api.ask(f"/previews/{row.id}")).status == 200
        stream = await api.ask("/status-changes", timeout=ClientTimeout(PATIENCE))
        assert stream.status == 503

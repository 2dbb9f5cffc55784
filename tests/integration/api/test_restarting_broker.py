"""Kafka goes and comes back under clients that listen and ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from rushes_embedded.apache_kafka import ApacheKafka
from rushes_embedded.kafka_jars import find_apache_kafka
from rushes_embedded.stack import Stack
from rushes_normalizer.previews import PreviewRow
from rushes_schemas import PreviewStatus

from tests.integration.api.consumer import ALL, ONE, PROJECT, Answer, Consumer, Stream, announce, change, served
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.world import World, eventually

LACKING = find_apache_kafka()
pytestmark = [pytest.mark.alone, pytest.mark.skipif(LACKING is not None, reason=LACKING or "")]


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[ApacheKafka]:
    """A broker of this test's own, which may be stopped."""
    broker = ApacheKafka(tmp_path / "kafka", log=tmp_path / "kafka.log")
    broker.start()
    yield broker
    broker.discard()


async def test_streams_lose_nothing_and_requests_are_refused_in_words_while_kafka_is_away(
    stack: Stack, kafka: ApacheKafka, tmp_path: Path
) -> None:
    world = World.make(stack, kafka, tmp_path)
    rows = [kept_preview(PreviewStatus.READY, project_id=PROJECT) for _ in range(3)]
    async with AsyncExitStack() as clients, served(world, API_STREAM_HEARTBEAT="0.2") as api:
        await keep(api.database, *rows)
        assert (await _ask_again(api, rows[0])).status == 202
        stays = await clients.enter_async_context(api.stream(ONE))
        async with api.stream(ALL) as goes:
            await announce(world, *(change(None, row) for row in rows))
            assert await _versions(goes, 3) == await _versions(stays, 3) == {2: 3}
            seen = goes.last
        later = [row.moved() for row in rows]
        await announce(world, *(change(None, row) for row in later))
        kafka.stop()

        assert await _versions(stays, 3) == {3: 3}
        beats = stays.comments
        refused = await _ask_again(api, rows[0])
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert "Kafka" in refused.body["detail"]
        assert (await api.ask(f"/previews/{rows[0].id}")).status == 200
        while stays.comments < beats + 2:
            await stays._block()
        # Who comes meanwhile is told what this process has read.
        back = await clients.enter_async_context(api.stream(ALL, seen))
        assert await _versions(back, 3) == {3: 3}

        kafka.start()
        await announce(world, *(change(None, row.moved()) for row in later))
        for stream in (stays, back):
            assert await _versions(stream, 3) == {4: 3}, "on the same connection, nothing lost, nothing twice"
        again = await eventually(lambda: _ask_again(api, rows[0]), lambda answer: answer.status == 202)
        records = await world.records("renormalize-requested")
        assert {dict(record.headers)["ce_id"].decode() for record in records} == {again.body["request_id"]}


async def _ask_again(api: Consumer, row: PreviewRow) -> Answer:
    wish = {"reason": "repaired"}
    return await api.ask(f"/previews/{row.id}/renormalize", ONE, "POST", json=wish, headers={"Idempotency-Key": "k"})


async def _versions(stream: Stream, count: int) -> dict[int, int]:
    """Of the next status changes, how many came with each version."""
    found: dict[int, int] = {}
    for _ in range(count):
        told = await stream.event()
        assert told.event == "status-changed"
        found[told.data["version"]] = found.get(told.data["version"], 0) + 1
    return found

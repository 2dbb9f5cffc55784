"""A trace goes from the event that came in through the logs to the events that go out, and on to the sites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from rushes_schemas import Envelope

from tests.movies import make_clip
from tests.world import World, eventually, put_source, upload

pytestmark = pytest.mark.extended

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def _headers(record: ConsumerRecord[bytes, bytes]) -> dict[str, bytes]:
    return dict(record.headers)


def _logged(world: World, log: str) -> list[dict[str, Any]]:
    """The lines of a process' log that name our trace."""
    lines = (world.folder / f"{log}.log").read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return [entry for entry in entries if entry.get("traceparent") == TRACE]


async def test_a_trace_goes_from_an_upload_through_logs_and_status_changes_to_the_copy_at_a_site(
    world: World, tmp_path: Path
) -> None:
    movie = tmp_path / "movie.mp4"
    make_clip(movie, "320x180")
    await world.prepare()
    event = upload()
    envelope = Envelope(event, source="/test", event_id="one", traceparent=TRACE)
    async with world.store() as store, world.producer() as producer:
        await put_source(store, event.preview_file_id, movie)
        topic = world.prefix + envelope.topic
        await producer.send_and_wait(topic, key=envelope.key(), value=envelope.value(), headers=envelope.headers())
        broken = [(name, value) for name, value in envelope.headers() if name != "ce_id"]
        await producer.send_and_wait(topic, key=envelope.key(), value=b"{}", headers=[*broken, ("ce_id", b"two")])
    world.process("rushes-normalizer", "run", log="normalizer")
    world.process("rushes-syncer", "run", log="syncer")
    try:

        async def copied() -> list[dict[str, Any]]:
            return [entry for entry in _logged(world, "syncer") if entry["event"] == "attempt_done"]

        await eventually(copied)
    finally:
        world.stop_processes()

    changes = await world.records("status-changed")
    assert [_headers(record)["ce_traceparent"].decode() for record in changes] == [TRACE, TRACE]
    (dead,) = await world.records("normalizer.dead-letters")
    assert _headers(dead)["original-ce_traceparent"].decode() == TRACE
    said = {entry["event"]: entry for entry in _logged(world, "normalizer")}
    assert {"dead_letter", "attempt_started", "attempt_done"} <= set(said)
    assert said["attempt_done"]["subject"] == str(event.preview_file_id)

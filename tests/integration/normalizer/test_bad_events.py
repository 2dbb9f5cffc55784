"""Events that cannot be understood: each is put aside with its reason, none stops a partition, none is lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from rushes_schemas import Encoding, Envelope, PreviewDeleted, RenormalizeRequested

from tests.integration.normalizer.parts import parts_of
from tests.world import World, eventually, playing, upload

pytestmark = pytest.mark.each_broker

BIG = 2 * 1024 * 1024


def _payload(**changes: Any) -> bytes:
    valid = {"preview_file_id": str(uuid4()), "extension": "mp4", "uploaded_at": "2026-01-01T00:00:00Z"}
    return json.dumps({name: value for name, value in {**valid, **changes}.items() if value is not ...}).encode()


def _headers(**changes: str) -> list[tuple[str, bytes]]:
    attributes = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": str(uuid4()),
        "ce_source": "/test",
        "ce_type": "rushes.preview-uploaded.v1",
        **changes,
    }
    return [(name, value.encode()) for name, value in attributes.items()]


BAD: dict[str, tuple[Callable[[], bytes | None], dict[str, str], str]] = {
    "not JSON": (lambda: b"{half", {}, "invalid"),
    "not UTF-8": (lambda: b'{"extension": "\xff\xfe"}', {}, "invalid"),
    "a list": (lambda: b"[1, 2]", {}, "invalid"),
    "wrong type of field": (lambda: _payload(extension=7), {}, "invalid"),
    "missing field": (lambda: _payload(uploaded_at=...), {}, "invalid"),
    "wrong id": (lambda: _payload(preview_file_id="shot-010"), {}, "invalid"),
    "extension too long": (lambda: _payload(extension="mpegts4"), {}, "invalid"),
    "NUL in a name": (lambda: _payload(name="a\0b"), {}, "invalid"),
    "number past int32": (lambda: _payload(revision=2**31), {}, "invalid"),
    "unknown encoding field": (lambda: _payload(encoding={"bitrate": "5M"}), {}, "invalid"),
    "unknown enum value": (lambda: _payload(encoding={"preset": "warp"}), {}, "invalid"),
    "bucket of nobody": (lambda: _payload(source={"bucket": "secrets", "key": "a-b"}), {}, "invalid"),
    "key that climbs": (lambda: _payload(source={"bucket": "movies", "key": "../../etc/passwd"}), {}, "invalid"),
    "time without a zone": (lambda: _payload(uploaded_at="2026-01-01T00:00:00"), {}, "invalid"),
    "unknown type": (_payload, {"ce_type": "rushes.coffee-made.v1"}, "unknown_type"),
    "future version": (_payload, {"ce_type": "rushes.preview-uploaded.v2"}, "unknown_version"),
    "unknown specversion": (_payload, {"ce_specversion": "3.0"}, "not_an_event"),
    "no value": (lambda: None, {}, "empty"),
    "2 MiB": (lambda: _payload(name="x" * BIG), {}, "too_large"),
}


async def test_bad_events_are_put_aside_with_their_reasons_and_stop_nobody(world: World) -> None:
    sent: dict[tuple[int, int], tuple[str, bytes | None]] = {}
    goods = [upload() for _ in BAD]
    topic = f"{world.prefix}preview-uploaded"
    async with parts_of(world) as parts, world.producer() as producer:
        for (name, (make, headers, _)), good in zip(BAD.items(), goods, strict=True):
            value = make()
            at = await producer.send_and_wait(topic, key=b"one-key", value=value, headers=_headers(**headers))
            sent[at.partition, at.offset] = (name, value)
            after = Envelope(good, source="/test")
            await producer.send_and_wait(topic, key=b"one-key", value=after.value(), headers=after.headers())
        async with playing(parts.intake(), parts.relay()):
            letters = await eventually(
                lambda: world.records("normalizer.dead-letters"), lambda found: len(found) >= len(BAD)
            )
            await eventually(
                lambda: parts.database.fetch("SELECT id FROM preview_file"), lambda rows: len(rows) == len(goods)
            )
    assert len(letters) == len(BAD)
    for letter in letters:
        facts = {name: value.decode() for name, value in letter.headers}
        assert facts["rushes-topic"] == topic
        name, value = sent.pop((int(facts["rushes-partition"]), int(facts["rushes-offset"])))
        assert facts["rushes-reason"] == BAD[name][2], name
        assert facts["rushes-sha256"] == hashlib.sha256(value or b"").hexdigest(), name
        assert facts["original-ce_id"]
        assert letter.key == b"one-key"
        assert facts["rushes-truncated"] == ("true" if name == "2 MiB" else "false"), name
        assert letter.value == (value[: len(letter.value or b"")] if name == "2 MiB" and value else value), name
    assert not sent


async def test_envelope_without_attributes_is_put_aside(world: World) -> None:
    good = upload()
    async with parts_of(world) as parts, world.producer() as producer:
        await producer.send_and_wait(f"{world.prefix}preview-uploaded", value=_payload(), headers=[])
        await world.send(good)
        async with playing(parts.intake(), parts.relay()):
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM preview_file"))
            (letter,) = await eventually(lambda: world.records("normalizer.dead-letters"))
    assert dict(letter.headers)["rushes-reason"] == b"not_an_event"


async def test_requests_and_deletions_of_unknown_previews_are_refused_where_all_can_see(world: World) -> None:
    unknown = RenormalizeRequested(preview_file_id=uuid4(), reason="try", requested_by="me")
    deleted = PreviewDeleted(preview_file_id=uuid4(), deleted_at=datetime.now(UTC))
    async with parts_of(world) as parts:
        await world.send(unknown, deleted)
        async with playing(parts.intake(), parts.relay()):
            letters = await eventually(lambda: world.records("normalizer.dead-letters"), lambda found: len(found) == 2)
        assert not await parts.database.fetch("SELECT 1 FROM preview_file")
        requests = await parts.database.fetch("SELECT kind, outcome FROM request ORDER BY kind")
    assert [tuple(request) for request in requests] == [("delete", "refused"), ("renormalize", "refused")]
    assert {dict(letter.headers)["rushes-reason"] for letter in letters} == {b"unknown_preview"}


async def _versions(world: World, preview_file_id: UUID) -> list[int]:
    return [event.version for event in await world.statuses(preview_file_id)]


async def test_the_same_event_twice_counts_once(world: World) -> None:
    event = upload()
    async with parts_of(world) as parts:
        await world.send(event, event, ids=["one", "one"])
        async with playing(parts.intake(), parts.relay()):
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM preview_file"))
            await world.send(event, upload(), ids=["one", "other"])
            await eventually(lambda: parts.database.fetch("SELECT id FROM preview_file"), lambda rows: len(rows) == 2)
            assert await eventually(lambda: _versions(world, event.preview_file_id)) == [1]
        requests = await parts.database.fetch(
            "SELECT 1 FROM request WHERE preview_file_id = :id", id=event.preview_file_id
        )
        tasks = await parts.database.fetch("SELECT 1 FROM task WHERE subject = :id", id=str(event.preview_file_id))
    assert (len(requests), len(tasks)) == (1, 1)


async def test_two_uploads_of_one_preview_in_one_batch_are_one_job_for_the_newer(world: World) -> None:
    first = upload(upload_generation=1, name="first")
    second = upload(first.preview_file_id, upload_generation=2, name="second")
    async with parts_of(world) as parts:
        await world.send(first, second)
        async with playing(parts.intake(), parts.relay()):
            (row,) = await eventually(
                lambda: parts.database.fetch("SELECT name, version FROM preview_file WHERE name = 'second'")
            )
            await eventually(
                lambda: _versions(world, first.preview_file_id), lambda seen: max(seen, default=0) == row.version
            )
        tasks = await parts.database.fetch("SELECT state FROM task")
        requests = await parts.database.fetch("SELECT outcome FROM request")
    assert [task.state for task in tasks] == ["queued"]
    assert [request.outcome for request in requests] == [None, None]


async def test_an_upload_that_comes_late_changes_nothing(world: World) -> None:
    now = datetime.now(UTC)
    newer = upload(uploaded_at=now, name="newer")
    older = upload(newer.preview_file_id, uploaded_at=now - timedelta(minutes=1), name="older")
    async with parts_of(world) as parts:
        async with playing(parts.intake(), parts.relay()):
            await world.send(newer)
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM preview_file"))
            await world.send(older)
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM request WHERE outcome = 'stale'"))
        (row,) = await parts.database.fetch("SELECT name, version FROM preview_file")
    assert (row.name, row.version) == ("newer", 1)


async def test_a_deleted_preview_is_said_to_be_deleted_and_loses_its_job(world: World) -> None:
    event = upload()
    async with parts_of(world) as parts:
        async with playing(parts.intake(), parts.relay()):
            await world.send(event)
            await eventually(lambda: parts.database.fetch("SELECT 1 FROM preview_file"))
            await world.send(PreviewDeleted(preview_file_id=event.preview_file_id, deleted_at=datetime.now(UTC)))
            await eventually(lambda: _versions(world, event.preview_file_id), lambda seen: seen == [1, 2])
        (task,) = await parts.database.fetch("SELECT state FROM task")
        (request,) = await parts.database.fetch("SELECT outcome FROM request WHERE kind = 'upload'")
    assert (task.state, request.outcome) == ("failed", "deleted")
    assert (await world.statuses(event.preview_file_id))[-1].deleted


async def test_a_structured_event_is_as_good_as_a_binary_one(world: World) -> None:
    event = upload(encoding=Encoding(fps="24000/1001"))
    envelope = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/test",
        "type": "rushes.preview-uploaded.v1",
        "datacontenttype": "application/json",
        "data": event.model_dump(mode="json", exclude_none=True),
    }
    async with parts_of(world) as parts, world.producer() as producer:
        await producer.send_and_wait(
            f"{world.prefix}preview-uploaded",
            value=json.dumps(envelope).encode(),
            headers=[("content-type", b"application/cloudevents+json")],
        )
        async with playing(parts.intake()):
            (row,) = await eventually(lambda: parts.database.fetch("SELECT id, encoding FROM preview_file"))
    assert row.id == event.preview_file_id
    assert row.encoding["fps"] == "24000/1001"

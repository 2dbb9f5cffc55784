"""Dead letters as an operator sees, mends and sends them again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC
from rushes_runtime.dead_letters import list_letters, redrive
from rushes_schemas import RenormalizeRequested

from tests.integration.normalizer.parts import Parts, parts_of
from tests.world import World, eventually, playing, upload

ATTRIBUTES = {"ce_specversion": "1.0", "ce_source": "/test", "ce_type": "rushes.preview-uploaded.v1"}


def _event(**changes: Any) -> dict[str, Any]:
    return {"preview_file_id": str(uuid4()), "extension": "mov", "uploaded_at": "2026-01-01T00:00:00Z", **changes}


async def _publish(world: World, value: bytes, **headers: str) -> None:
    async with world.producer() as producer:
        await producer.send_and_wait(
            f"{world.prefix}preview-uploaded",
            value=value,
            headers=[
                (name, each.encode())
                for name, each in {"content-type": "application/json", "ce_id": str(uuid4()), **headers}.items()
            ],
        )


async def _names(parts: Parts) -> list[str]:
    return [row.name for row in await parts.database.fetch("SELECT name FROM preview_file ORDER BY name")]


async def _letters(world: World, count: int) -> None:
    await eventually(lambda: world.records("normalizer.dead-letters"), lambda found: len(found) >= count)


@pytest.mark.extended
async def test_a_mended_letter_is_taken_in_and_leaves_the_list(world: World, tmp_path: Path) -> None:
    wrong = _event(revision="three", name="[red]shot")
    async with parts_of(world) as parts, playing(parts.intake(), parts.relay()):
        await _publish(world, json.dumps(wrong).encode(), **ATTRIBUTES)
        await _letters(world, 1)
        code, said, errors = await world.command("rushes-normalizer", "dead-letters", "list", "--json", STORE__KIND="")
        assert code == 0, errors
        (letter,) = json.loads(said)["letters"]
        assert (letter["reason"], "revision" in letter["detail"]) == ("invalid", True)
        assert letter["headers"]["ce_type"] == ATTRIBUTES["ce_type"]
        # As it is, it would only come back.
        code, _, errors = await world.command("rushes-normalizer", "dead-letters", "redrive", "--all")
        assert (code, "revision" in errors) == (1, True)
        code, raw, _ = await world.command("rushes-normalizer", "dead-letters", "show", letter["id"], "--raw")
        assert (code, json.loads(raw)) == (0, wrong)
        assert "[red]shot" in (await world.command("rushes-normalizer", "dead-letters", "show", letter["id"]))[1]
        mended = tmp_path / "mended.json"
        mended.write_text(json.dumps({**wrong, "revision": 3}))
        command = ["rushes-normalizer", "dead-letters", "redrive", letter["id"], "--value", str(mended)]
        assert (await world.command(*command, "--dry-run"))[0] == 0
        assert (await world.command(*command))[0] == 0
        await eventually(lambda: _names(parts), lambda names: names == ["[red]shot"])
        code, said, _ = await world.command("rushes-normalizer", "dead-letters", "list", "--json")
        assert (code, json.loads(said)["total"]) == (0, 0)
    assert len(await world.records("preview-uploaded")) == 2


async def test_an_event_that_was_refused_for_its_preview_counts_when_it_is_sent_again_and_only_once(
    world: World,
) -> None:
    event = upload()
    asked = RenormalizeRequested(preview_file_id=event.preview_file_id, reason="again", requested_by="me")
    kafka = world.normalizer_settings().kafka
    async with parts_of(world) as parts, playing(parts.intake(), parts.relay()):
        await world.send(asked)
        await _letters(world, 1)
        await world.send(event)
        await eventually(lambda: _names(parts))
        for _ in range(2):
            (letter,) = await list_letters(kafka, "normalizer")
            assert await redrive(kafka, "normalizer", CONTRACTS_BY_TOPIC, {letter.id}) == {letter.id: None}
        taken = "SELECT outcome FROM request WHERE kind = 'renormalize' AND outcome IS NULL"
        await eventually(lambda: parts.database.fetch(taken))
        assert len(await eventually(lambda: world.records("renormalize-requested"), lambda all_: len(all_) == 3)) == 3
        # What comes after both on their partition shows that the second was read.
        await world.send(RenormalizeRequested(preview_file_id=event.preview_file_id, reason="last", requested_by="me"))
        await eventually(lambda: parts.database.fetch("SELECT 1 FROM request WHERE reason = 'last'"))
        assert len(await parts.database.fetch(taken)) == 2
        (letter,) = await list_letters(kafka, "normalizer")
        assert letter.redriven


async def test_a_structured_event_gets_an_id_of_its_own_too(world: World) -> None:
    event = {**_event(name="structured"), "uploaded_at": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
    envelope = {"specversion": "1.0", "id": "one", "source": "/test", "type": "rushes.preview-uploaded.v1"}
    kafka = world.normalizer_settings().kafka
    structured = {"content-type": "application/cloudevents+json"}
    async with parts_of(world) as parts, playing(parts.intake(), parts.relay()):
        await _publish(world, json.dumps({**envelope, "data": {**event, "extension": 7}}).encode(), **structured)
        await _letters(world, 1)
        (letter,) = await list_letters(kafka, "normalizer")
        mended = json.dumps({**envelope, "data": event}).encode()
        await redrive(kafka, "normalizer", CONTRACTS_BY_TOPIC, {letter.id}, mended=mended)
        await eventually(lambda: _names(parts), lambda names: names == ["structured"])
        (inbox,) = await parts.database.fetch("SELECT event_id FROM inbox")
    assert inbox.event_id == f"one/redrive-{letter.id}"


@pytest.mark.parametrize("arguments", [[], ["0-1", "--all"], ["0-1", "0-2", "--value", __file__]])
async def test_a_redrive_that_says_not_what_is_refused(world: World, arguments: list[str]) -> None:
    code, _, errors = await world.command("rushes-normalizer", "dead-letters", "redrive", *arguments)
    assert (code, "ID" in errors) == (2, True)


async def test_a_letter_that_is_not_there_is_said_so(world: World) -> None:
    for command in ("show", "redrive"):
        code, said, errors = await world.command("rushes-normalizer", "dead-letters", command, "7-99")
        assert (code, "7-99" in said + errors) == (1, True)

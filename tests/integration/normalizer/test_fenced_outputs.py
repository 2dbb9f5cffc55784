"""Outputs are written and deleted on the condition that nobody else did: a worker that lost its job changes none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from rushes_normalizer import purging
from rushes_normalizer.publishing import Publisher
from rushes_runtime.fenced_writes import LostLeaseError
from rushes_runtime.store import Unconditional
from rushes_schemas import ObjectKind, object_key

from tests.integration.normalizer.kept_previews import kept_preview
from tests.integration.normalizer.parts import Parts, parts_of
from tests.world import World

LOW = object_key(ObjectKind.LOW_DEFINITION, UUID(int=1))


async def _publish(parts: Parts, path: Path, writer: str) -> str:
    """Write an output as somebody else; its etag."""
    path.write_text(writer)
    stored = await parts.store.upload("movies", LOW, path, content_type="video/mp4", condition=Unconditional())
    return stored.etag


async def test_a_worker_that_lost_its_job_before_it_knew_any_output_overwrites_none(
    world: World, tmp_path: Path
) -> None:
    async def lost() -> None:
        raise LostLeaseError

    async with parts_of(world) as parts:
        successors = await _publish(parts, tmp_path / "successor", "successor")
        (tmp_path / "old").write_text("the one that was lost")
        publisher = Publisher(parts.store, UUID(int=1), {}, lost, lambda _: None)
        with pytest.raises(LostLeaseError):
            await publisher.publish(ObjectKind.LOW_DEFINITION, tmp_path / "old")
        there = await parts.store.stat("movies", LOW)
    assert there is not None
    assert there.etag == successors


@pytest.mark.parametrize("known", [{}, {("movies", LOW): "gone"}], ids=["no output known", "another output known"])
async def test_a_worker_that_pauses_after_it_showed_its_lease_cannot_overwrite_its_successor(
    world: World, tmp_path: Path, known: dict[tuple[str, str], str]
) -> None:
    successors: list[str] = []

    async with parts_of(world) as parts:

        async def held_until_it_pauses() -> None:
            if successors:
                raise LostLeaseError
            successors.append(await _publish(parts, tmp_path / "successor", "successor"))

        await _publish(parts, tmp_path / "before", "before")
        (tmp_path / "old").write_text("the one that pauses")
        publisher = Publisher(parts.store, UUID(int=1), known, held_until_it_pauses, lambda _: None)
        with pytest.raises(LostLeaseError):
            await publisher.publish(ObjectKind.LOW_DEFINITION, tmp_path / "old")
        there = await parts.store.stat("movies", LOW)
    assert there is not None
    assert [there.etag] == successors


def _with_store(world: World, kind: str) -> World:
    return world if kind == "s3" else world.with_settings(STORE__KIND=kind, STORE__ROOT=str(world.folder / "store"))


@pytest.mark.parametrize("kind", ["s3", "local"])
async def test_a_purge_that_pauses_after_it_showed_its_lease_deletes_no_output_of_a_new_upload(
    world: World, tmp_path: Path, kind: str
) -> None:
    successors: list[str] = []

    async with parts_of(_with_store(world, kind)) as parts:

        async def held_until_it_pauses() -> None:
            if successors:
                raise LostLeaseError
            successors.append(await _publish(parts, tmp_path / "successor", "successor"))

        await _publish(parts, tmp_path / "before", "before")
        deleted = kept_preview(id=UUID(int=1), deleted_at=datetime.now(UTC))
        with pytest.raises(LostLeaseError):
            await purging.purge(parts.store, deleted, held_until_it_pauses)
        there = await parts.store.stat("movies", LOW)
    assert there is not None
    assert [there.etag] == successors


@pytest.mark.parametrize("kind", ["s3", "local"])
async def test_a_purge_deletes_what_changes_while_it_holds_its_lease(world: World, tmp_path: Path, kind: str) -> None:
    late: list[str] = []

    async with parts_of(_with_store(world, kind)) as parts:

        async def held() -> None:
            if not late:
                late.append(await _publish(parts, tmp_path / "late", "by an attempt that woke up"))

        await _publish(parts, tmp_path / "before", "before")
        await purging.purge(parts.store, kept_preview(id=UUID(int=1), deleted_at=datetime.now(UTC)), held)
        assert await parts.store.stat("movies", LOW) is None

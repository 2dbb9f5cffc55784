"""Zou's selectors, with Zou's meaning."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from rushes_normalizer.selection import RenormalizeSelection, SelectionTooWideError, select_for_renormalization
from rushes_schemas import PreviewStatus

from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.world import World

NOW: Final = datetime.now(UTC)
PROJECT: Final = uuid4()
BROKEN, MISSING, PROCESSING, READY = (
    PreviewStatus.BROKEN,
    PreviewStatus.MISSING,
    PreviewStatus.PROCESSING,
    PreviewStatus.READY,
)
# From the newest to the oldest, an hour apart.
_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "corrupt": {"failure_code": "corrupt", "project_id": PROJECT},
    "poison": {"failure_code": "poison"},
    "missing": {"status": MISSING, "failure_code": "source_missing"},
    "processing": {"status": PROCESSING},
    "ready": {"status": READY, "project_id": PROJECT},
    "picture": {"extension": "png"},
    "deleted": {"deleted_at": NOW},
}
KEPT: Final = {
    name: kept_preview(created_at=NOW - timedelta(hours=hours), **fields)
    for hours, (name, fields) in enumerate(_FIELDS.items())
}


def _ids(*names: str) -> list[UUID]:
    return [KEPT[name].id for name in names]


CASES: Final[Mapping[str, tuple[dict[str, Any], list[str]]]] = {
    "broken leaves missing alone": ({"statuses": {BROKEN}}, ["poison", "corrupt"]),
    "statuses are alternatives, oldest first": (
        {"statuses": {BROKEN, MISSING, PROCESSING}},
        ["processing", "missing", "poison", "corrupt"],
    ),
    "conditions hold together": ({"statuses": {BROKEN, MISSING}, "project_id": PROJECT}, ["corrupt"]),
    "ready if it is named": ({"statuses": {BROKEN, READY}, "project_id": PROJECT}, ["ready", "corrupt"]),
    "code": ({"statuses": {BROKEN, MISSING}, "code": "poison"}, ["poison"]),
    "age": ({"statuses": {BROKEN, MISSING}, "age": timedelta(minutes=90)}, ["poison", "corrupt"]),
    "limit takes the oldest": ({"statuses": {BROKEN, MISSING}, "limit": 2}, ["missing", "poison"]),
    "ids name any status and kind": ({"ids": _ids("ready", "picture", "corrupt")}, ["picture", "ready", "corrupt"]),
    "ids beside ready": ({"ids": _ids("ready", "corrupt"), "statuses": {READY}}, ["ready", "corrupt"]),
    "ids beside a status": ({"ids": _ids("ready", "corrupt"), "statuses": {BROKEN}}, ["corrupt"]),
    "never a deleted one": ({"ids": _ids("deleted")}, []),
}


@pytest.mark.parametrize(("wanted", "names"), CASES.values(), ids=CASES.keys())
async def test_what_a_selection_chooses(world: World, wanted: dict[str, Any], names: list[str]) -> None:
    async with world.normalizer_database() as database:
        await keep(database, *KEPT.values())
        chosen = await select_for_renormalization(database, RenormalizeSelection(**wanted), NOW)
    assert [each for each, _ in chosen] == _ids(*names)


@pytest.mark.parametrize("wanted", [{}, {"project_id": PROJECT}, {"age": timedelta(days=1)}, {"code": "corrupt"}])
async def test_neither_id_nor_status_is_refused(world: World, wanted: dict[str, Any]) -> None:
    async with world.normalizer_database() as database:
        with pytest.raises(SelectionTooWideError, match="--all-broken"):
            await select_for_renormalization(database, RenormalizeSelection(**wanted), NOW)

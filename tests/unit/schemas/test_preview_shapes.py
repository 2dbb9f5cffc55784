"""The three shapes of a preview, field by field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from rushes_schemas import Preview

PREVIEW_ID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
TASK_ID = "11111111-2222-4333-8444-555555555555"
ROW: dict[str, Any] = {
    "id": UUID(PREVIEW_ID),
    "name": "sh010_comp",
    "original_name": "sh010_comp.mov",
    "revision": 3,
    "position": 1,
    "extension": "mp4",
    "description": "more smoke",
    "path": "/mnt/sh010.mov",
    "source": "webgui",
    "file_size": 4096,
    "status": "ready",
    "validation_status": "validated",
    "annotations": [{"time": 0}],
    "width": 1920,
    "height": 1080,
    "duration": 4.5,
    "task_id": UUID(TASK_ID),
    "person_id": None,
    "source_file_id": None,
    "shotgun_id": 7,
    "data": {"take": 2},
    "token_in": 5,
    "token_out": 6,
    "created_at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "updated_at": datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
    "is_movie": False,
    "url": None,
    "uploaded_movie_url": None,
    "uploaded_movie_name": None,
}
SERIALIZED = {
    **ROW,
    "id": PREVIEW_ID,
    "task_id": TASK_ID,
    "created_at": "2026-01-02T03:04:05",
    "updated_at": "2026-01-02T03:04:06",
    "type": "PreviewFile",
}


def test_serialize_shows_every_column_and_the_type() -> None:
    assert Preview(**ROW).serialize() == SERIALIZED


def test_present_shows_what_a_list_needs() -> None:
    assert Preview(**ROW).present() == {
        "id": PREVIEW_ID,
        "name": "sh010_comp",
        "original_name": "sh010_comp.mov",
        "extension": "mp4",
        "revision": 3,
        "position": 1,
        "file_size": 4096,
        "status": "ready",
        "validation_status": "validated",
        "task_id": TASK_ID,
        "person_id": None,
        "created_at": "2026-01-02T03:04:05",
        "token_in": 5,
        "token_out": 6,
    }


def test_present_minimal_shows_what_a_player_needs() -> None:
    assert Preview(**ROW).present_minimal() == {
        "id": PREVIEW_ID,
        "name": "sh010_comp",
        "extension": "mp4",
        "revision": 3,
        "position": 1,
        "status": "ready",
    }


@pytest.mark.parametrize(("expose_missing", "shown"), [(False, "broken"), (True, "missing")])
def test_every_shape_follows_the_switch(expose_missing: bool, shown: str) -> None:
    preview = Preview(**{**ROW, "status": "missing"})
    shapes = (preview.serialize, preview.present, preview.present_minimal)
    assert [shape(expose_missing=expose_missing)["status"] for shape in shapes] == [shown] * 3


def test_times_are_naive_utc_whatever_their_zone() -> None:
    paris = datetime(2026, 7, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert Preview(**{**ROW, "created_at": paris}).present()["created_at"] == "2026-07-01T12:00:00"


def test_naive_times_are_taken_for_utc() -> None:
    naive = datetime(2026, 7, 1, 12, 0)  # noqa: DTZ001 - what Zou's columns hold
    assert Preview(**{**ROW, "created_at": naive}).present()["created_at"] == "2026-07-01T12:00:00"


def test_every_shape_is_plain_json() -> None:
    preview = Preview(**ROW)
    for shape in (preview.serialize(), preview.present(), preview.present_minimal()):
        assert json.loads(json.dumps(shape)) == shape


def test_columns_of_a_later_version_are_ignored() -> None:
    assert "mood" not in Preview(**{**ROW, "mood": "grim"}).serialize()

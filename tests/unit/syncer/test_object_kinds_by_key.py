"""An object is known by its bucket and key."""

from __future__ import annotations

from uuid import UUID

import pytest
from rushes_runtime.store import SENTINEL_KEY
from rushes_schemas import PLACES, ObjectKind, object_key
from rushes_syncer.copying import kind_of_key

PREVIEW_ID = UUID("6f9619ff-8b86-4011-b42d-00c04fc964ff")


@pytest.mark.parametrize("kind", ObjectKind)
def test_every_kind_is_known_by_its_own_key(kind: ObjectKind) -> None:
    assert kind_of_key(PLACES[kind].bucket, object_key(kind, PREVIEW_ID)) is kind


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("movies", SENTINEL_KEY),
        ("pictures", f"avatars-{PREVIEW_ID}"),
        ("movies", f"thumbnails-{PREVIEW_ID}"),
        ("movies", "source"),
        ("movies", "sources-x"),
        ("backups", f"source-{PREVIEW_ID}"),
        ("movies", ""),
    ],
)
def test_what_is_no_previews_object_is_left_alone(bucket: str, key: str) -> None:
    assert kind_of_key(bucket, key) is None

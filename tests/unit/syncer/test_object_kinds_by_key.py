"""An object is known by its bucket and key."""

from __future__ import annotations

from uuid import UUID

import pytest
from rushes_runtime.store import SENTINEL_KEY
from rushes_schemas import PLACES, ObjectKind, object_key
from rushes_syncer.copying import kind_of_key
from rushes_syncer.objects import object_of

PREVIEW_ID = UUID("6f9619ff-8b86-4011-b42d-00c04fc964ff")


@pytest.mark.parametrize("kind", ObjectKind)
def test_every_kind_is_known_by_its_own_key(kind: ObjectKind) -> None:
    assert kind_of_key(PLACES[kind].bucket, object_key(kind, PREVIEW_ID)) is kind
    assert object_of(PLACES[kind].bucket, object_key(kind, PREVIEW_ID)) == (kind, PREVIEW_ID)


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
    assert object_of(bucket, key) is None


@pytest.mark.parametrize("key", [f"source-{str(PREVIEW_ID).upper()}", "source-6f9619ff-8b86-4011-b42d-00c04fc964fg"])
def test_a_key_that_zou_does_not_write_is_no_previews_object(key: str) -> None:
    assert object_of("movies", key) is None

"""Buckets and keys of a preview's objects."""

from __future__ import annotations

from uuid import UUID

import pytest
from rushes_schemas import PLACES, ObjectKind, object_key

PREVIEW_ID = UUID("6F9619FF-8B86-4011-B42D-00C04FC964FF")


@pytest.mark.parametrize(
    ("kind", "bucket", "prefix"),
    [
        (ObjectKind.SOURCE_MOVIE, "movies", "source"),
        (ObjectKind.HIGH_DEFINITION, "movies", "previews"),
        (ObjectKind.LOW_DEFINITION, "movies", "lowdef"),
        (ObjectKind.SOURCE_PICTURE, "pictures", "source"),
        (ObjectKind.ORIGINAL, "pictures", "original"),
        (ObjectKind.THUMBNAIL, "pictures", "thumbnails"),
        (ObjectKind.SQUARE_THUMBNAIL, "pictures", "thumbnails-square"),
        (ObjectKind.PREVIEW_PICTURE, "pictures", "previews"),
        (ObjectKind.TILE, "pictures", "tiles"),
        (ObjectKind.FILE, "files", "previews"),
    ],
)
def test_objects_lie_where_a_kitsu_server_looks(kind: ObjectKind, bucket: str, prefix: str) -> None:
    assert PLACES[kind].bucket == bucket
    assert object_key(kind, PREVIEW_ID) == f"{prefix}-6f9619ff-8b86-4011-b42d-00c04fc964ff"


def test_no_two_kinds_share_a_place() -> None:
    assert len({(place.bucket, place.prefix) for place in PLACES.values()}) == len(ObjectKind)

"""The objects of a preview: what they are called, and where they lie.

Buckets and prefixes are those of Zou, so that a Kitsu server can serve what Rushes made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

MOVIES: Final = "movies"
PICTURES: Final = "pictures"
FILES: Final = "files"
BUCKETS: Final = (MOVIES, PICTURES, FILES)


class ObjectKind(StrEnum):
    """What an object of a preview is."""

    SOURCE_MOVIE = "source_movie"
    SOURCE_PICTURE = "source_picture"
    FILE = "file"
    HIGH_DEFINITION = "high_definition"
    LOW_DEFINITION = "low_definition"
    ORIGINAL = "original"
    THUMBNAIL = "thumbnail"
    SQUARE_THUMBNAIL = "square_thumbnail"
    PREVIEW_PICTURE = "preview_picture"
    TILE = "tile"


@dataclass(frozen=True)
class Place:
    """Where a kind of object lies: a bucket without the studio's prefix, and the prefix of its key."""

    bucket: str
    prefix: str
    content_type: str


PLACES: Final[dict[ObjectKind, Place]] = {
    ObjectKind.SOURCE_MOVIE: Place(MOVIES, "source", "video/mp4"),
    ObjectKind.SOURCE_PICTURE: Place(PICTURES, "source", "application/octet-stream"),
    ObjectKind.FILE: Place(FILES, "previews", "application/octet-stream"),
    ObjectKind.HIGH_DEFINITION: Place(MOVIES, "previews", "video/mp4"),
    ObjectKind.LOW_DEFINITION: Place(MOVIES, "lowdef", "video/mp4"),
    ObjectKind.ORIGINAL: Place(PICTURES, "original", "image/png"),
    ObjectKind.THUMBNAIL: Place(PICTURES, "thumbnails", "image/png"),
    ObjectKind.SQUARE_THUMBNAIL: Place(PICTURES, "thumbnails-square", "image/png"),
    ObjectKind.PREVIEW_PICTURE: Place(PICTURES, "previews", "image/png"),
    ObjectKind.TILE: Place(PICTURES, "tiles", "image/png"),
}


def object_key(kind: ObjectKind, preview_file_id: UUID) -> str:
    """The key of an object inside its bucket: `{prefix}-{id}`, the id in lower case."""
    return f"{PLACES[kind].prefix}-{preview_file_id}"

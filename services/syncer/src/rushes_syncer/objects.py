"""An object of a preview is known by its bucket and key."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from uuid import UUID

from rushes_schemas import PLACES, ObjectKind

_KINDS: Final = {(place.bucket, place.prefix): kind for kind, place in PLACES.items()}
_KEY: Final = re.compile("(.+)-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")


class PreviewObject(NamedTuple):
    """What an object is, and of which preview."""

    kind: ObjectKind
    preview_file_id: UUID


def object_of(bucket: str, key: str) -> PreviewObject | None:
    """The preview's object under a key; None for what is no preview's, such as a sentinel or an avatar."""
    found = _KEY.fullmatch(key)
    kind = _KINDS.get((bucket, found[1])) if found else None
    return PreviewObject(kind, UUID(found[2])) if found and kind else None

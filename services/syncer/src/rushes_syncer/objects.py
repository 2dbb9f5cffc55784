"""An object of a preview is known by its bucket and key."""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

from rushes_schemas import PLACES, ObjectKind

_KINDS: Final = {(place.bucket, place.prefix): kind for kind, place in PLACES.items()}
_ID: Final = 36  # characters of an id


class PreviewObject(NamedTuple):
    """What an object is, and of which preview."""

    kind: ObjectKind
    preview_file_id: UUID


def object_of(bucket: str, key: str) -> PreviewObject | None:
    """The preview's object under a key; None for what is no preview's, such as a sentinel or an avatar."""
    prefix, dash, name = key[: -_ID - 1], key[-_ID - 1 : -_ID], key[-_ID:]
    kind = _KINDS.get((bucket, prefix))
    if kind is None or dash != "-":
        return None
    try:
        preview_file_id = UUID(name)
    except ValueError:
        return None
    return PreviewObject(kind, preview_file_id) if str(preview_file_id) == name else None

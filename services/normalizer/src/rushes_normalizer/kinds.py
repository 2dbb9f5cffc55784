"""What kind of file an upload is, and where its source lies unless the event says."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from rushes_schemas import PLACES, ObjectKind, Source, object_key
from rushes_schemas.outputs import FILES, MOVIES


class UploadKind(StrEnum):
    """What is made of an upload."""

    MOVIE = "movie"
    PICTURE = "picture"
    FILE = "file"


def kind_of(extension: str, *, movies: frozenset[str], pictures: frozenset[str]) -> UploadKind:
    """The kind of an upload, by its extension."""
    if extension in movies:
        return UploadKind.MOVIE
    return UploadKind.PICTURE if extension in pictures else UploadKind.FILE


def source_kind(kind: UploadKind, extension: str) -> ObjectKind:
    """What the source object is.

    A PNG upload is itself the original picture, as in Zou. Other pictures keep a source of their own, because
    the original is made of them.
    """
    match kind:
        case UploadKind.MOVIE:
            return ObjectKind.SOURCE_MOVIE
        case UploadKind.PICTURE:
            return ObjectKind.ORIGINAL if extension == "png" else ObjectKind.SOURCE_PICTURE
        case UploadKind.FILE:
            return ObjectKind.FILE


def stored_kind(source: Source) -> ObjectKind:
    """What a source object is, by where it lies."""
    if source.bucket == MOVIES:
        return ObjectKind.SOURCE_MOVIE
    if source.bucket == FILES:
        return ObjectKind.FILE
    return ObjectKind.ORIGINAL if source.key.startswith("original-") else ObjectKind.SOURCE_PICTURE


def default_source(kind: UploadKind, extension: str, preview_file_id: UUID) -> Source:
    """Where the source of an upload lies if the event does not say."""
    stored = source_kind(kind, extension)
    return Source.model_validate({"bucket": PLACES[stored].bucket, "key": object_key(stored, preview_file_id)})


def shown_extension(kind: UploadKind, extension: str) -> str:
    """The extension that API consumers see: that of what they play."""
    return {UploadKind.MOVIE: "mp4", UploadKind.PICTURE: "png", UploadKind.FILE: extension}[kind]

"""What an upload is, where its source lies, and what API consumers see of it."""

from __future__ import annotations

import pytest
from rushes_normalizer.kinds import (
    UploadKind,
    default_source,
    kind_of,
    shown_extension,
    source_kind,
    stored_kind,
)
from rushes_schemas import ObjectKind, Source

from tests.unit.normalizer.preview_rows import PREVIEW_ID, kind


@pytest.mark.parametrize(
    ("extension", "expected", "bucket", "prefix", "stored", "shown"),
    [
        ("mp4", UploadKind.MOVIE, "movies", "source", ObjectKind.SOURCE_MOVIE, "mp4"),
        ("mov", UploadKind.MOVIE, "movies", "source", ObjectKind.SOURCE_MOVIE, "mp4"),
        ("png", UploadKind.PICTURE, "pictures", "original", ObjectKind.ORIGINAL, "png"),
        ("jpg", UploadKind.PICTURE, "pictures", "source", ObjectKind.SOURCE_PICTURE, "png"),
        ("pdf", UploadKind.FILE, "files", "previews", ObjectKind.FILE, "pdf"),
    ],
)
def test_an_extension_decides_kind_place_and_what_is_shown(
    extension: str, expected: UploadKind, bucket: str, prefix: str, stored: ObjectKind, shown: str
) -> None:
    source = default_source(kind(extension), extension, PREVIEW_ID)
    assert kind(extension) is expected
    assert (source.bucket, source.key) == (bucket, f"{prefix}-{PREVIEW_ID}")
    assert source_kind(expected, extension) is stored
    assert stored_kind(source) is stored, "a source is known again by where it lies"
    assert shown_extension(expected, extension) == shown


def test_an_extension_of_both_lists_is_a_movie() -> None:
    both = frozenset({"gif"})
    assert kind_of("gif", movies=both, pictures=both) is UploadKind.MOVIE


@pytest.mark.parametrize(
    ("bucket", "key", "expected"),
    [
        ("movies", "incoming/sh010", ObjectKind.SOURCE_MOVIE),
        ("files", "incoming/sh010", ObjectKind.FILE),
        ("pictures", "incoming/sh010", ObjectKind.SOURCE_PICTURE),
        ("pictures", "original-sh010", ObjectKind.ORIGINAL),
    ],
)
def test_a_source_in_a_place_of_its_own_is_told_by_its_bucket(bucket: str, key: str, expected: ObjectKind) -> None:
    assert stored_kind(Source.model_validate({"bucket": bucket, "key": key})) is expected

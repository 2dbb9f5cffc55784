"""An upload is new, a replacement, a repetition, or stale."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rushes_normalizer.folding import UploadMeaning, upload_meaning
from rushes_normalizer.previews import PreviewRow

from tests.unit.normalizer.preview_rows import SOURCE, UPLOADED_AT, row, upload

WITH_ETAG = {"source": SOURCE.model_copy(update={"etag": "one"})}


@pytest.mark.parametrize(
    ("held", "seconds_later", "fields", "meaning"),
    [
        (None, 0, {}, UploadMeaning.NEW),
        # a deleted preview comes back only by an upload after its deletion
        (row(deleted_at=UPLOADED_AT + timedelta(seconds=60)), 61, {}, UploadMeaning.REPLACES),
        (row(deleted_at=UPLOADED_AT + timedelta(seconds=60)), 60, {}, UploadMeaning.STALE),
        (row(deleted_at=UPLOADED_AT + timedelta(seconds=60)), 0, {}, UploadMeaning.STALE),
        (
            row(deleted_at=UPLOADED_AT + timedelta(seconds=60), upload_generation=1),
            0,
            {"upload_generation": 2},
            UploadMeaning.STALE,
        ),
        # generations, where both sides have one, whatever the times say
        (row(upload_generation=2), 0, {"upload_generation": 2}, UploadMeaning.REPEATED),
        (row(upload_generation=2), 9, {"upload_generation": 2}, UploadMeaning.REPEATED),
        (row(upload_generation=2), -9, {"upload_generation": 3}, UploadMeaning.REPLACES),
        (row(upload_generation=2), 9, {"upload_generation": 1}, UploadMeaning.STALE),
        # else the time of the upload
        (row(), 1, {}, UploadMeaning.REPLACES),
        (row(), -1, {}, UploadMeaning.STALE),
        (row(upload_generation=2), 1, {}, UploadMeaning.REPLACES),
        (row(), -1, {"upload_generation": 3}, UploadMeaning.STALE),
        # and for equal times the source
        (row(), 0, {}, UploadMeaning.REPEATED),
        (row(**WITH_ETAG), 0, {}, UploadMeaning.REPEATED),
        (row(**WITH_ETAG), 0, {"source": {**SOURCE.model_dump(), "etag": "one"}}, UploadMeaning.REPEATED),
        (row(**WITH_ETAG), 0, {"source": {**SOURCE.model_dump(), "etag": "two"}}, UploadMeaning.REPLACES),
        (row(**WITH_ETAG), 0, {"source": SOURCE.model_dump()}, UploadMeaning.REPEATED),
    ],
)
def test_an_upload_is_told_from_what_is_known(
    held: PreviewRow | None, seconds_later: float, fields: dict[str, Any], meaning: UploadMeaning
) -> None:
    assert upload_meaning(held, upload(seconds_later, **fields)) is meaning


@given(
    seconds_later=st.integers(-5, 5),
    generation=st.none() | st.integers(0, 3),
    etag=st.none() | st.sampled_from(["one", "two"]),
)
def test_the_same_upload_never_replaces_itself(seconds_later: int, generation: int | None, etag: str | None) -> None:
    source = SOURCE.model_copy(update={"etag": etag})
    event = upload(seconds_later, upload_generation=generation, source=source.model_dump())
    held = row(uploaded_at=event.uploaded_at, upload_generation=generation, source=source)
    assert upload_meaning(held, event) is UploadMeaning.REPEATED

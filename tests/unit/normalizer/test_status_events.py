"""The event of a transition is valid, and says what API consumers may see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rushes_normalizer.previews import PreviewRow
from rushes_normalizer.transitions import status_changed
from rushes_schemas import FAILURES, FailureCode, PreviewStatus, Source, StatusChanged, StoredFile

from tests.unit.normalizer.preview_rows import NOW, PREVIEW_ID, SOURCE, UPLOADED_AT, row, stored

TRANSIENT = {
    FailureCode.STORAGE_UNAVAILABLE,
    FailureCode.STORAGE_DENIED,
    FailureCode.OUT_OF_DISK,
    FailureCode.WORKER_LOST,
    FailureCode.SOURCE_CHANGED,
    FailureCode.INTERNAL,
}
STATUSES = st.sampled_from(list(PreviewStatus))


def _event(before: PreviewRow | None, after: PreviewRow, *, expose_missing: bool = False) -> StatusChanged:
    """The event as a consumer reads it off the bus."""
    event = status_changed(
        before,
        after,
        job_state="done",
        request_ids=["one", "two"],
        attempt=2,
        expose_missing=expose_missing,
        now=NOW,
    )
    return StatusChanged.model_validate_json(event.model_dump_json())


def test_an_event_carries_the_row() -> None:
    after = row(
        version=5,
        fence=7,
        name="sh010",
        width=1998,
        height=1080,
        duration=4.5,
        fps="24000/1001",
        frame_count=108,
        source_fps="24000/1001",
        frames_duplicated=0,
        frames_dropped=1,
        file_size=4096,
        files=(stored("source_movie"), stored("low_definition")),
    )
    event = _event(row(), after)
    assert (event.preview_file_id, event.id, event.version, event.fence) == (PREVIEW_ID, PREVIEW_ID, 5, 7)
    assert (event.occurred_at, event.created_at, event.deleted) == (NOW, UPLOADED_AT, False)
    assert event.job
    assert (event.job.state, event.job.request_ids, event.job.attempt) == ("done", ["one", "two"], 2)
    assert event.files == list(after.files)
    for field in ("name", "width", "height", "duration", "fps", "frame_count", "source_fps", "frames_dropped"):
        assert getattr(event, field) == getattr(after, field), field


def test_a_first_event_has_no_previous_status() -> None:
    event = _event(None, row(status=PreviewStatus.PROCESSING, version=1))
    assert (event.previous_status, event.internal_previous_status) == (None, None)
    assert event.error is None


@pytest.mark.parametrize(("expose_missing", "shown"), [(False, "broken"), (True, "missing")])
def test_the_switch_holds_for_both_public_fields(expose_missing: bool, shown: str) -> None:
    gone = row(status=PreviewStatus.MISSING, failure_code="source_missing", failure_message="no such object")
    event = _event(gone, gone.moved(), expose_missing=expose_missing)
    assert (event.status, event.previous_status) == (shown, shown)
    assert (event.internal_status, event.internal_previous_status) == ("missing", "missing")


@given(before=st.none() | STATUSES, after=STATUSES, expose_missing=st.booleans())
def test_internal_statuses_are_true_and_public_ones_follow_the_switch(
    before: PreviewStatus | None, after: PreviewStatus, expose_missing: bool
) -> None:
    event = _event(row(status=before) if before else None, row(status=after), expose_missing=expose_missing)
    assert (event.internal_status, event.internal_previous_status) == (after, before)
    if not expose_missing:
        assert "missing" not in {event.status, event.previous_status}


@pytest.mark.parametrize("code", FailureCode)
def test_an_error_says_whether_another_try_may_help(code: FailureCode) -> None:
    error = _event(row(), row(failure_code=code.value, failure_message="why")).error
    assert error
    assert (error.code, error.message) == (code.value, "why")
    assert error.retryable is (code in TRANSIENT)
    assert error.for_artist == FAILURES[code].for_artist


def test_an_error_says_to_the_artist_what_is_known_beyond_its_code() -> None:
    error = _event(row(), row(failure_code="corrupt", failure_message="why", failure_for_artist="Near frame 5.")).error
    assert error
    assert error.for_artist == "Near frame 5."


@pytest.mark.parametrize(
    ("source", "files", "listed"),
    [
        (SOURCE, (), []),
        (SOURCE.model_copy(update={"bytes": 9, "etag": "e"}), (), ["source_movie"]),
        (SOURCE.model_copy(update={"bytes": 9}), (), []),
        (SOURCE.model_copy(update={"bytes": 9, "etag": "e"}), (stored("source_movie"),), ["source_movie"]),
        (
            SOURCE.model_copy(update={"bytes": 9, "etag": "e"}),
            (stored("low_definition"),),
            ["source_movie", "low_definition"],
        ),
    ],
    ids=["nothing known", "as its event said", "half said", "already listed", "beside an older set"],
)
def test_the_source_is_listed_once_as_soon_as_it_is_known(
    source: Source, files: tuple[StoredFile, ...], listed: list[str]
) -> None:
    event = _event(None, row(status=PreviewStatus.PROCESSING, source=source, files=files))
    assert [stored_file.kind for stored_file in event.files] == listed


def test_files_are_listed_whatever_the_status() -> None:
    files = (stored("source_movie"), stored("low_definition"))
    for status in PreviewStatus:
        assert _event(None, row(status=status, files=files)).files == list(files)


def test_a_deletion_says_so() -> None:
    assert _event(row(), row(deleted_at=NOW)).deleted


@pytest.mark.parametrize("rate", ["1/5", "1000/1", "2001/100", "12345678901/987654321"])
def test_a_source_may_have_any_rate(rate: str) -> None:
    event = _event(None, row(fps=rate, source_fps=rate))
    assert (event.fps, event.source_fps) == (rate, rate)


def test_the_longest_values_of_a_row_make_a_valid_event() -> None:
    full = row(
        name="é" * 250,
        original_name="x" * 250,
        revision=2**31 - 1,
        file_size=2**63 - 1,
        failure_code="corrupt",
        failure_message="y" * 2000,
    )
    assert _event(full, full.moved()).version == full.version + 1

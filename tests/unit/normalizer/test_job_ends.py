"""What a job's end makes of a preview."""

from __future__ import annotations

import pytest
from rushes_normalizer.media.make import MediaFacts
from rushes_normalizer.previews import PreviewRow
from rushes_normalizer.transitions import NormalizeFailedError, Published, after_failed_job, after_success
from rushes_runtime.failures import AttemptFailedError
from rushes_schemas import FailureCode, PreviewStatus

from tests.unit.normalizer.preview_rows import row, stored

FACTS = MediaFacts(
    width=1998,
    height=1080,
    duration_seconds=4.5,
    fps="24000/1001",
    frame_count=108,
    source_fps="24000/1001",
    frames_duplicated=0,
    frames_dropped=1,
)
PUBLISHED = Published(
    stored("source_movie", bytes=4096, etag="source-2"),
    (stored("high_definition"), stored("low_definition")),
    FACTS,
    row().uploaded_at,
)
FAILED = row(
    status=PreviewStatus.BROKEN, failure_code="corrupt", failure_message="cut off", files=(stored("low_definition"),)
)


def test_a_success_is_ready_with_every_file_and_fact() -> None:
    made = after_success(FAILED, PUBLISHED, fence=7)
    assert (made.status, made.version, made.fence) == (PreviewStatus.READY, FAILED.version + 1, 7)
    assert (made.failure_code, made.failure_message) == (None, None)
    assert made.files == (PUBLISHED.source, *PUBLISHED.files)
    assert (made.file_size, made.source.bytes, made.source.etag) == (4096, 4096, "source-2")
    assert (made.width, made.height, made.duration) == (1998, 1080, 4.5)
    assert (made.fps, made.frame_count, made.source_fps) == ("24000/1001", 108, "24000/1001")
    assert (made.frames_duplicated, made.frames_dropped) == (0, 1)


def test_a_picture_has_no_rate() -> None:
    still = MediaFacts(800, 450, 0.0, "", 1, "", 0, 0)
    made = after_success(row(), Published(PUBLISHED.source, (), still, row().uploaded_at), fence=7)
    assert (made.width, made.height, made.fps, made.source_fps, made.frame_count) == (800, 450, None, None, 1)


def test_a_file_has_no_facts_and_forgets_older_ones() -> None:
    before = after_success(row(), PUBLISHED, fence=7)
    made = after_success(before, Published(PUBLISHED.source, (), None, row().uploaded_at), fence=8)
    assert made.status is PreviewStatus.READY
    assert [getattr(made, name) for name in ("width", "height", "duration", "fps", "frame_count")] == [None] * 5
    assert made.files == (PUBLISHED.source,)


@pytest.mark.parametrize("code", FailureCode)
@pytest.mark.parametrize("before", [row(), FAILED, row(status=PreviewStatus.PROCESSING)], ids=lambda row: row.status)
def test_a_failure_says_what_is_true(before: PreviewRow, code: FailureCode) -> None:
    made = after_failed_job(before, AttemptFailedError(code, "why"), fence=7)
    missing = code is FailureCode.SOURCE_MISSING
    assert made.status is (PreviewStatus.MISSING if missing else PreviewStatus.BROKEN)
    assert (made.version, made.fence) == (before.version + 1, 7)
    assert (made.failure_code, made.failure_message) == (code.value, "why")
    assert made.files == before.files, "what was published before stays named"


@pytest.mark.parametrize(
    ("playable", "code", "status"),
    [
        (True, FailureCode.CORRUPT, PreviewStatus.READY),
        (True, FailureCode.SOURCE_MISSING, PreviewStatus.READY),
        (False, FailureCode.CORRUPT, PreviewStatus.BROKEN),
        (False, FailureCode.SOURCE_MISSING, PreviewStatus.MISSING),
    ],
)
def test_keep_playable_leaves_a_preview_ready_while_its_outputs_exist(
    playable: bool, code: FailureCode, status: PreviewStatus
) -> None:
    failure = NormalizeFailedError(AttemptFailedError(code, "why"), uploaded_at=row().uploaded_at, playable=playable)
    made = after_failed_job(row(), failure, fence=7)
    assert (made.status, made.failure_code) == (status, code.value)


def test_what_is_said_to_the_artist_goes_on_the_row_and_off_with_the_next_failure() -> None:
    failure = AttemptFailedError(FailureCode.CORRUPT, "why", for_artist="Near frame 5.")
    told = after_failed_job(
        row(), NormalizeFailedError(failure, uploaded_at=row().uploaded_at, playable=False), fence=7
    )
    assert told.failure_for_artist == "Near frame 5."
    again = after_failed_job(told, AttemptFailedError(FailureCode.INTERNAL, "why"), fence=8)
    assert again.failure_for_artist is None


def test_a_message_fits_its_column() -> None:
    made = after_failed_job(row(), AttemptFailedError(FailureCode.CORRUPT, "a\0b" * 2000), fence=7)
    assert made.failure_message is not None
    assert len(made.failure_message) == 2000
    assert "\0" not in made.failure_message

"""A batch is folded preview by preview, event by event, into one transition."""

from __future__ import annotations

from typing import Any

import pytest
from rushes_normalizer.folding import Folded, Lane
from rushes_normalizer.previews import PreviewRow
from rushes_runtime.envelopes import UnreadableError
from rushes_schemas import Encoding, Event, PreviewDeleted, PreviewStatus, PreviewUploaded, RenormalizeRequested

from tests.unit.normalizer.preview_rows import (
    NOW,
    PREVIEW_ID,
    UPLOADED_AT,
    deletion,
    kind,
    renormalization,
    row,
    stored,
    upload,
)


def _fold(held: PreviewRow | None, *events: Event) -> Folded:
    folded = Folded(held, held)
    for number, event in enumerate(events):
        match event:
            case PreviewUploaded():
                folded.uploaded(event, f"event-{number}", "/test", kind=kind, now=NOW)
            case RenormalizeRequested():
                folded.renormalized(event, f"event-{number}", "/test")
            case PreviewDeleted():
                folded.deleted(event, f"event-{number}", "/test")
    return folded


def _row(folded: Folded) -> PreviewRow:
    assert folded.row
    return folded.row


def _outcomes(folded: Folded) -> list[str | None]:
    return [request.outcome for request in folded.requests]


def test_a_new_upload_makes_a_row_in_processing() -> None:
    folded = _fold(None, upload(name="sh010", revision=2))
    made = _row(folded)
    assert (made.status, made.version, made.created_at) == (PreviewStatus.PROCESSING, 1, NOW)
    assert (made.name, made.revision, made.extension, made.upload_extension) == ("sh010", 2, "mp4", "mov")
    assert (made.source.bucket, made.source.key) == ("movies", f"source-{PREVIEW_ID}")
    assert folded.changed
    assert folded.lane is Lane.UPLOAD
    assert _outcomes(folded) == [None]


def test_a_source_of_its_own_is_kept() -> None:
    source = {"bucket": "movies", "key": "incoming/sh010", "bytes": 9, "etag": "one"}
    made = _row(_fold(None, upload(source=source)))
    assert (made.source.key, made.file_size) == ("incoming/sh010", 9)


def test_a_replacement_starts_over_and_keeps_what_it_does_not_say() -> None:
    held = row(
        name="sh010",
        revision=2,
        failure_code="corrupt",
        failure_message="cut off",
        status=PreviewStatus.BROKEN,
        files=(stored("low_definition"),),
    )
    made = _row(_fold(held, upload(1, revision=3)))
    assert (made.status, made.version) == (PreviewStatus.PROCESSING, held.version + 1)
    assert (made.failure_code, made.failure_message) == (None, None)
    assert (made.name, made.revision, made.files) == ("sh010", 3, held.files)
    assert made.created_at == held.created_at


def test_two_uploads_in_one_batch_make_one_transition() -> None:
    folded = _fold(row(), upload(1), upload(2, name="second"))
    assert _row(folded).version == row().version + 1
    assert _row(folded).name == "second"
    assert _outcomes(folded) == [None, None]
    assert _row(_fold(None, upload(), upload(1))).version == 1


@pytest.mark.parametrize("status", [PreviewStatus.BROKEN, PreviewStatus.MISSING])
def test_a_repeated_upload_of_a_failed_preview_asks_for_another_try(status: PreviewStatus) -> None:
    folded = _fold(row(status=status, encoding=Encoding(fps="24/1")), upload())
    assert folded.lane is Lane.UPLOAD
    assert folded.encoding == Encoding(fps="24/1")
    assert not folded.changed
    assert _outcomes(folded) == [None]


@pytest.mark.parametrize("status", [PreviewStatus.READY, PreviewStatus.PROCESSING])
def test_a_repeated_upload_of_any_other_preview_changes_nothing(status: PreviewStatus) -> None:
    folded = _fold(row(status=status), upload())
    assert (folded.changed, folded.lane, _outcomes(folded)) == (False, None, ["repeated"])


def test_a_stale_upload_changes_nothing() -> None:
    folded = _fold(row(), upload(-1))
    assert (folded.changed, folded.lane, _outcomes(folded)) == (False, None, ["stale"])


@pytest.mark.parametrize(
    ("fields", "lane"),
    [({}, Lane.SINGLE), ({"priority": "single"}, Lane.SINGLE), ({"priority": "bulk"}, Lane.BULK)],
)
def test_a_renormalization_waits_under_the_last_outcome(fields: dict[str, Any], lane: Lane) -> None:
    folded = _fold(row(), renormalization(**fields))
    assert (folded.changed, folded.lane) == (False, lane)
    (request,) = folded.requests
    assert (request.kind, request.reason, request.requested_by, request.outcome) == (
        "renormalize",
        "again",
        "ada",
        None,
    )


@pytest.mark.parametrize(
    ("wish", "encoding"), [(None, Encoding(fps="24/1")), ({"fps": 30}, Encoding(fps="30/1"))], ids=["none", "own"]
)
def test_a_renormalization_without_wishes_follows_those_of_the_upload(
    wish: dict[str, Any] | None, encoding: Encoding
) -> None:
    assert _fold(row(encoding=Encoding(fps="24/1")), renormalization(encoding=wish)).encoding == encoding


@pytest.mark.parametrize(
    ("events", "lane"),
    [
        ([renormalization(priority="bulk"), renormalization()], Lane.SINGLE),
        ([renormalization(), renormalization(priority="bulk")], Lane.SINGLE),
        ([renormalization(priority="bulk"), upload(1)], Lane.UPLOAD),
        ([upload(1), renormalization(priority="bulk")], Lane.UPLOAD),
    ],
)
def test_the_most_urgent_lane_of_a_batch_counts(events: list[Event], lane: Lane) -> None:
    folded = _fold(row(), *events)
    assert folded.lane is lane
    assert _outcomes(folded) == [None, None]


@pytest.mark.parametrize(
    ("held", "reason"), [(None, "unknown_preview"), (row(deleted_at=UPLOADED_AT), "deleted_preview")]
)
def test_a_renormalization_of_nothing_is_refused(held: PreviewRow | None, reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        _fold(held, renormalization())
    assert refused.value.reason == reason


def test_a_renormalization_after_an_upload_of_the_same_batch_joins_it() -> None:
    folded = _fold(None, upload(), renormalization())
    assert (folded.lane, _row(folded).version) == (Lane.UPLOAD, 1)


def test_a_deletion_is_one_transition_that_keeps_the_row() -> None:
    held = row(files=(stored("low_definition"),))
    folded = _fold(held, deletion())
    made = _row(folded)
    assert (made.version, made.status, made.files) == (held.version + 1, held.status, held.files)
    assert made.deleted_at == deletion().deleted_at
    assert (folded.lane, _outcomes(folded)) == (None, ["deleted"])


def test_a_deletion_after_an_upload_of_the_same_batch_leaves_no_work() -> None:
    folded = _fold(None, upload(), deletion())
    assert (folded.lane, _outcomes(folded)) == (None, ["deleted", "deleted"])
    assert (_row(folded).version, _row(folded).deleted_at) == (1, deletion().deleted_at)
    assert _row(_fold(row(), upload(1), deletion())).version == row().version + 1


def test_a_repeated_deletion_changes_nothing() -> None:
    folded = _fold(row(deleted_at=UPLOADED_AT), deletion())
    assert (folded.changed, _outcomes(folded)) == (False, ["repeated"])


def test_an_unknown_preview_cannot_be_deleted() -> None:
    with pytest.raises(UnreadableError) as refused:
        _fold(None, deletion())
    assert refused.value.reason == "unknown_preview"


def test_an_upload_after_its_deletion_brings_a_preview_back() -> None:
    folded = _fold(row(), deletion(60), upload(61))
    made = _row(folded)
    assert (made.deleted_at, made.status, made.version) == (None, PreviewStatus.PROCESSING, row().version + 1)
    assert folded.lane is Lane.UPLOAD
    assert _outcomes(folded) == ["deleted", None]


def test_a_late_upload_does_not_bring_a_deleted_preview_back() -> None:
    folded = _fold(row(), deletion(60), upload(59))
    assert (_row(folded).deleted_at is None, folded.lane, _outcomes(folded)) == (False, None, ["deleted", "stale"])

"""With EXPOSE_MISSING off nothing that an API consumer can see says `missing`."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from rushes_normalizer.previews import PreviewRow
from rushes_normalizer.transitions import status_changed
from rushes_schemas import FailureCode, Preview, PreviewStatus, Source, StatusChanged, exposed_status, statuses_behind

from tests.said import where_missing_is_said

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATUSES = st.sampled_from(PreviewStatus)
PREVIEWS = st.builds(
    Preview,
    id=st.uuids(),
    status=STATUSES.map(str),
    revision=st.none() | st.integers(0, 9),
    created_at=st.none() | st.datetimes(),
)
ROWS = st.builds(
    PreviewRow,
    id=st.uuids(),
    status=STATUSES,
    version=st.integers(1, 9),
    uploaded_at=st.just(NOW),
    upload_extension=st.just("mp4"),
    source=st.just(Source(bucket="movies", key="source-1")),
    created_at=st.just(NOW),
    # Its code may be `source_missing`: a reason, which is no status.
    failure_code=st.none() | st.sampled_from(FailureCode).map(str),
    deleted_at=st.none() | st.just(NOW),
)


@given(preview=PREVIEWS)
def test_no_shape_says_missing(preview: Preview) -> None:
    for shape in (preview.serialize(), preview.present(), preview.present_minimal()):
        assert not where_missing_is_said(shape)
        assert shape["status"] == exposed_status(preview.status, expose_missing=False)


@given(rows=st.lists(PREVIEWS, max_size=8), asked=st.sets(STATUSES))
def test_the_answer_to_a_filter_is_all_rows_that_look_as_asked_for(
    rows: list[Preview], asked: set[PreviewStatus]
) -> None:
    found = statuses_behind(asked, expose_missing=False)
    answer = [row.present() for row in rows if row.status in found]
    assert not where_missing_is_said(answer)
    assert answer == [shape for shape in (row.present() for row in rows) if shape["status"] in asked]


@given(before=st.none() | ROWS, row=ROWS)
def test_no_public_field_of_an_event_says_missing(before: PreviewRow | None, row: PreviewRow) -> None:
    event = status_changed(before, row, job_state="failed", expose_missing=False, now=NOW)
    told = where_missing_is_said(event.model_dump(mode="json"))
    assert told <= {".internal_status", ".internal_previous_status"}
    assert (".internal_status" in told) == (row.status is PreviewStatus.MISSING), "Rushes' own services are told"


@given(before=st.none() | ROWS, row=ROWS, sent_with=st.booleans(), shown_with=st.booleans())
def test_a_stream_follows_the_switch_as_it_is_now(
    before: PreviewRow | None, row: PreviewRow, sent_with: bool, shown_with: bool
) -> None:
    sent = status_changed(before, row, job_state=None, expose_missing=sent_with, now=NOW)
    shown = StatusChanged.model_validate_json(sent.model_dump_json()).exposed(expose_missing=shown_with)
    assert not {"internal_status", "internal_previous_status", "upload"} & set(shown)
    assert shown["status"] == exposed_status(row.status, expose_missing=shown_with)
    assert shown["previous_status"] == (before and exposed_status(before.status, expose_missing=shown_with))
    if not shown_with:
        assert not where_missing_is_said(shown)

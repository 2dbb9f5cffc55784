"""Of a batch, only the newest record of each preview counts."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from rushes_schemas import StatusChanged
from rushes_syncer.sites import newest, parse_subject, subject_of


def _record(preview_file_id: UUID, version: int) -> StatusChanged:
    return StatusChanged(
        preview_file_id=preview_file_id,
        id=preview_file_id,
        version=version,
        fence=0,
        status="ready",
        internal_status="ready",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@given(st.lists(st.integers(0, 20), min_size=1))
def test_the_highest_version_wins_in_any_order(versions: list[int]) -> None:
    one = uuid4()
    assert newest(_record(one, version) for version in versions)[one].version == max(versions)


def test_previews_do_not_hide_each_other() -> None:
    one, two = uuid4(), uuid4()
    latest = newest([_record(one, 5), _record(two, 1), _record(one, 4)])
    assert {each: record.version for each, record in latest.items()} == {one: 5, two: 1}


@given(site=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True), preview_file_id=st.uuids())
def test_a_subject_names_site_and_preview(site: str, preview_file_id: UUID) -> None:
    assert parse_subject(subject_of(site, preview_file_id)) == (site, preview_file_id)

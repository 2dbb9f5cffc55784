"""The one mapping of statuses for API consumers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rushes_schemas import (
    NEEDS_ATTENTION,
    PreviewStatus,
    exposed_status,
    statuses_behind,
)

STATUSES = st.sampled_from(list(PreviewStatus))


@pytest.mark.parametrize("status", ["processing", "ready", "broken"])
@pytest.mark.parametrize("expose_missing", [True, False])
def test_other_statuses_are_shown_as_they_are(status: str, expose_missing: bool) -> None:
    assert exposed_status(status, expose_missing=expose_missing) == status


@pytest.mark.parametrize(("expose_missing", "shown"), [(False, "broken"), (True, "missing")])
def test_missing_is_shown_only_with_the_switch_on(expose_missing: bool, shown: str) -> None:
    assert exposed_status("missing", expose_missing=expose_missing) == shown


def test_a_status_of_a_later_version_passes_unchanged() -> None:
    assert exposed_status("archived", expose_missing=False) == "archived"


@pytest.mark.parametrize(
    ("asked", "expose_missing", "meant"),
    [
        ("broken", False, {"broken", "missing"}),
        ("missing", False, set()),
        ("ready", False, {"ready"}),
        ("processing", False, {"processing"}),
        ("broken", True, {"broken"}),
        ("missing", True, {"missing"}),
        ("archived", False, {"archived"}),
        (["broken", "ready"], False, {"broken", "missing", "ready"}),
        (["missing", "ready"], False, {"ready"}),
        (["broken", "missing"], True, {"broken", "missing"}),
        ([], False, set()),
    ],
)
def test_a_filter_finds_what_it_would_be_shown(asked: str | list[str], expose_missing: bool, meant: set[str]) -> None:
    assert statuses_behind(asked, expose_missing=expose_missing) == meant


@given(status=STATUSES, expose_missing=st.booleans())
def test_every_status_is_found_by_the_filter_for_what_is_shown_of_it(
    status: PreviewStatus, expose_missing: bool
) -> None:
    shown = exposed_status(status, expose_missing=expose_missing)
    assert status.value in statuses_behind(shown, expose_missing=expose_missing)


def test_needs_attention_names_every_status_that_is_not_ready() -> None:
    assert set(PreviewStatus) - {PreviewStatus.READY} == NEEDS_ATTENTION

"""What counts as a flood of absences."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rushes_normalizer.absences import FloodLimits, Looks, is_flood

LIMITS = FloodLimits(number=100, share=0.5, window=3600.0)


@pytest.mark.parametrize(
    ("absent", "present", "flood"),
    [
        (0, 0, False),
        (100, 0, False),  # a deleted project
        (101, 0, True),
        (101, 100, True),
        (101, 101, False),  # half of them is no flood
        (5000, 5001, False),
        (5000, 4999, True),
    ],
)
def test_a_flood_is_more_than_a_number_and_more_than_a_share(absent: int, present: int, flood: bool) -> None:
    assert is_flood(Looks(absent, 0, present, None), LIMITS) is flood


def test_what_an_operator_accepts_is_no_flood() -> None:
    assert not is_flood(Looks(5000, 5000, 0, datetime(2026, 1, 1, tzinfo=UTC)), LIMITS)

"""What people write on a command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from rushes_syncer.quantities import parse_bytes, parse_moment

NOW = datetime(2026, 11, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("500k", 500 << 10), ("50M", 50 << 20), ("1G", 1 << 30), ("1.5G", 3 << 29), ("2MiB", 2 << 20)],
)
def test_bytes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "M", "fast", "1 G", "1e9", "0.0001"])
def test_what_is_no_number_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no number of bytes"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("36h", NOW - timedelta(hours=36)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:30", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01T12:30+01:00", datetime(2026, 11, 1, 12, 30, tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "7", "2026-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no moment"):
        parse_moment(text, NOW)

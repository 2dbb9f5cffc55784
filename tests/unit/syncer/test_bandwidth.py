"""One limit for all copies of a process."""

from __future__ import annotations

from rushes_syncer.bandwidth import Bandwidth


def test_copies_that_move_bytes_together_share_the_limit() -> None:
    bandwidth = Bandwidth(1000)
    start = bandwidth.owed(0, 10**9) + 10**9
    assert [bandwidth.owed(500, start), bandwidth.owed(500, start)] == [0.5, 1.0]
    assert bandwidth.owed(500, start + 1.0) == 0.5


def test_time_in_which_nothing_moved_is_not_saved_up() -> None:
    bandwidth = Bandwidth(1000)
    bandwidth.owed(1000, 10**9)
    assert bandwidth.owed(1000, 10**9 + 3600) == 1.0


def test_without_a_limit_nobody_waits() -> None:
    assert Bandwidth(None).owed(10**12, 0.0) == 0.0

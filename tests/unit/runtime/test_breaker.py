"""When a store counts as down, and when it is looked at again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rushes_runtime.breaker import Breaker, BreakerPolicy

POLICY = BreakerPolicy(failures=3, window=60, first_wait=5, longest_wait=30)


def _open_at(now: float) -> Breaker:
    breaker = Breaker(POLICY)
    for _ in range(3):
        breaker.not_shown(now, 0.0)
    assert breaker.is_open
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(POLICY)
    opened = []
    for now in range(3):
        breaker.not_shown(now, 0.0)
        opened.append(breaker.is_open)
    assert opened == [False, False, True]


def test_a_store_that_showed_itself_between_breaks_the_row() -> None:
    breaker = Breaker(POLICY)
    for now in range(10):
        breaker.not_shown(now, 0.0)
        breaker.not_shown(now, 0.0)
        breaker.shown()
    assert not breaker.is_open


def test_failures_far_apart_do_not_open_it() -> None:
    breaker = Breaker(POLICY)
    for now in range(0, 1000, 30):
        breaker.not_shown(now, 0.0)
    assert not breaker.is_open


def test_the_wait_for_a_probe_doubles_to_its_longest_and_starts_anew_after_the_store_was_back() -> None:
    breaker = _open_at(0.0)
    waits, now = [], 0.0
    for _ in range(5):
        waits.append(breaker.probe_in(now))
        now += waits[-1]
        breaker.not_shown(now, 0.0)
    assert waits == [5, 10, 20, 30, 30]
    breaker.shown()
    assert not breaker.is_open
    for _ in range(3):
        breaker.not_shown(now, 0.0)
    assert breaker.probe_in(now) == 5


def test_a_probe_is_due_once_its_time_has_come() -> None:
    breaker = _open_at(100.0)
    assert [breaker.probe_in(now) for now in (100.0, 104.0, 105.0, 200.0)] == [5, 1, 0, 0]


def test_a_store_that_is_down_from_the_start_opens_it_at_once() -> None:
    breaker = Breaker(POLICY)
    breaker.trip(0.0, 0.0)
    assert breaker.is_open
    assert breaker.probe_in(0.0) == 5


@given(jitters=st.lists(st.floats(0, 1), min_size=3, max_size=40))
def test_jitter_shortens_a_wait_by_a_half_at_most(jitters: list[float]) -> None:
    breaker = Breaker(POLICY)
    for jitter in jitters:
        breaker.not_shown(0.0, jitter)
    longest = min(5 * 2 ** (len(jitters) - 3), 30)
    assert longest / 2 <= breaker.probe_in(0.0) <= longest

"""How many requests a caller may make."""

from __future__ import annotations

from rushes_normalizer.api.rate_limit import RateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_answered_and_then_a_steady_rate() -> None:
    clock = Clock()
    limit = RateLimit(per_minute=30, burst=3, clock=clock)
    assert [limit.take("wall") for _ in range(4)] == [0, 0, 0, 2]
    assert limit.take("other") == 0, "each has a bucket of their own"
    clock.now += 1
    assert limit.take("wall") == 1, "half a request has come back"
    clock.now += 1
    assert [limit.take("wall") for _ in range(2)] == [0, 2]
    clock.now += 3600
    assert [limit.take("wall") for _ in range(4)] == [0, 0, 0, 2], "a bucket holds no more than a burst"


def test_who_comes_again_when_told_is_answered() -> None:
    clock = Clock()
    limit = RateLimit(per_minute=7, burst=1, clock=clock)
    assert limit.take("wall") == 0
    for _ in range(50):
        clock.now += limit.take("wall")
        assert limit.take("wall") == 0


def test_buckets_of_those_who_have_not_asked_for_longest_are_forgotten_first() -> None:
    clock = Clock()
    limit = RateLimit(per_minute=1, burst=1, clock=clock)
    limit.take("wall")
    for number in range(9_999):
        limit.take(f"person {number}")
        if number % 1000 == 0:
            assert limit.take("wall") > 0
    assert limit.take("one more") == 0
    assert limit.take("wall") > 0, "it asked just now"

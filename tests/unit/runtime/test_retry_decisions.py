"""What becomes of a job whose attempt failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rushes_runtime.failures import CountsAs, End, RetryPolicy, TryAgain, after_failure
from rushes_schemas import FailureCode, is_transient

POLICY = RetryPolicy(
    limit=4,
    age=timedelta(hours=1),
    first_wait=timedelta(seconds=5),
    longest_wait=timedelta(seconds=60),
    confirm_absence_after=timedelta(seconds=30),
)
REQUESTED = datetime(2026, 1, 1, tzinfo=UTC)
PERMANENT = [code for code in FailureCode if not is_transient(code) and code is not FailureCode.SOURCE_MISSING]
TRANSIENT = [code for code in FailureCode if is_transient(code)]


def _after(
    code: FailureCode,
    *,
    tries: int = 0,
    looks: int = 0,
    age: timedelta = timedelta(0),
    jitter: float | None = 0.0,
    store_back_in: timedelta | None = None,
) -> TryAgain | End:
    return after_failure(
        code,
        tries=tries,
        looks=looks,
        requested_at=REQUESTED,
        now=REQUESTED + age,
        policy=POLICY,
        store_back_in=store_back_in,
        jitter=jitter,
    )


@pytest.mark.parametrize("code", PERMANENT)
def test_a_permanent_failure_ends_the_job_at_once(code: FailureCode) -> None:
    assert _after(code) == End()


@pytest.mark.parametrize("code", TRANSIENT)
def test_a_transient_failure_is_tried_again(code: FailureCode) -> None:
    assert _after(code) == TryAgain(timedelta(seconds=5))


@pytest.mark.parametrize(("tries", "seconds"), [(0, 5), (1, 10), (2, 20)])
def test_waits_double(tries: int, seconds: int) -> None:
    assert _after(FailureCode.STORAGE_UNAVAILABLE, tries=tries) == TryAgain(timedelta(seconds=seconds))


def test_waits_stop_growing() -> None:
    patient = RetryPolicy(1000, timedelta(days=365), POLICY.first_wait, POLICY.longest_wait, timedelta(0))
    decision = after_failure(
        FailureCode.INTERNAL, tries=900, looks=0, requested_at=REQUESTED, now=REQUESTED, policy=patient, jitter=0.0
    )
    assert decision == TryAgain(POLICY.longest_wait)


@pytest.mark.parametrize(("tries", "ends"), [(2, False), (3, True), (4, True)])
def test_the_last_of_the_allowed_attempts_ends_the_job(tries: int, ends: bool) -> None:
    assert isinstance(_after(FailureCode.OUT_OF_DISK, tries=tries), End) is ends


@pytest.mark.parametrize(("minutes", "ends"), [(59, False), (60, True), (61, True)])
def test_an_old_job_is_not_tried_again(minutes: int, ends: bool) -> None:
    assert isinstance(_after(FailureCode.WORKER_LOST, age=timedelta(minutes=minutes)), End) is ends


def test_an_absent_source_is_looked_for_again_after_a_pause() -> None:
    assert _after(FailureCode.SOURCE_MISSING) == TryAgain(timedelta(seconds=30), CountsAs.LOOK)


@pytest.mark.parametrize("looks", [1, 2])
def test_a_source_seen_absent_twice_is_missing(looks: int) -> None:
    assert _after(FailureCode.SOURCE_MISSING, looks=looks) == End()


def test_neither_tries_nor_age_shorten_the_proof_of_absence() -> None:
    decision = _after(FailureCode.SOURCE_MISSING, tries=99, age=timedelta(days=9))
    assert decision == TryAgain(timedelta(seconds=30), CountsAs.LOOK)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 5.0), (0.5, 3.75), (1.0, 2.5)])
def test_jitter_shortens_a_wait_by_a_half_at_most(jitter: float, seconds: float) -> None:
    assert _after(FailureCode.INTERNAL, jitter=jitter) == TryAgain(timedelta(seconds=seconds))


@pytest.mark.parametrize("code", [FailureCode.STORAGE_UNAVAILABLE, FailureCode.STORAGE_DENIED])
def test_a_store_that_is_down_costs_a_job_nothing_however_old_it_is(code: FailureCode) -> None:
    decision = _after(code, tries=3, age=timedelta(days=9), store_back_in=timedelta(seconds=40))
    assert decision == TryAgain(timedelta(seconds=45), CountsAs.NOTHING)


@given(code=st.sampled_from(FailureCode), tries=st.integers(0, 2), looks=st.integers(0, 3))
def test_every_wait_is_positive_and_bounded(code: FailureCode, tries: int, looks: int) -> None:
    decision = _after(code, tries=tries, looks=looks, jitter=None)
    if isinstance(decision, TryAgain):
        assert timedelta(0) < decision.wait <= POLICY.longest_wait

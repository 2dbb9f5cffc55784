"""What becomes of the jobs of a batch, by what the look showed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from rushes_normalizer.looking import Look, sort_out
from rushes_normalizer.previews import Sought
from rushes_runtime.failures import RetryPolicy
from rushes_runtime.ledger import Task
from rushes_schemas import FailureCode, PreviewStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetryPolicy(
    limit=3,
    age=timedelta(days=1),
    first_wait=timedelta(seconds=5),
    longest_wait=timedelta(minutes=15),
    confirm_absence_after=timedelta(seconds=60),
)
SOUGHT = Sought(("movies", "source-1"), NOW, PreviewStatus.READY)


def job(looks: int = 0) -> Task:
    """A job of a batch."""
    return Task(uuid4(), str(UUID(int=1)), "bulk", {}, 7, 0, looks, 0, NOW, True)


def test_a_source_that_is_absent_for_the_first_time_is_looked_for_again_after_the_pause() -> None:
    result = sort_out([Look(job(), SOUGHT, absent=True)], store="S3", policy=POLICY, now=NOW)
    (back,) = result.absent_once
    assert (back.batched, back.looks, back.wait) == (True, 1, timedelta(seconds=60))
    assert (back.code, back.message) == (FailureCode.SOURCE_MISSING, "S3 has no movies/source-1")
    assert (result.missing, result.to_slots) == ([], [])


def test_a_source_that_is_absent_again_is_missing_of_the_upload_that_was_looked_for() -> None:
    result = sort_out([Look(job(looks=1), SOUGHT, absent=True)], store="S3", policy=POLICY, now=NOW)
    ((_, failure),) = result.missing
    assert (failure.code, failure.uploaded_at, failure.playable) == (FailureCode.SOURCE_MISSING, NOW, False)
    assert (result.absent_once, result.to_slots) == ([], [])


def test_all_else_goes_to_a_slot_as_if_nothing_had_happened() -> None:
    there, deleted = Look(job(looks=1), SOUGHT, absent=False), Look(job(), None, absent=False)
    result = sort_out([there, deleted], store="S3", policy=POLICY, now=NOW)
    assert [back.task for back in result.to_slots] == [there.task, deleted.task]
    assert {(back.batched, back.looks, back.wait, back.code) for back in result.to_slots} == {
        (False, 0, timedelta(0), None)
    }
    assert (result.missing, result.absent_once) == ([], [])

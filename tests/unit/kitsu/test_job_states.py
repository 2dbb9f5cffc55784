"""What Zou is told of a job: by its id, by the state of its preview, by its logs."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from rushes_kitsu.announced import Announced
from rushes_kitsu.dispatches import Dispatched, JobState
from rushes_kitsu.job_ids import JobId
from rushes_kitsu.nomad_answers import allocations_answer, failure_sentence, log_answer, summary_answer
from rushes_kitsu.outcomes import upload_end
from rushes_kitsu.reconciling import Step, ZouState, fields_of, step_for
from rushes_schemas import StatusChanged

from tests.unit.schemas.event_samples import PAYLOADS

UPLOADED = "2026-01-02T03:04:05.678901Z"
JOB = JobId("studio.rushes.job", uuid4(), uuid4())


def status_changed(**changed: Any) -> StatusChanged:
    sample = PAYLOADS["status-changed"]
    upload = {
        "extension": "mp4",
        "uploaded_at": UPLOADED,
        "source": {"bucket": "movies", "key": f"source-{sample['preview_file_id']}"},
    }
    return StatusChanged.model_validate({**sample, "upload": upload, "deleted": False, "error": None, **changed})


def test_an_id_says_which_job_it_is() -> None:
    assert JobId.parse(str(JOB)) == JOB


@pytest.mark.parametrize(
    "text",
    ["", "zou-playlist/dispatch-1-2", f"job.rushes.{uuid4()}", f"a/b.rushes.{uuid4()}.{uuid4()}", f"{JOB}x"],
    ids=["nothing", "of Zou", "one id", "a path", "one letter more"],
)
def test_an_id_of_somebody_else_is_no_job_of_ours(text: str) -> None:
    assert JobId.parse(text) is None


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"internal_status": "ready", "status": "ready"}, None),
        ({"internal_status": "broken", "error": {"code": "corrupt", "message": "m", "retryable": False}}, "corrupt"),
        ({"internal_status": "missing", "status": "broken"}, "missing"),
        ({"internal_status": "processing", "deleted": True}, "deleted"),
        # After a restore or a republication no job stands beside the state.
        ({"internal_status": "ready", "job": None}, None),
    ],
)
def test_a_state_that_is_an_end_ends_the_upload(changed: dict[str, Any], code: str | None) -> None:
    end = upload_end(status_changed(**changed))
    assert end
    assert end.failure_code == code
    assert end.uploaded_at == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.mark.parametrize(
    "changed",
    [{"internal_status": "processing"}, {"internal_status": "ready", "upload": None}, {"internal_status": "?"}],
)
def test_a_state_that_is_no_end_ends_nothing(changed: dict[str, Any]) -> None:
    assert upload_end(status_changed(**changed)) is None


@pytest.mark.parametrize("state", JobState)
def test_a_summary_counts_one_task_in_the_one_group_that_zou_reads(state: JobState) -> None:
    (counts,) = summary_answer(JOB, state)["Summary"].values()
    assert {name for name, number in counts.items() if number} == {state.value.capitalize()}


def test_the_reason_is_in_the_logs_of_the_allocation_under_the_name_that_zou_asks_for() -> None:
    failed = Dispatched(JobState.FAILED, "corrupt", "moov atom not found", datetime.now(UTC))
    (allocation,) = allocations_answer(JOB, failed)
    assert allocation["TaskStates"][JOB.job]["StartedAt"]
    read = base64.b64decode(log_answer(failure_sentence(JOB, failed))["Data"]).decode()
    assert "corrupt: moov atom not found" in read
    assert "cannot be decoded to its end" in read
    assert str(JOB.preview_file_id) in read


def test_a_reason_of_a_later_version_is_told_as_it_came() -> None:
    assert "gone_fishing: m" in failure_sentence(JOB, Dispatched(JobState.FAILED, "gone_fishing", "m"))


NOW = datetime.now(UTC)
MADE: dict[str, Any] = {"width": 1920, "height": 1080, "duration": 2.0, "file_size": 1234}


def said(status: str = "ready", *, minutes: int = 1) -> Announced:
    """What Rushes said some minutes ago."""
    facts: dict[str, Any] = MADE if status == "ready" else {}
    return Announced(
        JOB.preview_file_id, 3, status, NOW - timedelta(hours=9), NOW - timedelta(minutes=minutes), **facts
    )


def step(zou: ZouState | None, rushes: Announced, *, expose_missing: bool = False) -> Step:
    return step_for(zou, rushes, now=NOW, patience=timedelta(hours=1), expose_missing=expose_missing)


@pytest.mark.parametrize(
    ("zou", "rushes", "expected"),
    [
        (ZouState("ready", **MADE), said(), Step.AGREES),
        (ZouState("ready", **{**MADE, "duration": 2.04}), said(), Step.AGREES),
        (ZouState("ready", **{**MADE, "file_size": 99}), said(), Step.CORRECT),
        (ZouState("ready", **{**MADE, "width": 0}), said(), Step.CORRECT),
        (ZouState("broken", **MADE), said(), Step.CORRECT),
        (ZouState("ready", **MADE), said("broken"), Step.CORRECT),
        (ZouState("broken"), said("missing"), Step.AGREES),
        (ZouState("processing"), said(minutes=59), Step.LATER),
        (ZouState("processing"), said(minutes=61), Step.CORRECT),
        # Something happened at Zou since: whoever did it may still be at work.
        (ZouState("processing", NOW - timedelta(minutes=5)), said(minutes=61), Step.LATER),
        (None, said(), Step.GONE),
    ],
)
def test_zou_is_set_right_unless_it_agrees_or_is_about_to(
    zou: ZouState | None, rushes: Announced, expected: Step
) -> None:
    assert step(zou, rushes) is expected


def test_zou_hears_of_missing_only_where_it_is_shown() -> None:
    assert fields_of(said("missing"), expose_missing=False) == {"status": "broken"}
    assert fields_of(said("missing"), expose_missing=True) == {"status": "missing"}
    assert step(ZouState("broken"), said("missing"), expose_missing=True) is Step.CORRECT

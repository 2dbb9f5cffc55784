"""The answers of Nomad's HTTP API that Zou reads, as JSON values; facts: docs/kitsu.md."""

from __future__ import annotations

import base64
from typing import Any

from rushes_schemas import FAILURES, FailureCode

from rushes_kitsu.dispatches import Dispatched, JobState, Kind
from rushes_kitsu.job_ids import JobId


def dispatch_answer(job: JobId) -> dict[str, Any]:
    """The answer to a dispatch: the id to ask for."""
    return {"DispatchedJobID": str(job), "EvalID": "", "Index": 1, "JobCreateIndex": 1, "EvalCreateIndex": 0}


def summary_answer(job: JobId, state: JobState) -> dict[str, Any]:
    """The answer to a poll: one task group, with one task in one state."""
    counts = {
        "Complete": int(state is JobState.COMPLETE),
        "Failed": int(state is JobState.FAILED),
        "Running": int(state is JobState.RUNNING),
        "Lost": 0,
        "Queued": 0,
        "Starting": 0,
        "Unknown": 0,
    }
    return {"JobID": str(job), "Summary": {job.job: counts}, "CreateIndex": 1, "ModifyIndex": 1}


def allocations_answer(job: JobId, dispatched: Dispatched) -> list[dict[str, Any]]:
    """The only allocation. It has always started: only of such does Zou read the logs."""
    task: dict[str, Any] = {
        "State": "running" if dispatched.state is JobState.RUNNING else "dead",
        "Failed": dispatched.state is JobState.FAILED,
        "StartedAt": dispatched.started_at.isoformat() if dispatched.started_at else "1970-01-01T00:00:00Z",
        "Events": [],
    }
    return [{"ID": str(job), "JobID": str(job), "CreateIndex": 1, "TaskStates": {job.job: task}}]


def failure_sentence(job: JobId, dispatched: Dispatched) -> str:
    """Why a job has failed, for whoever reads Zou's log."""
    if dispatched.state is not JobState.FAILED:
        return ""
    code = dispatched.failure_code or FailureCode.INTERNAL.value
    facts = FAILURES.get(FailureCode(code)) if code in set(FailureCode) else None
    parts = [f"{code}: {dispatched.failure_message}".rstrip(": "), facts.for_operator if facts else ""]
    if dispatched.kind is Kind.MOVIE:
        parts.append(f"More: rushes-normalizer history {job.preview_file_id}")
    return "\n".join(part for part in parts if part)


def log_answer(sentence: str) -> dict[str, Any]:
    """A frame of a log stream."""
    return {"File": "stderr.0", "Offset": 0, "Data": base64.b64encode(sentence.encode()).decode()}

"""The bridge's metrics, each declared once."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

OPERATIONS: Final = ("dispatch", "summary", "allocations", "logs", "other")
# How a dispatch ends that leaves a movie `broken` in Zou: an alert counts them, from the first on.
_LEFT_BROKEN: Final = ("failed", "refused", "unknown")

CALLS = Counter(
    "rushes_kitsu_calls_total",
    "Calls of Zou, by outcome: `answered`, `refused`, `unknown`, `passed_on`, `failed`, or `blind` (answered "
    "without the database).",
    ["operation", "outcome"],
)
CALL_SECONDS = Histogram(
    "rushes_kitsu_call_seconds",
    "Time to answer a call of Zou, which waits 5 s at most.",
    ["operation"],
    unit="seconds",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
JOBS = Counter("rushes_kitsu_jobs_total", "Dispatched jobs that have ended, `complete` or `failed`.", ["outcome"])
WAITED = Histogram(
    "rushes_kitsu_job_seconds",
    "Time from a dispatch until its end was known here; Zou waits an hour at most, unless it is told otherwise.",
    unit="seconds",
    buckets=(5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200),
)
OPEN = Gauge("rushes_kitsu_jobs_open", "Dispatched jobs that have not ended. Sampled.")
OLDEST = Gauge(
    "rushes_kitsu_oldest_job_seconds",
    "Age of the oldest dispatched job that has not ended. Sampled.",
    unit="seconds",
)
RECONCILED = Counter(
    "rushes_kitsu_reconciled_total",
    "Previews that Zou was asked about: it `agrees` with Rushes, it did not and was set right (`correct`), it still "
    "works on the preview (`later`), or has it no more (`gone`).",
    ["outcome"],
)
ZOU_ANSWERED = Gauge(
    "rushes_kitsu_zou_answer_timestamp_seconds",
    "When Zou's API last answered `rushes-kitsu follow` as it should; at first, when that started.",
    unit="seconds",
)
UNSETTLED = Gauge(
    "rushes_kitsu_unsettled_previews",
    "Previews of which Zou was not seen to say what Rushes said last. Of `rushes-kitsu follow`.",
)
OLDEST_UNSETTLED = Gauge(
    "rushes_kitsu_oldest_unsettled_seconds",
    "Time since Rushes said so of the oldest of them.",
    unit="seconds",
)


REGISTERED = Counter(
    "rushes_kitsu_registered_total",
    "Previews that Zou handled itself and that Rushes was told of by `rushes-kitsu follow`: `uploaded` or `deleted`.",
    ["outcome"],
)


def begin_at_zero() -> None:
    """Show what an alert counts before it happens: the first of a kind is seen as one more only then."""
    for outcome in _LEFT_BROKEN:
        CALLS.labels("dispatch", outcome)
    for outcome in ("complete", "failed"):
        JOBS.labels(outcome)

"""The runtime's metrics, each declared once. Seconds and bytes; no label holds an id.

What only the database knows is sampled by one process of a service (figures.py): its readers take the `max`.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# Else each counter and histogram has a second series, which no rule and no panel reads.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client has no types for it

DURATIONS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

EVENTS = Counter(
    "rushes_events_total",
    "Events taken in, by topic and outcome: `new`, or `known` if they came again.",
    ["topic", "outcome"],
)
RECORD_DELAY = Histogram(
    "rushes_record_delay_seconds",
    "Age of a record when it was taken in.",
    ["topic"],
    unit="seconds",
    buckets=DURATIONS,
)
CONSUMER_LAG = Gauge(
    "rushes_consumer_lag_records",
    "Records that this process has yet to read of its partitions.",
    ["group", "topic"],
    unit="records",
)
DEAD_LETTERS = Counter(
    "rushes_dead_letters_total", "Records that could not be taken in, by reason (docs/events.md).", ["topic", "reason"]
)
LAST_POLL = Gauge(
    "rushes_last_poll_timestamp_seconds", "When the bus was last polled.", ["group", "topic"], unit="seconds"
)
PARTITIONS = Gauge("rushes_assigned_partitions", "Partitions that this process reads.", ["group"])
REBALANCES = Counter("rushes_rebalances_total", "Assignments of partitions to this process.", ["group"])
COMMIT_FAILURES = Counter("rushes_commit_failures_total", "Offset commits that failed.", ["group"])

DATABASE_ANSWERED = Gauge(
    "rushes_database_answer_timestamp_seconds",
    "When a transaction of this process last ended well; at first, when it started.",
    unit="seconds",
)
DATABASE_AWAY = Counter(
    "rushes_database_failures_total", "Transactions of this process that failed because the database was away."
)

OUTBOX_PENDING = Gauge("rushes_outbox_pending", "Records in the outbox that are not sent yet. Sampled.")
OUTBOX_OLDEST = Gauge(
    "rushes_outbox_oldest_seconds", "Age of the oldest record that is not sent yet. Sampled.", unit="seconds"
)
OUTBOX_SENT = Counter("rushes_outbox_sent_total", "Records sent by this process, by topic.", ["topic"])
TASKS = Gauge(
    "rushes_tasks",
    "Jobs that wait or run, by state, lane and queue: `ordinary` or `large`, for slots, and `batched`. Sampled.",
    ["state", "lane", "queue"],
)
OLDEST_QUEUED = Gauge(
    "rushes_oldest_queued_seconds",
    "How long the job has waited that could be claimed for the longest time. Sampled.",
    ["lane", "queue"],
    unit="seconds",
)
LEASE_OVERDUE = Gauge(
    "rushes_lease_overdue_seconds",
    "For how long the lease of a running job has been over, of the worst. Sampled.",
    unit="seconds",
)
SAMPLED = Gauge(
    "rushes_sampled_timestamp_seconds", "When the figures of the database were last sampled here.", unit="seconds"
)

JOBS = Counter(
    "rushes_jobs_total",
    "Jobs that ended, by kind, outcome and failure code. The normalizer's kinds are those of uploads, its outcomes "
    "statuses; the syncer's are `copy` and `prune`, its outcomes `done` and `failed`.",
    ["kind", "outcome", "code"],
)
QUEUE_WAIT = Histogram(
    "rushes_queue_wait_seconds",
    "How long a job that could be claimed by a slot waited for it.",
    ["lane"],
    unit="seconds",
    buckets=DURATIONS,
)
ATTEMPTS = Counter("rushes_attempts_total", "Attempts at jobs, by outcome and failure code.", ["outcome", "code"])
ATTEMPT_SECONDS = Histogram(
    "rushes_attempt_seconds", "Duration of attempts in slots.", ["outcome"], unit="seconds", buckets=DURATIONS
)
STAGE_SECONDS = Histogram(
    "rushes_stage_seconds", "Duration of an attempt's stages.", ["stage"], unit="seconds", buckets=DURATIONS
)
SLOTS = Gauge("rushes_slots", "Jobs that this process can run at once.")
BUSY_SLOTS = Gauge("rushes_busy_slots", "Jobs that this process runs now.")
DRAINING = Gauge("rushes_draining", "1 while this process shuts down.")
DRAIN_SECONDS = Gauge("rushes_drain_seconds", "For how long this process has been shutting down, or 0.", unit="seconds")
SCRATCH_FREE = Gauge("rushes_scratch_free_bytes", "Free room in the scratch folder.", unit="bytes")

STORE_OPERATIONS = Counter(
    "rushes_store_operations_total", "Calls of S3 stores, by operation and outcome.", ["operation", "outcome"]
)
STORE_CIRCUIT_OPEN = Gauge(
    "rushes_store_circuit_open", "1 while this process begins no job that needs the store, for it is down.", ["store"]
)
STORE_PROBES = Counter(
    "rushes_store_probes_total", "Probes of stores that were down, by outcome.", ["store", "outcome"]
)

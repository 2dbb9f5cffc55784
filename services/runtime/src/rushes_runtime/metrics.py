"""The runtime's metrics, each declared once. Seconds and bytes; no label holds an id."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

DURATIONS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

EVENTS = Counter("rushes_events_total", "Events taken in, by topic and outcome.", ["topic", "outcome"])
RECORD_DELAY = Histogram(
    "rushes_record_delay_seconds", "Age of a record when it was taken in.", ["topic"], buckets=DURATIONS
)
DEAD_LETTERS = Counter("rushes_dead_letters_total", "Records that could not be taken in.", ["topic", "reason"])
LAST_POLL = Gauge("rushes_last_poll_timestamp_seconds", "When the bus was last polled.", ["topic"])
PARTITIONS = Gauge("rushes_assigned_partitions", "Partitions that this process reads.", ["group"])
REBALANCES = Counter("rushes_rebalances_total", "Assignments of partitions to this process.", ["group"])
COMMIT_FAILURES = Counter("rushes_commit_failures_total", "Offset commits that failed.", ["group"])
OUTBOX_PENDING = Gauge("rushes_outbox_pending", "Records in the outbox that are not sent yet.")
OUTBOX_OLDEST = Gauge("rushes_outbox_oldest_seconds", "Age of the oldest record that is not sent yet.")
OUTBOX_SENT = Counter("rushes_outbox_sent_total", "Records sent by this process, by topic.", ["topic"])
TASKS = Gauge("rushes_tasks", "Tasks in the ledger, by state and lane.", ["state", "lane"])
ATTEMPTS = Counter("rushes_attempts_total", "Attempts, by outcome and failure code.", ["outcome", "code"])
ATTEMPT_SECONDS = Histogram("rushes_attempt_seconds", "Duration of attempts.", ["outcome"], buckets=DURATIONS)
SLOTS = Gauge("rushes_slots", "Jobs that this process can run at once.")
BUSY_SLOTS = Gauge("rushes_busy_slots", "Jobs that this process runs now.")
DRAINING = Gauge("rushes_draining", "1 while this process shuts down.")
SCRATCH_FREE = Gauge("rushes_scratch_free_bytes", "Free room in the scratch folder.")
STORE_OPERATIONS = Counter(
    "rushes_store_operations_total",
    "Calls of object stores, by operation and outcome.",
    ["operation", "outcome"],
)
STORE_CIRCUIT_OPEN = Gauge(
    "rushes_store_circuit_open", "1 while this process begins no job that needs the store, for it is down.", ["store"]
)
STORE_PROBES = Counter(
    "rushes_store_probes_total", "Probes of stores that were down, by outcome.", ["store", "outcome"]
)

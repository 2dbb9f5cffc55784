"""The normalizer's metrics, each declared once."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# Finer about the service levels, 10 and 60 minutes.
_LATENCIES: Final = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
_SPEEDS: Final = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)

UPLOAD_READY = Histogram(
    "rushes_upload_ready_seconds",
    "Time from an upload's intake until it was ready for the first time, by its kind. What the event waited for before "
    "is rushes_record_delay_seconds.",
    ["kind"],
    unit="seconds",
    buckets=_LATENCIES,
)
PREVIEWS = Gauge(
    "rushes_previews",
    "Previews by status. Sampled; `ready` is PostgreSQL's estimate, in which deleted ones count.",
    ["status"],
)
OLDEST_PREVIEW = Gauge(
    "rushes_oldest_preview_seconds",
    "Time since the last change of the preview that has not changed for the longest time, by status. Sampled.",
    ["status"],
    unit="seconds",
)
BECAME_MISSING = Counter("rushes_became_missing_total", "Previews that became missing, and were not so before.")
ABSENCES_HELD = Gauge(
    "rushes_absences_held", "Previews that a flood of absent sources keeps from becoming missing. Sampled."
)
ENCODE_SPEED = Histogram(
    "rushes_encode_speed_ratio", "Seconds of a movie that were encoded in a second.", unit="ratio", buckets=_SPEEDS
)
CHILD_CPU = Counter(
    "rushes_child_cpu_seconds_total",
    "Processor time of ffmpeg, ffprobe and picture children.",
    ["program"],
    unit="seconds",
)
CHILD_MEMORY = Histogram(
    "rushes_child_peak_memory_bytes",
    "Largest resident set of a child, as last looked at while it ran.",
    ["program"],
    unit="bytes",
    buckets=tuple(2.0**power for power in range(24, 35)),  # 16 MiB to 16 GiB
)
SANDBOX_ENFORCED = Gauge(
    "rushes_sandbox_enforced", "1 if this kernel confines ffmpeg by the mechanism, else 0.", ["mechanism"]
)
LOOKS = Counter("rushes_looks_total", "Jobs whose sources were looked for in batches, by outcome.", ["outcome"])

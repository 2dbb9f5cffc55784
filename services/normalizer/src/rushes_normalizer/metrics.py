"""The normalizer's metrics, each declared once."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ABSENCES_HELD = Gauge("rushes_absences_held", "Previews that a flood of absent sources keeps from becoming missing.")
CHILD_CPU = Counter(
    "rushes_child_cpu_seconds_total", "Processor time of ffmpeg, ffprobe and picture children.", ["program"]
)
CHILD_MEMORY = Histogram(
    "rushes_child_peak_memory_bytes",
    "Largest resident set of a child, as last looked at while it ran.",
    ["program"],
    buckets=tuple(2.0**power for power in range(24, 35)),  # 16 MiB to 16 GiB
)
SANDBOX_ENFORCED = Gauge(
    "rushes_sandbox_enforced", "1 if this kernel confines ffmpeg by the mechanism, else 0.", ["mechanism"]
)
LOOKS = Counter("rushes_looks_total", "Jobs whose sources were looked for in batches, by outcome.", ["outcome"])

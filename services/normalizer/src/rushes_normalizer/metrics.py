"""The normalizer's metrics, each declared once."""

from __future__ import annotations

from prometheus_client import Gauge

ABSENCES_HELD = Gauge("rushes_absences_held", "Previews that a flood of absent sources keeps from becoming missing.")
SANDBOX_ENFORCED = Gauge(
    "rushes_sandbox_enforced", "1 if this kernel confines ffmpeg by the mechanism, else 0.", ["mechanism"]
)

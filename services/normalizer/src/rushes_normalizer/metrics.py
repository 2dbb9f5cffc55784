"""The normalizer's metrics, each declared once."""

from __future__ import annotations

from prometheus_client import Gauge

SANDBOX_ENFORCED = Gauge(
    "rushes_sandbox_enforced", "1 if this kernel confines ffmpeg by the mechanism, else 0.", ["mechanism"]
)

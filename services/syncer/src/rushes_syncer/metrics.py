"""The syncer's metrics, each declared once."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_DELAYS: Final = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)

OBJECTS = Counter(
    "rushes_sync_objects_total",
    "Objects looked at for a site, by outcome: `copied`, `held` already, `absent` at the source, `pruned`, `failed`.",
    ["site", "outcome"],
    unit="objects",
)
BYTES = Counter(
    "rushes_sync_bytes_total",
    "Bytes of the objects that were copied, or held already.",
    ["site", "outcome"],
    unit="bytes",
)
DELAY = Histogram(
    "rushes_sync_delay_seconds",
    "Time from the intake of a status until the site held what it names.",
    ["site"],
    unit="seconds",
    buckets=_DELAYS,
)
WAITING = Gauge("rushes_sync_waiting", "Previews that wait to be copied to a site. Sampled.", ["site"])
DRIFT = Gauge(
    "rushes_sync_drift_objects",
    "Objects that differed from the main store after the site's last full pass or verification, by reason: `missing`, "
    "`different` or `extra`. Sampled.",
    ["site", "reason"],
    unit="objects",
)
FULL_PASS = Gauge(
    "rushes_sync_full_pass_timestamp_seconds",
    "When the last full pass or verification of a whole site ended; at first, when the site was first seen. Sampled.",
    ["site"],
    unit="seconds",
)
BOOTSTRAPPED = Gauge(
    "rushes_sync_bootstrapped",
    "1 once a site is past all that the topic held when the site was first seen. Sampled.",
    ["site"],
)
PREVIEWS = Gauge(
    "rushes_sync_previews",
    "Previews that a site should hold, `wanted`, and those of them that it holds, `held`. Sampled.",
    ["site", "state"],
)
STOCK = Gauge(
    "rushes_sync_stock_bytes",
    "Bytes of what a site should hold, `wanted`, and of what it holds of that, `held`. Sampled.",
    ["site", "state"],
    unit="bytes",
)

"""The read API's metrics, each declared once."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter(
    "rushes_api_requests_total", "Calls of the read API, by operation and HTTP status.", ["operation", "status"]
)
REQUEST_SECONDS = Histogram(
    "rushes_api_request_seconds",
    "Time until an answer of the read API begins.",
    ["operation"],
    unit="seconds",
    buckets=_SECONDS,
)
STREAMS = Gauge("rushes_api_streams", "Streams of status changes that this process serves.")
STREAMS_ENDED = Counter(
    "rushes_api_streams_ended_total",
    "Streams that ended: the client went (`gone`), took nothing for too long or fell behind (`slow`), may no longer "
    "read (`refused`), or this process stops (`stopped`).",
    ["reason"],
)
RESETS = Counter(
    "rushes_api_stream_resets_total", "Clients that came back for status changes that this process no longer holds."
)
CHANGES = Counter(
    "rushes_api_changes_total", "Status changes read for streams: `told`, or `unreadable` and left out.", ["outcome"]
)

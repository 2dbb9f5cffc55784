"""*Read API*: whether callers are answered, how fast, and whether streams keep up."""

from __future__ import annotations

from typing import Final

from helm.dashboards.panels import Board, Panel, Query, Row, quantiles

_CALLS: Final = Row(
    "Calls",
    (
        Panel(
            "Calls",
            "A second. 429: a caller comes too often; 503: PostgreSQL or Kafka does not answer.",
            "ops",
            (
                Query(
                    "sum by (operation, status) (rate(rushes_api_requests_total{HERE}[$__rate_interval]))",
                    "{{operation}} {{status}}",
                ),
            ),
        ),
        Panel(
            "Time until the answer",
            "A page costs a few milliseconds, however many previews there are.",
            "s",
            quantiles("rushes_api_request_seconds", "operation"),
        ),
        Panel(
            "Calls that failed",
            "Share of answers with 5xx.",
            "percentunit",
            (
                Query(
                    'sum(rate(rushes_api_requests_total{HERE,status=~"5.."}[$__rate_interval])) '
                    "/ sum(rate(rushes_api_requests_total{HERE}[$__rate_interval])) "
                    "or 0 * sum(rate(rushes_api_requests_total{HERE}[$__rate_interval]))"
                ),
            ),
        ),
    ),
)
_STREAMS: Final = Row(
    "Streams of status changes",
    (
        Panel("Open streams", "Of all processes.", "short", (Query("sum(rushes_api_streams{HERE})"),)),
        Panel(
            "Streams that ended",
            "In an hour, by reason. `slow`: the client took nothing for too long, or fell behind.",
            "short",
            (Query("sum by (reason) (increase(rushes_api_streams_ended_total{HERE}[1h]))", "{{reason}}"),),
        ),
        Panel(
            "Status changes",
            "A second, as one process reads them; and clients that came back too late for what they had missed, in an "
            "hour. If there are many, raise API_STREAM_HISTORY.",
            "ops",
            (
                Query(
                    "max by (outcome) (rate(rushes_api_changes_total{HERE}[$__rate_interval]))",
                    "{{outcome}}",
                ),
                Query("sum(increase(rushes_api_stream_resets_total{HERE}[1h]))", "resets"),
            ),
        ),
    ),
)
API: Final = Board(
    "rushes-api",
    "Rushes: read API",
    "Whether callers of the read API are answered.",
    (_CALLS, _STREAMS),
)

"""*Is it healthy*: the service levels first, then what could spoil them."""

from __future__ import annotations

from typing import Final

from helm.dashboards.panels import Board, Panel, Query, Row

BAD_UPLOADS: Final = "source_empty|not_a_movie|unsupported_codec|corrupt|limits_exceeded"


def _in_time(seconds: str, window: str) -> str:
    ready = f'sum(increase(rushes_upload_ready_seconds_bucket{{HERE,le="{seconds}"}}[{window}]))'
    return f"{ready} / sum(increase(rushes_upload_ready_seconds_count{{HERE}}[{window}]))"


def _burn(seconds: str, share: float, window: str) -> Query:
    return Query(f"(1 - {_in_time(seconds, window)}) / {share}", f"{round(float(seconds) / 60)} minutes, over {window}")


_LEVELS: Final = Row(
    "Service levels",
    (
        Panel(
            "Ready within 10 minutes",
            "Of the uploads of a day that became ready. 95 % is promised.",
            "percentunit",
            (Query(_in_time("600.0", "1d")),),
            single=True,
            width=4,
        ),
        Panel(
            "Ready within 60 minutes",
            "Of the uploads of a day that became ready. 99 % is promised.",
            "percentunit",
            (Query(_in_time("3600.0", "1d")),),
            single=True,
            width=4,
        ),
        Panel(
            "Broken by us",
            "Of the previews whose jobs ended in a day; bad uploads are left out. Under 1 % is promised.",
            "percentunit",
            (
                Query(
                    f'sum(increase(rushes_jobs_total{{HERE,outcome="broken",code!~"{BAD_UPLOADS}"}}[1d])) '
                    '/ sum(increase(rushes_jobs_total{HERE,kind!="copy"}[1d]))'
                ),
            ),
            single=True,
            width=4,
        ),
        Panel(
            "Oldest unsent status",
            "Under a minute is promised.",
            "s",
            (Query("max(rushes_outbox_oldest_seconds{HERE})"),),
            single=True,
            width=4,
        ),
        Panel(
            "Delay of events (99 %)",
            "From an event to its intake, over an hour. Under 5 minutes is promised.",
            "s",
            (
                Query(
                    "histogram_quantile(0.99, sum by (le) (rate(rushes_record_delay_seconds_bucket{HERE}[1h])))",
                ),
            ),
            single=True,
            width=4,
        ),
        Panel(
            "Longest lease that is over",
            "A job whose worker is lost stays in processing for so long after its lease. Under 5 minutes is promised.",
            "s",
            (Query("max(rushes_lease_overdue_seconds{HERE})"),),
            single=True,
            width=4,
        ),
        Panel(
            "Burn rate",
            "How many times faster than allowed uploads are late. 1 just keeps the promise; ReadyLatencyBurn fires at "
            "14.4 over an hour, or at 6 over six hours.",
            "none",
            tuple(
                _burn(seconds, share, window)
                for seconds, share in (("600.0", 0.05), ("3600.0", 0.01))
                for window in ("1h", "6h")
            ),
            width=12,
        ),
        Panel(
            "Jobs that ended",
            "By what became of them.",
            "ops",
            (
                Query(
                    "sum by (kind, outcome) (rate(rushes_jobs_total{HERE}[$__rate_interval])) > 0",
                    "{{kind}} {{outcome}}",
                ),
            ),
            width=12,
        ),
    ),
)
_PREVIEWS: Final = Row(
    "Previews",
    (
        Panel(
            "Previews by status",
            "`ready` is an estimate. What is broken or missing for long is in docs/operators.md.",
            "short",
            (Query("max by (status) (rushes_previews{HERE})", "{{status}}"),),
        ),
        Panel(
            "Oldest by status",
            "Since its last change. In processing it grows while an upload waits for its first end.",
            "s",
            (Query("max by (status) (rushes_oldest_preview_seconds{HERE})", "{{status}}"),),
        ),
        Panel(
            "Failed attempts by code",
            "Most are tried again. The codes are in docs/failure-codes.md.",
            "ops",
            (
                Query(
                    'sum by (code) (rate(rushes_attempts_total{HERE,outcome="failed"}[$__rate_interval]))', "{{code}}"
                ),
            ),
        ),
        Panel(
            "Sources that are gone",
            "Previews that became missing in an hour, and those that a flood of absences holds.",
            "short",
            (
                Query("sum(increase(rushes_became_missing_total{HERE}[1h]))", "became missing"),
                Query("max(rushes_absences_held{HERE})", "held"),
            ),
        ),
        Panel(
            "Sandbox",
            "1: the kernel confines ffmpeg by it.",
            "none",
            (Query('min by (mechanism) (rushes_sandbox_enforced{HERE,component="worker"})', "{{mechanism}}"),),
        ),
    ),
)
_KAFKA: Final = Row(
    "Kafka",
    (
        Panel(
            "Events taken in",
            "`known` came again and changed nothing.",
            "ops",
            (
                Query(
                    "sum by (topic, outcome) (rate(rushes_events_total{HERE}[$__rate_interval]))",
                    "{{topic}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            "Records to be read",
            "By consumer group; it goes up when intake does not keep up.",
            "short",
            (Query("sum by (group, topic) (rushes_consumer_lag_records{HERE})", "{{group}} {{topic}}"),),
        ),
        Panel(
            "Since the last poll",
            "By any process of the group.",
            "s",
            (
                Query(
                    "time() - max by (group, topic) (rushes_last_poll_timestamp_seconds{HERE})", "{{group}} {{topic}}"
                ),
            ),
        ),
        Panel(
            "Dead letters",
            "In an hour; reasons are in docs/events.md.",
            "short",
            (Query("sum by (topic, reason) (increase(rushes_dead_letters_total{HERE}[1h]))", "{{topic}} {{reason}}"),),
        ),
        Panel(
            "Consumer groups",
            "Partitions that are read, and how often they were given out or a commit was refused in 15 minutes.",
            "short",
            (
                Query("sum by (group) (rushes_assigned_partitions{HERE})", "{{group}} partitions"),
                Query("sum by (group) (increase(rushes_rebalances_total{HERE}[15m]))", "{{group}} rebalances"),
                Query(
                    "sum by (group) (increase(rushes_commit_failures_total{HERE}[15m]))", "{{group}} refused commits"
                ),
            ),
        ),
        Panel(
            "Outbox",
            "Statuses and dead letters: waiting, and sent a second.",
            "short",
            (
                Query("max by (component) (rushes_outbox_pending{HERE})", "{{component}} waiting"),
                Query("sum by (topic) (rate(rushes_outbox_sent_total{HERE}[$__rate_interval]))", "{{topic}} a second"),
            ),
        ),
    ),
)
_NEEDS: Final = Row(
    "PostgreSQL and the stores",
    (
        Panel(
            "Since PostgreSQL answered",
            "The best process of each component; and transactions that failed because it was away, a second.",
            "s",
            (
                Query("time() - max by (component) (rushes_database_answer_timestamp_seconds{HERE})", "{{component}}"),
                Query(
                    "sum by (component) (rate(rushes_database_failures_total{HERE}[$__rate_interval]))",
                    "{{component}} failures a second",
                ),
            ),
        ),
        Panel(
            "Since the last sample",
            "The janitor's figures (queue, previews, outbox) are so old.",
            "s",
            (Query("time() - max by (component) (rushes_sampled_timestamp_seconds{HERE} > 0)", "{{component}}"),),
        ),
        Panel(
            "Processes that wait for a store",
            "Their circuit is open: they begin no job that needs it.",
            "short",
            (
                Query("sum by (component, store) (rushes_store_circuit_open{HERE})", "{{component}} {{store}}"),
                Query(
                    "sum by (store, outcome) (rate(rushes_store_probes_total{HERE}[$__rate_interval]))",
                    "{{store}} probes a second: {{outcome}}",
                ),
            ),
        ),
    ),
)
HEALTHY: Final = Board(
    "rushes-healthy",
    "Rushes: is it healthy",
    "The service levels, how fast they are spent, and what could spoil them.",
    (_LEVELS, _PREVIEWS, _KAFKA, _NEEDS),
)

"""*Where is the time*: what an upload waits for, and what a job spends its time on."""

from __future__ import annotations

from typing import Final

from helm.dashboards.panels import Board, Panel, Query, Row, quantiles

_SPEEDS: Final = "sum by (le) (rate(rushes_encode_speed_ratio_bucket{HERE}[$__rate_interval]))"
_QUEUE: Final = Row(
    "The queue",
    (
        Panel(
            "From upload to ready",
            "Median and 95th percentile, by kind.",
            "s",
            quantiles("rushes_upload_ready_seconds", "kind"),
        ),
        Panel(
            "Jobs that wait and run",
            "By lane.",
            "short",
            (
                Query(
                    'max by (state, lane, queue) (rushes_tasks{HERE,component="control"})',
                    "{{lane}} {{queue}} {{state}}",
                ),
            ),
        ),
        Panel(
            "Longest wait now",
            "Of the jobs that could be claimed, by lane. Uploads overtake the others.",
            "s",
            (
                Query(
                    'max by (lane, queue) (rushes_oldest_queued_seconds{HERE,component="control"})',
                    "{{lane}} {{queue}}",
                ),
            ),
        ),
        Panel(
            "Wait for a slot",
            "Of the jobs that got one, by lane.",
            "s",
            quantiles("rushes_queue_wait_seconds", "lane"),
        ),
        Panel(
            "Sources looked for in batches",
            "Bulk jobs whose source is there go on to a slot.",
            "ops",
            (Query("sum by (outcome) (rate(rushes_looks_total{HERE}[$__rate_interval]))", "{{outcome}}"),),
        ),
    ),
)
_SLOTS: Final = Row(
    "Slots",
    (
        Panel(
            "Slots and busy ones",
            "By pool. All busy for long, with a queue: more workers are needed.",
            "short",
            (
                Query('sum by (pool) (rushes_slots{HERE,component="worker"})', "{{pool}} slots"),
                Query('sum by (pool) (rushes_busy_slots{HERE,component="worker"})', "{{pool}} busy"),
            ),
        ),
        Panel(
            "Shutting down",
            "Processes, and the longest so far.",
            "s",
            (
                Query("sum by (component) (rushes_draining{HERE})", "{{component}} processes"),
                Query("max by (component) (rushes_drain_seconds{HERE})", "{{component}} longest"),
            ),
        ),
        Panel(
            "Free scratch",
            "The least of each pool.",
            "bytes",
            (
                Query(
                    'min by (component, pool) (rushes_scratch_free_bytes{HERE,component=~"worker|syncer"})', "{{pool}}"
                ),
            ),
        ),
    ),
)
_STAGES: Final = Row(
    "Within a job",
    (
        Panel(
            "Attempts",
            "How long they take, by outcome.",
            "s",
            quantiles("rushes_attempt_seconds", "outcome", where='component="worker"'),
        ),
        Panel(
            "What the slots spend their time on",
            "Seconds a second, by stage.",
            "short",
            (
                Query(
                    'sum by (stage) (rate(rushes_stage_seconds_sum{HERE,component="worker"}[$__rate_interval]))',
                    "{{stage}}",
                ),
            ),
        ),
        Panel("Stages", "How long each takes.", "s", quantiles("rushes_stage_seconds", "stage")),
        Panel(
            "Speed of encoding",
            "Seconds of a movie that are encoded in a second.",
            "none",
            (
                Query(
                    f"histogram_quantile(0.5, {_SPEEDS})",
                    "median",
                ),
                Query(
                    f"histogram_quantile(0.05, {_SPEEDS})",
                    "slowest 5 %",
                ),
            ),
        ),
        Panel(
            "Processor time of children",
            "Cores that ffmpeg, ffprobe and picture children keep busy.",
            "short",
            (Query("sum by (program) (rate(rushes_child_cpu_seconds_total{HERE}[$__rate_interval]))", "{{program}}"),),
        ),
        Panel(
            "Memory of children",
            "The largest resident set of each.",
            "bytes",
            quantiles("rushes_child_peak_memory_bytes", "program"),
        ),
        Panel(
            "Calls of S3 stores",
            "By operation and outcome.",
            "ops",
            (
                Query(
                    "sum by (operation, outcome) (rate(rushes_store_operations_total{HERE}[$__rate_interval]))",
                    "{{operation}} {{outcome}}",
                ),
            ),
        ),
    ),
)
WHERE: Final = Board(
    "rushes-time",
    "Rushes: where is the time",
    "What an upload waits for, and what a job spends its time on.",
    (_QUEUE, _SLOTS, _STAGES),
)

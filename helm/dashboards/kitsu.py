"""*Kitsu*: how Zou is answered, what it waits for, and whether it says what Rushes says."""

from __future__ import annotations

from typing import Final

from helm.dashboards.panels import Board, Panel, Query, Row, quantiles

_CALLS: Final = Row(
    "Zou's calls",
    (
        Panel(
            "Calls",
            "A second. `blind`: answered without the database. `failed` and `refused` dispatches break movies in Zou.",
            "ops",
            (
                Query(
                    "sum by (operation, outcome) (rate(rushes_kitsu_calls_total{HERE}[$__rate_interval]))",
                    "{{operation}} {{outcome}}",
                ),
            ),
        ),
        Panel("Time to answer", "Zou waits 5 s at most.", "s", quantiles("rushes_kitsu_call_seconds", "operation")),
        Panel(
            "Processes that answer",
            "One must be there at any time.",
            "short",
            (Query('count(rushes_kitsu_jobs_open{HERE,component="kitsu"})'),),
        ),
    ),
)
_JOBS: Final = Row(
    "Jobs that Zou waits for",
    (
        Panel(
            "Open jobs",
            "Zou's RQ workers watch one each.",
            "short",
            (Query('max(rushes_kitsu_jobs_open{HERE,component="kitsu"})'),),
        ),
        Panel(
            "Oldest open job",
            "After JOB_QUEUE_TIMEOUT, an hour, Zou gives up.",
            "s",
            (Query('max(rushes_kitsu_oldest_job_seconds{HERE,component="kitsu"})'),),
        ),
        Panel(
            "From dispatch to end",
            "Median and slowest 5 %, and how many end a second.",
            "s",
            (
                *(
                    Query(
                        f"histogram_quantile({share}, sum by (le) "
                        "(rate(rushes_kitsu_job_seconds_bucket{HERE}[$__rate_interval])))",
                        name,
                    )
                    for share, name in ((0.5, "median"), (0.95, "slowest 5 %"))
                ),
                Query(
                    "sum by (outcome) (rate(rushes_kitsu_jobs_total{HERE}[$__rate_interval]))", "{{outcome}} a second"
                ),
            ),
        ),
    ),
)
_AGREEMENT: Final = Row(
    "Whether Zou agrees",
    (
        Panel(
            "Since Zou's API answered",
            "As it should, to `rushes-kitsu follow`.",
            "s",
            (Query('time() - max(rushes_kitsu_zou_answer_timestamp_seconds{HERE,component="kitsu-follow"} > 0)'),),
        ),
        Panel(
            "Previews that Zou has not agreed about",
            "And how long the oldest has waited, in seconds.",
            "short",
            (
                Query('max(rushes_kitsu_unsettled_previews{HERE,component="kitsu-follow"})', "previews"),
                Query('max(rushes_kitsu_oldest_unsettled_seconds{HERE,component="kitsu-follow"})', "oldest"),
            ),
        ),
        Panel(
            "Looks into Zou",
            "`correct`: Zou was wrong, and was set right. And what Zou handled itself, in an hour.",
            "ops",
            (
                Query("sum by (outcome) (rate(rushes_kitsu_reconciled_total{HERE}[$__rate_interval]))", "{{outcome}}"),
                Query("sum by (outcome) (increase(rushes_kitsu_registered_total{HERE}[1h]))", "{{outcome}} at Zou"),
            ),
        ),
    ),
)
KITSU: Final = Board(
    "rushes-kitsu",
    "Rushes: kitsu",
    "How Zou is answered, what it waits for, and whether it says what Rushes says.",
    (_CALLS, _JOBS, _AGREEMENT),
)

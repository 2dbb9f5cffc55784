"""*Sites*: what each site lacks, and how far it is behind."""

from __future__ import annotations

from typing import Final

from helm.dashboards.panels import Board, Panel, Query, Row, quantiles

_BEHIND: Final = Row(
    "How far behind",
    (
        Panel(
            "From status to copy",
            "From the intake of a status until the site holds what it names.",
            "s",
            quantiles("rushes_sync_delay_seconds", "site"),
        ),
        Panel(
            "Previews that wait", "By site.", "short", (Query("max by (site) (rushes_sync_waiting{HERE})", "{{site}}"),)
        ),
        Panel(
            "Copied",
            "Bytes a second.",
            "Bps",
            (
                Query(
                    'sum by (site) (rate(rushes_sync_bytes_total{HERE,outcome="copied"}[$__rate_interval]))', "{{site}}"
                ),
            ),
        ),
        Panel(
            "Objects",
            "By what became of them: `absent` are gone from the main store.",
            "ops",
            (
                Query(
                    "sum by (site, outcome) (rate(rushes_sync_objects_total{HERE}[$__rate_interval]))",
                    "{{site}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            "Jobs that failed",
            "In an hour, by code. A full pass puts right what they left.",
            "short",
            (Query('sum by (code) (increase(rushes_jobs_total{HERE,kind="copy",outcome="failed"}[1h]))', "{{code}}"),),
        ),
        Panel(
            "Sites that are down",
            "Processes that wait for the store of a site.",
            "short",
            (Query('sum by (store) (rushes_store_circuit_open{HERE,component="syncer"})', "{{store}}"),),
        ),
    ),
)
_STOCK: Final = Row(
    "How full",
    (
        Panel(
            "Previews held",
            "Of those that the site should hold.",
            "percentunit",
            (
                Query(
                    'max by (site) (rushes_sync_previews{HERE,state="held"})'
                    ' / max by (site) (rushes_sync_previews{HERE,state="wanted"})',
                    "{{site}}",
                ),
            ),
        ),
        Panel(
            "Bytes that are lacking",
            "Of what the site should hold.",
            "bytes",
            (
                Query(
                    'max by (site) (rushes_sync_stock_bytes{HERE,state="wanted"})'
                    ' - max by (site) (rushes_sync_stock_bytes{HERE,state="held"})',
                    "{{site}}",
                ),
            ),
        ),
        Panel(
            "Bootstrapped",
            "1: the site is past all that the topic held when it was first seen.",
            "short",
            (Query("max by (site) (rushes_sync_bootstrapped{HERE})", "{{site}}"),),
        ),
    ),
)
_DRIFT: Final = Row(
    "Drift",
    (
        Panel(
            "Left by the last full pass",
            "Objects that a site lacks, holds otherwise, or has beside: by a full pass or a verification.",
            "short",
            (Query("max by (site, reason) (rushes_sync_drift_objects{HERE})", "{{site}} {{reason}}"),),
            width=12,
        ),
        Panel(
            "Since the last full pass",
            "A pass a day is promised.",
            "s",
            (Query("time() - max by (site) (rushes_sync_full_pass_timestamp_seconds{HERE})", "{{site}}"),),
            width=12,
        ),
    ),
)
SITES: Final = Board(
    "rushes-sites", "Rushes: sites", "What each site lacks, and how far it is behind.", (_BEHIND, _STOCK, _DRIFT)
)

"""The chart's rules with windows and thresholds that a drill can wait for."""

from __future__ import annotations

from typing import Any, Final

from tests.chart.rendering import find, render

DRAIN_BUDGET: Final = 2


def drill_rules(*, scratch_free: int) -> dict[str, Any]:
    """The rules as the chart renders them.

    Args:
        scratch_free: bytes; less is too little.
    """
    short: dict[str, dict[str, Any]] = {
        "ReadyLatencyBurn": {
            "minimum": 2,
            "fastLong": "20s",
            "fastShort": "10s",
            "slowLong": "30s",
            "slowShort": "20s",
        },
        "QueueOldest": {"threshold": 20, "for": "3s"},
        "NoWorkers": {},
        "RowsStuckProcessing": {"threshold": 6, "for": "5s"},
        "BrokenRatioHigh": {"minimum": 1, "window": "20s"},
        "FilesMissing": {"threshold": 2, "window": "20s"},
        "StoreCircuitOpen": {"for": "2s"},
        "DatabaseDown": {"threshold": 4},
        "OutboxStalled": {"threshold": 4},
        "ConsumerDelay": {"window": "20s"},
        "ConsumerStuck": {"threshold": 5},
        "RebalanceStorm": {"threshold": 2, "window": "60s"},
        "CommitFailures": {"threshold": 0, "window": "30s"},
        "DeadLetters": {"window": "20s"},
        "ApiErrors": {"minimum": 1, "window": "20s"},
        "ScratchLow": {"threshold": scratch_free},
        "DrainExceeded": {"threshold": 2},
        "SandboxIncomplete": {},
        "SyncDrift": {},
        "SyncStale": {"threshold": 3600},
        "KitsuServerGone": {"window": "20s"},
        "KitsuDispatchesFailed": {"window": "20s"},
        "KitsuJobWaits": {"threshold": 15},
        "ZouUnreachable": {"threshold": 4},
        "ZouDisagrees": {"threshold": 4},
        "AbsentMetrics": {"for": "3s"},
    }
    rules = {name: {"for": "1s", **values} if name != "DrainExceeded" else values for name, values in short.items()}
    values = {
        "podMonitor": {"enabled": True},
        "alerts": {"enabled": True, "rules": rules},
        "settings": {"DRAIN_BUDGET": DRAIN_BUDGET},
    }
    spec: dict[str, Any] = find(render(values), "PrometheusRule")["spec"]
    return spec

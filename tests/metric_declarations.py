"""What the services declare as metrics."""

from __future__ import annotations

import rushes_kitsu.metrics
import rushes_normalizer.api.metrics
import rushes_normalizer.metrics
import rushes_runtime.metrics
import rushes_syncer.metrics
from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

MODULES = (
    rushes_runtime.metrics,
    rushes_normalizer.metrics,
    rushes_normalizer.api.metrics,
    rushes_syncer.metrics,
    rushes_kitsu.metrics,
)


def declared() -> list[MetricWrapperBase]:
    """Every metric of all services."""
    return [metric for module in MODULES for metric in vars(module).values() if isinstance(metric, MetricWrapperBase)]


def told(metric: MetricWrapperBase) -> Metric:
    """Its name, type, unit and help."""
    (description,) = metric.describe()
    return description


def series_of(metric: MetricWrapperBase) -> set[str]:
    """The names under which its series are scraped."""
    description = told(metric)
    match description.type:
        case "counter":
            return {f"{description.name}_total"}
        case "histogram":
            return {f"{description.name}_{part}" for part in ("bucket", "sum", "count")}
        case _:
            return {description.name}

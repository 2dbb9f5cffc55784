"""Metrics: declared once each, by the rules of Prometheus, with no label that holds an id."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from tests.metric_declarations import declared, told
from tests.promtool import needs_prometheus, promtool

UNITS = ("seconds", "bytes", "ratio", "records", "objects")
# All of few values: what a settings file, a topic list or an enum holds.
LABELS = {
    "code",
    "group",
    "kind",
    "lane",
    "queue",
    "mechanism",
    "operation",
    "outcome",
    "program",
    "reason",
    "site",
    "stage",
    "state",
    "status",
    "store",
    "topic",
}
every_metric = pytest.mark.parametrize("metric", declared(), ids=lambda metric: told(metric).name)


@every_metric
def test_a_metric_says_what_it_is(metric: MetricWrapperBase) -> None:
    description = told(metric)
    assert description.name.startswith("rushes_")
    assert description.documentation.endswith(".")
    named = [unit for unit in UNITS if description.name.removesuffix("_total").endswith(f"_{unit}")]
    assert [description.unit] == (named or [""])


@every_metric
def test_a_label_has_few_values(metric: MetricWrapperBase) -> None:
    assert set(metric._labelnames) <= LABELS


def test_no_metric_is_declared_twice() -> None:
    names = [told(metric).name for metric in declared()]
    assert len(names) == len(set(names)) > 30


@needs_prometheus
def test_promtool_finds_nothing_in_what_is_served() -> None:
    registry = CollectorRegistry()
    for metric in declared():
        registry.register(metric)
        child = metric.labels(*("one" for _ in metric._labelnames)) if metric._labelnames else metric
        if isinstance(child, Histogram):
            child.observe(1)
    served = generate_latest(registry).decode()
    assert all(told(metric).name in served for metric in declared())
    assert promtool("check", "metrics", given=served) == ""

"""The rendered alerts, by Prometheus' own promtool: each fires, stays quiet, and resolves."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import rushes_normalizer.metrics
import rushes_runtime.metrics
import rushes_syncer.metrics
import yaml
from prometheus_client import Counter, Gauge, Histogram

from tests.chart.rendering import VALUES, Object, find, render, rendered

PROMTOOL = shutil.which("promtool")
promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not there (Debian's package prometheus brings it)")
METRICS = (rushes_runtime.metrics, rushes_normalizer.metrics, rushes_syncer.metrics)

CONTROL = 'namespace="studio",component="control",pod="control-1"'
WORKER = 'namespace="studio",component="worker",pool="general",pod="worker-1"'


@dataclass(frozen=True)
class Story:
    """What Prometheus sees, a value a minute; when the alert fires, and when it does not."""

    series: dict[str, str]
    fires: int
    quiet: tuple[int, ...]


STORIES = {
    "OutboxStalled": Story({f"rushes_outbox_oldest_seconds{{{CONTROL}}}": "10x9 90x9 0x20"}, 18, (9, 14, 25)),
    "ConsumerDelay": Story(
        {
            f'rushes_record_delay_seconds_bucket{{{CONTROL},topic="preview-uploaded",le="{le}"}}': values
            for le, values in {"60": "0+10x9 90x30 90+20x40", "600": "0+10x9 90+10x30 390+20x40"}.items()
        }
        | {
            f'rushes_record_delay_seconds_bucket{{{CONTROL},topic="preview-uploaded",le="+Inf"}}': (
                "0+10x9 90+10x30 390+20x40"
            )
        },
        30,
        (9, 60),
    ),
    "ConsumerStuck": Story(
        {f'rushes_last_poll_timestamp_seconds{{{CONTROL},topic="preview-uploaded"}}': "0+60x9 540x10 1200+60x20"},
        19,
        (9, 14, 25),
    ),
    "RebalanceStorm": Story({f'rushes_rebalances_total{{{CONTROL},group="g"}}': "1x9 1+1x30 31x30"}, 35, (9, 65)),
    "CommitFailures": Story({f'rushes_commit_failures_total{{{CONTROL},group="g"}}': "0x9 0+1x20 20x30"}, 20, (9, 55)),
    "DeadLetters": Story(
        {f'rushes_dead_letters_total{{{CONTROL},topic="t",reason="not_json"}}': "_x9 1x150"}, 15, (9, 75)
    ),
    "FilesMissing": Story(
        {f'rushes_attempts_total{{{WORKER},outcome="failed",code="source_missing"}}': "0x9 0+2x20 40x120"},
        20,
        (9, 12, 100),
    ),
    "NoWorkers": Story(
        {
            f'rushes_tasks{{{CONTROL},state="queued",lane="upload"}}': "7x60",
            f"rushes_slots{{{WORKER}}}": "2x9 _x25 2x30",
        },
        33,
        (9, 20, 40),
    ),
    "ScratchLow": Story({f"rushes_scratch_free_bytes{{{WORKER}}}": "9e9x9 1e9x9 9e9x20"}, 18, (9, 13, 25)),
    "DrainExceeded": Story({f"rushes_draining{{{WORKER}}}": "0x9 1x20 0x9"}, 25, (9, 18, 35)),
    "SandboxIncomplete": Story(
        {f'rushes_sandbox_enforced{{{WORKER},mechanism="landlock"}}': "1x9 0x9 1x20"}, 18, (9, 12, 25)
    ),
    "AbsentMetrics": Story({f"rushes_slots{{{CONTROL}}}": "0x9 _x30 0x20"}, 32, (9, 15, 45)),
}


@cache
def rule_group() -> Object:
    """The rules with all alerts on."""
    group = render({"podMonitor": {"enabled": True}, "alerts": {"enabled": True}})
    found: Object = find(group, "PrometheusRule")["spec"]
    return found


def alerts() -> Iterator[Object]:
    """Every alert of the chart."""
    for group in rule_group()["groups"]:
        yield from group["rules"]


def test_every_alert_has_its_story() -> None:
    assert {alert["alert"] for alert in alerts()} == set(STORIES)


@promtool
@pytest.mark.parametrize("values", VALUES)
def test_promtool_takes_the_rules(values: str, tmp_path: Path) -> None:
    for each in rendered("4.3", values):
        if each["kind"] == "PrometheusRule":
            (tmp_path / "rules.yaml").write_text(yaml.safe_dump(each["spec"]))
            assert ask("check", "rules", str(tmp_path / "rules.yaml"))


@promtool
@pytest.mark.parametrize("name", STORIES)
def test_an_alert_fires_when_it_must_and_resolves(name: str, tmp_path: Path) -> None:
    story = STORIES[name]
    looks = [(story.fires, 1), *((minute, 0) for minute in story.quiet)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_group()))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(unit_test(name, story, looks)))
    assert ask("test", "rules", str(tmp_path / "test.yaml"))


def unit_test(name: str, story: Story, looks: list[tuple[int, int]]) -> dict[str, Any]:
    """A story as promtool takes it."""
    firing = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
    return {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in story.series.items()],
                "promql_expr_test": [
                    {"expr": firing, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": value}]}
                    for minute, value in looks
                ],
            }
        ],
    }


def ask(*arguments: str) -> str:
    """What promtool says; the test fails if it finds something."""
    assert PROMTOOL
    ran = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_every_metric_in_an_expression_exists_in_the_code() -> None:
    known = {
        f"{series}"
        for module in METRICS
        for metric in vars(module).values()
        if isinstance(metric, Counter | Gauge | Histogram)
        for series in names_of(metric)
    }
    keda = find(rendered("4.3", "keda-prometheus"), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    for expression in [*(alert["expr"] for alert in alerts()), keda]:
        named = set(re.findall(r"\brushes_\w+", expression))
        assert named
        assert named <= known, expression


def names_of(metric: Counter | Gauge | Histogram) -> list[str]:
    """The names under which a metric's series are scraped."""
    (described,) = metric.describe()
    match described.type:
        case "counter":
            return [f"{described.name}_total"]
        case "histogram":
            return [f"{described.name}_{part}" for part in ("bucket", "sum", "count")]
        case _:
            return [described.name]


def test_every_alert_says_what_is_wrong_and_where_to_read_on() -> None:
    rules = find(rendered("4.3", "monitoring"), "PrometheusRule")["spec"]["groups"][0]["rules"]
    assert "RebalanceStorm" not in {rule["alert"] for rule in rules}
    for rule in rules:
        runbook = f"https://wiki.studio.internal/rushes/runbook#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] == runbook
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"page", "ticket"}

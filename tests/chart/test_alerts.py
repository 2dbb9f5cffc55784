"""The rendered alerts, by Prometheus' own promtool: each fires, stays quiet, and resolves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from rushes_schemas import FAILURES, FailureCode, PreviewStatus

from tests.chart.rendering import VALUES, Object, find, render, rendered
from tests.metric_declarations import declared, series_of
from tests.promtool import needs_prometheus, promtool

CONTROL = 'namespace="studio",component="control",pod="control-1"'
WORKER = 'namespace="studio",component="worker",pool="general",pod="worker-1"'
KITSU = 'namespace="studio",component="kitsu",pod="kitsu-1"'
FOLLOW = 'namespace="studio",component="kitsu-follow",pod="kitsu-follow-1"'
API = 'namespace="studio",component="api",pod="api-1"'
SYNCER = 'namespace="studio",component="syncer",pod="syncer-1"'


@dataclass(frozen=True)
class Story:
    """What Prometheus sees, a value a minute; when the alert fires (never: None), and when it does not."""

    series: dict[str, str]
    fires: int | None
    quiet: tuple[int, ...]


def _uploads(in_10_minutes: str, ended: str) -> dict[str, str]:
    """Uploads that became ready, and how many of them within ten minutes; all within an hour."""
    name = f'rushes_upload_ready_seconds_{{part}}{{{{{WORKER},kind="movie"{{le}}}}}}'
    return {
        name.format(part="bucket", le=',le="600.0"'): in_10_minutes,
        name.format(part="bucket", le=',le="3600.0"'): ended,
        name.format(part="count", le=""): ended,
    }


def _jobs(**counts: str) -> dict[str, str]:
    """Jobs that ended, by outcome and code."""
    return {
        f'rushes_jobs_total{{{WORKER},kind="movie",outcome="{outcome}",code="{code}"}}': values
        for name, values in counts.items()
        for outcome, _, code in [name.partition("_")]
    }


# Named by their alert; a second story has a word more.
STORIES = {
    "ReadyLatencyBurn": Story(_uploads("0+2x60 120x69 120+2x100", "0+2x260"), 110, (50, 75, 220)),
    "ReadyLatencyBurn few": Story(_uploads("0x200", "0x60 0+1x5 5x100"), None, (62, 70, 100)),
    "QueueOldest": Story(
        {f'rushes_oldest_queued_seconds{{{CONTROL},lane="upload",queue="ordinary"}}': "0x9 1000x15 0x20"},
        20,
        (9, 14, 30),
    ),
    "QueueOldest bulk": Story(
        {f'rushes_oldest_queued_seconds{{{CONTROL},lane="bulk",queue="ordinary"}}': "90000x40"}, None, (30,)
    ),
    "NoWorkers": Story(
        {
            f'rushes_tasks{{{CONTROL},state="queued",lane="upload",queue="ordinary"}}': "7x60",
            f"rushes_slots{{{WORKER}}}": "2x9 _x25 2x30",
        },
        33,
        (9, 20, 40),
    ),
    "RowsStuckProcessing": Story({f"rushes_lease_overdue_seconds{{{CONTROL}}}": "0x9 400x9 0x20"}, 15, (9, 11, 25)),
    "RowsStuckProcessing silent": Story(
        {
            f"rushes_sampled_timestamp_seconds{{{CONTROL}}}": "0+60x10 600x15 1620+60x30",
            f"rushes_database_answer_timestamp_seconds{{{CONTROL}}}": "0+60x60",
        },
        20,
        (9, 14, 35),
    ),
    "RowsStuckProcessing database": Story(
        {
            f"rushes_sampled_timestamp_seconds{{{CONTROL}}}": "0+60x10 600x30",
            f"rushes_database_answer_timestamp_seconds{{{CONTROL}}}": "0+60x10 600x30",
        },
        None,
        (20, 35),
    ),
    "BrokenRatioHigh": Story(_jobs(broken_internal="0x60 0+1x10 10x1600", ready_="0+1x1700"), 100, (50, 1600)),
    "BrokenRatioHigh uploads": Story(_jobs(broken_corrupt="0x60 0+1x1600", ready_="0+1x1700"), None, (100, 1600)),
    "FilesMissing": Story({f"rushes_became_missing_total{{{WORKER}}}": "0x9 0+2x20 40x120"}, 20, (9, 12, 100)),
    "FilesMissing held": Story({f"rushes_absences_held{{{CONTROL}}}": "0x9 40x20 0x9"}, 20, (9, 35)),
    "StoreCircuitOpen": Story({f'rushes_store_circuit_open{{{WORKER},store="main"}}': "0x9 1x9 0x20"}, 17, (9, 14, 25)),
    "DatabaseDown": Story(
        {f"rushes_database_answer_timestamp_seconds{{{CONTROL}}}": "0+60x10 600x9 1260+60x20"}, 15, (9, 12, 30)
    ),
    "OutboxStalled": Story({f"rushes_outbox_oldest_seconds{{{CONTROL}}}": "10x9 90x9 0x20"}, 18, (9, 14, 25)),
    "ConsumerDelay": Story(
        {
            f'rushes_record_delay_seconds_bucket{{{CONTROL},topic="preview-uploaded",le="{le}"}}': values
            for le, values in {
                "60.0": "0+10x9 90x30 90+20x40",
                "600.0": "0+10x9 90+10x30 390+20x40",
                "+Inf": "0+10x9 90+10x30 390+20x40",
            }.items()
        },
        30,
        (9, 60),
    ),
    "ConsumerStuck": Story(
        {f'rushes_last_poll_timestamp_seconds{{{CONTROL},group="g",topic="t"}}': "0+60x9 540x10 1200+60x20"},
        19,
        (9, 14, 25),
    ),
    "RebalanceStorm": Story({f'rushes_rebalances_total{{{CONTROL},group="g"}}': "1x9 1+1x30 31x30"}, 35, (9, 65)),
    "CommitFailures": Story({f'rushes_commit_failures_total{{{CONTROL},group="g"}}': "0x9 0+1x20 20x30"}, 20, (9, 55)),
    "DeadLetters": Story(
        {f'rushes_dead_letters_total{{{CONTROL},topic="t",reason="invalid"}}': "0x9 1x150"}, 15, (9, 75)
    ),
    "DeadLetters first": Story(
        {f'rushes_dead_letters_total{{{CONTROL},topic="t",reason="invalid"}}': "_x9 1x150"}, 15, (9, 75)
    ),
    "ApiErrors": Story(
        {
            f'rushes_api_requests_total{{{API},operation="list_all",status="200"}}': "0+10x200",
            f'rushes_api_requests_total{{{API},operation="list_all",status="503"}}': "0x9 0+5x20 100x60",
        },
        20,
        (9, 60),
    ),
    "ApiErrors few": Story(
        {
            f'rushes_api_requests_total{{{API},operation="list_all",status="200"}}': "0+1x200",
            f'rushes_api_requests_total{{{API},operation="list_all",status="503"}}': "0x9 3x100",
        },
        None,
        (9, 15, 60),
    ),
    "ScratchLow": Story({f"rushes_scratch_free_bytes{{{WORKER}}}": "9e9x9 1e9x9 9e9x20"}, 18, (9, 13, 25)),
    "DrainExceeded": Story({f"rushes_drain_seconds{{{WORKER}}}": "0x9 0+60x15 _x30"}, 22, (9, 18, 35)),
    "SandboxIncomplete": Story(
        {f'rushes_sandbox_enforced{{{WORKER},mechanism="landlock"}}': "1x9 0x9 1x20"}, 18, (9, 12, 25)
    ),
    "SyncDrift": Story(
        {f'rushes_sync_drift_objects{{{SYNCER},site="lyon",reason="lacking"}}': "0x9 3x9 0x20"}, 17, (9, 14, 25)
    ),
    "SyncStale": Story(
        {f'rushes_sync_full_pass_timestamp_seconds{{{SYNCER},site="lyon"}}': "0x1599 96000x50"},
        1580,
        (1500, 1562, 1620),
    ),
    "KitsuServerGone": Story({f"rushes_kitsu_jobs_open{{{KITSU}}}": "0x9 _x20 0x20"}, 20, (9, 10, 35)),
    "KitsuServerGone none": Story({f"rushes_slots{{{CONTROL}}}": "0x40"}, None, (9, 35)),
    "KitsuDispatchesFailed": Story(
        {f'rushes_kitsu_calls_total{{{KITSU},operation="dispatch",outcome="failed"}}': "0x9 1x40"}, 15, (9, 40)
    ),
    "KitsuJobWaits": Story({f"rushes_kitsu_oldest_job_seconds{{{KITSU}}}": "60x9 2800x9 0x20"}, 17, (9, 25)),
    "ZouUnreachable": Story(
        {
            f"rushes_kitsu_zou_answer_timestamp_seconds{{{FOLLOW}}}": "1+60x10 600x20 1920+60x20",
            f"rushes_kitsu_zou_answer_timestamp_seconds{{{KITSU}}}": "0x60",
        },
        25,
        (15, 45),
    ),
    "ZouDisagrees": Story({f"rushes_kitsu_oldest_unsettled_seconds{{{FOLLOW}}}": "60x9 5500x9 0x20"}, 17, (9, 12, 25)),
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
    assert {alert["alert"] for alert in alerts()} == {name.partition(" ")[0] for name in STORIES}


@needs_prometheus
@pytest.mark.parametrize("values", VALUES)
def test_promtool_takes_the_rules(values: str, tmp_path: Path) -> None:
    for each in rendered("4.3", values):
        if each["kind"] == "PrometheusRule":
            (tmp_path / "rules.yaml").write_text(yaml.safe_dump(each["spec"]))
            assert promtool("check", "rules", str(tmp_path / "rules.yaml"))


@needs_prometheus
@pytest.mark.parametrize("name", STORIES)
def test_an_alert_fires_when_it_must_and_resolves(name: str, tmp_path: Path) -> None:
    story = STORIES[name]
    looks = [(minute, 0) for minute in story.quiet]
    if story.fires is not None:
        looks.append((story.fires, 1))
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_group()))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(unit_test(name.partition(" ")[0], looks, story)))
    assert promtool("test", "rules", str(tmp_path / "test.yaml"))


def unit_test(name: str, looks: list[tuple[int, int]], story: Story) -> dict[str, Any]:
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


def test_every_metric_in_an_expression_exists_in_the_code() -> None:
    known = {series for metric in declared() for series in series_of(metric)}
    keda = find(rendered("4.3", "keda-prometheus"), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    for expression in [*(alert["expr"] for alert in alerts()), keda]:
        named = set(re.findall(r"\brushes_\w+", expression))
        assert named
        assert named <= known, expression


def test_the_uploads_that_are_left_out_as_bad_are_those_that_no_operator_can_mend() -> None:
    (alert,) = (each for each in alerts() if each["alert"] == "BrokenRatioHigh")
    left_out = set(re.findall(r'code!~"([a-z_|]+)"', alert["expr"])[0].split("|"))
    ours = {FailureCode.TIMEOUT, FailureCode.VERIFICATION_FAILED, FailureCode.POISON}
    final = {code for code, facts in FAILURES.items() if facts.ends_as is PreviewStatus.BROKEN and not facts.transient}
    assert left_out == final - ours


def test_every_alert_says_what_is_wrong_and_where_to_read_on() -> None:
    rules = find(rendered("4.3", "monitoring"), "PrometheusRule")["spec"]["groups"][0]["rules"]
    assert "RebalanceStorm" not in {rule["alert"] for rule in rules}
    for rule in rules:
        runbook = f"https://wiki.studio.internal/rushes/runbook#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] == runbook
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"page", "ticket"}

"""The chart's alerts, as files for a Prometheus that no operator runs."""

from __future__ import annotations

import os
import re
from itertools import chain
from typing import Final

import yaml

from tests.chart.helm_binaries import ROOT
from tests.chart.test_alerts import alerts, rule_group
from tests.promtool import needs_prometheus, promtool

FOLDER: Final = ROOT / "deploy" / "vm" / "prometheus"
RULES: Final = FOLDER / "rushes-rules.yml"
UNITS: Final = ROOT / "deploy" / "vm" / "systemd"


def test_the_rules_of_the_files_are_those_of_the_chart() -> None:
    text = yaml.safe_dump(rule_group(), sort_keys=False, width=120)
    if os.environ.get("GOLDEN") == "write":
        RULES.write_text(text)
    assert RULES.read_text() == text, "if this is what you want: make chart GOLDEN=write"


@needs_prometheus
def test_prometheus_takes_the_files() -> None:
    said = promtool("check", "config", str(FOLDER / "prometheus.yml"))
    assert f"{sum(1 for _ in alerts())} rules found" in said


def test_the_targets_are_what_the_units_listen_on_with_the_labels_that_the_rules_ask_for() -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    found = {each["labels"]["component"]: (each["targets"], each["labels"]) for each in job["static_configs"]}
    for component, unit in {
        "control": "rushes-normalizer-control.service",
        "worker": "rushes-normalizer-worker@.service",
        "syncer": "rushes-syncer@.service",
        "kitsu": "rushes-kitsu.service",
        "kitsu-build": "rushes-kitsu-build.service",
        "kitsu-follow": "rushes-kitsu-follow.service",
        "api": "rushes-api.service",
    }.items():
        (port,) = re.findall(r"OPERATIONS_PORT=(\S+)", (UNITS / unit).read_text())
        assert found[component][0] == [f"127.0.0.1:{port.replace('%i', '1')}"]
    asked = set(chain.from_iterable(re.findall(r'namespace="([^"]*)"', alert["expr"]) for alert in alerts()))
    assert {labels["namespace"] for _, labels in found.values()} == asked

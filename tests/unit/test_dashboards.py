"""The dashboards in the chart are what their code says, and leave no metric out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from helm.dashboards.boards import BOARDS
from helm.dashboards.healthy import BAD_UPLOADS
from helm.dashboards.panels import text_of
from tests.metric_declarations import declared, series_of, told

CHART = Path(__file__).parents[2] / "helm" / "rushes"
ALERTS = (CHART / "templates" / "_alerts.tpl").read_text()


def named_in(text: str) -> set[str]:
    """The names of our series in a text."""
    return set(re.findall(r"\brushes_[a-z0-9_]+", text))


@pytest.mark.parametrize("name", BOARDS)
def test_a_committed_dashboard_is_that_of_the_code(name: str) -> None:
    assert (CHART / "dashboards" / name).read_text() == text_of(BOARDS[name]), "run `make schemas`"


@pytest.mark.parametrize("name", BOARDS)
def test_grafana_can_tell_panels_and_queries_apart(name: str) -> None:
    panels: list[dict[str, Any]] = json.loads(text_of(BOARDS[name]))["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    for panel in panels:
        letters = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(letters)) == len(letters)
        assert panel["type"] == "row" or panel["description"]


def test_every_metric_of_a_dashboard_exists() -> None:
    known = {series for metric in declared() for series in series_of(metric)}
    for board in BOARDS.values():
        for query in board.queries:
            assert named_in(query.expr), query
            assert named_in(query.expr) <= known, query


def test_every_metric_is_in_a_panel_or_an_alert() -> None:
    queries = [query.expr for board in BOARDS.values() for query in board.queries]
    seen = {name for text in [ALERTS, *queries] for name in named_in(text)}
    assert [told(metric).name for metric in declared() if not series_of(metric) & seen] == []


def test_a_dashboard_leaves_out_the_bad_uploads_that_the_alert_leaves_out() -> None:
    assert BAD_UPLOADS in ALERTS

"""Panels as values, and what Grafana makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import TimeZoneBrowser
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType, DataSourceRef

_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT: Final = 8


@dataclass(frozen=True)
class Query:
    """An expression of PromQL. `HERE` in it stands for the labels that choose the release."""

    expr: str
    legend: str = ""

    def for_grafana(self) -> str:
        """As it stands in the dashboard."""
        return self.expr.replace("HERE", 'namespace="$namespace"')


@dataclass(frozen=True)
class Panel:
    """What a panel shows, and what to think of it.

    Attributes:
        unit: in Grafana's words.
        single: one number rather than a graph.
        width: of 24.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    single: bool = False
    width: int = 8


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]

    @property
    def queries(self) -> list[Query]:
        """Those of all panels."""
        return [query for row in self.rows for panel in row.panels for query in panel.queries]


def quantiles(metric: str, by: str, *, where: str = "", window: str = "$__rate_interval") -> list[Query]:
    """The median and the 95th percentile of a histogram."""
    chosen = f"HERE,{where}" if where else "HERE"
    return [
        Query(
            f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket{{{chosen}}}[{window}])))",
            f"{{{{{by}}}}} {name}",
        )
        for share, name in ((0.5, "median"), (0.95, "95 %"))
    ]


def text_of(board: Board) -> str:
    """The dashboard as JSON that Grafana takes."""
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .tags(["rushes"])
        .description(board.description)
        .refresh("1m")
        .time("now-6h", "now")
        .timezone(TimeZoneBrowser)
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("namespace")
            .label("Namespace")
            .datasource(_SOURCE)
            .query("label_values(rushes_slots, namespace)")
        )
        .link(
            dashboard.DashboardLink("Rushes")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["rushes"])
            .keep_time(True)
            .include_vars(True)
        )
    )
    numbers = count(1)
    for row in board.rows:
        builder.with_row(dashboard.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            builder.with_panel(_panel(panel, next(numbers)))
    return JSONEncoder(sort_keys=True, indent=1).encode(builder.build()) + "\n"


def _panel(panel: Panel, number: int) -> stat.Panel | timeseries.Panel:
    made = stat.Panel() if panel.single else timeseries.Panel().min(0)
    made.id(number).title(panel.title).description(panel.description).unit(panel.unit).datasource(_SOURCE)
    made.span(panel.width).height(_HEIGHT // 2 if panel.single else _HEIGHT)
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query.for_grafana()).legend_format(query.legend).ref_id(letter)
        made.with_target(target.instant() if panel.single else target.range())
    return made

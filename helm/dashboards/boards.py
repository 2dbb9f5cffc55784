"""All dashboards, by their file in the chart."""

from __future__ import annotations

from typing import Final

from helm.dashboards.api import API
from helm.dashboards.healthy import HEALTHY
from helm.dashboards.kitsu import KITSU
from helm.dashboards.sites import SITES
from helm.dashboards.where import WHERE

BOARDS: Final = {
    "is_it_healthy.json": HEALTHY,
    "where_is_the_time.json": WHERE,
    "sites.json": SITES,
    "kitsu.json": KITSU,
    "api.json": API,
}

"""Writes the dashboards into the chart."""

from __future__ import annotations

from pathlib import Path

from helm.dashboards.boards import BOARDS
from helm.dashboards.panels import text_of

FOLDER = Path(__file__).parents[1] / "rushes" / "dashboards"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, board in BOARDS.items():
        (FOLDER / name).write_text(text_of(board), encoding="utf-8")

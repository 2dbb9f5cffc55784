"""The runbook has a section for each alert, and what it names exists: commands, panels, pods."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import rushes_kitsu.command_line
import rushes_normalizer.command_line
import rushes_syncer.command_line
import typer.main
import yaml

from helm.dashboards.boards import BOARDS

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
README = (ROOT / "helm" / "rushes" / "README.md").read_text(encoding="utf-8")
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "helm" / "rushes" / "values.yaml").read_text(encoding="utf-8"))
MADE = (ROOT / "helm" / "rushes" / "golden" / "default.yaml").read_text(encoding="utf-8")
ALERTS = set(VALUES["alerts"]["rules"])
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
SITES = (ROOT / "docs" / "sites.md").read_text(encoding="utf-8")
KITSU = re.sub("<id>", "8a3f9a52-4b6e-4f0e-9d3c-0a4c1d2e3f40", (ROOT / "docs" / "kitsu.md").read_text(encoding="utf-8"))
COMMANDS = sorted(
    {
        each.strip()
        for each in re.findall(r"(rushes-(?:normalizer|syncer|kitsu) [a-z][^`#\n]*)", RUNBOOK + SITES + KITSU)
    }
)
APPS = {
    "rushes-normalizer": rushes_normalizer.command_line.app,
    "rushes-syncer": rushes_syncer.command_line.app,
    "rushes-kitsu": rushes_kitsu.command_line.app,
}
NOT_BY_DEFAULT = {"rushes-syncer-lyon", "rushes-kitsu", "rushes-kitsu-follow", "rushes-kitsu-build", "rushes-api"}


def test_there_is_a_section_for_each_alert_and_for_nothing_else() -> None:
    assert set(SECTIONS) == ALERTS


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_says_what_artists_see_where_to_look_what_to_do_and_whom_to_wake(name: str) -> None:
    assert re.findall(r"^\*\*(\w+)\*\*", SECTIONS[name], re.MULTILINE) == ["Artists", "See", "Do", "Wake"]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_runbook_of_sites_or_of_kitsu_is_taken_by_the_command_line(line: str) -> None:
    service, *arguments = line.split()
    command: Any = typer.main.get_command(APPS[service])
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {each for each in arguments if each.startswith("--")} <= known
    if "--help" not in arguments:
        command.make_context(command.name, arguments)


def test_the_panels_that_the_runbook_names_exist() -> None:
    panels = {
        board.title.partition(": ")[2].capitalize(): {panel.title for row in board.rows for panel in row.panels}
        for board in BOARDS.values()
    }
    named = re.findall(r"\*([A-Z][^*>]*)?> ([^*]+)\*", RUNBOOK)
    assert len(named) > 20
    board = ""
    for title, panel in named:
        board = title.strip() or board
        assert panel in panels[board], (board, panel)


def test_the_pods_that_the_runbook_names_are_those_of_the_chart() -> None:
    for deployment in set(re.findall(r"deploy/(\S+)", RUNBOOK)) - NOT_BY_DEFAULT:
        assert f"name: {deployment}\n" in MADE
    for component in set(re.findall(r"component=(\w+)", RUNBOOK)):
        assert f"app.kubernetes.io/component: {component}\n" in MADE


def test_the_rules_for_alertmanager_name_alerts_that_there_are() -> None:
    (block,) = re.findall(r"```yaml\n(inhibit_rules:.*?)```", README, re.DOTALL)
    for rule in yaml.safe_load(block)["inhibit_rules"]:
        named = {
            name
            for matcher in rule["source_matchers"] + rule["target_matchers"]
            for name in re.findall(r"\b[A-Z]\w+", matcher)
        }
        assert named <= ALERTS

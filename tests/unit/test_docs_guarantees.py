"""The guarantees that the documentation promises name tests that exist, and the command that runs each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
# The sign behind a test's name, by the command that runs it; the page explains the signs.
SIGNS: Final = {"test": "", "test-extended": "¹", "contracts": "²", "test-zou": "³", "test-image": "⁴", "chart": "⁵"}
_FOLDERS: Final = {"contracts": "contracts", "zou": "test-zou", "image": "test-image", "chart": "chart"}
_NOT_CORE: Final = re.compile(r"mark\.(extended|alone|apache_kafka)")


def _commands() -> Iterator[tuple[str, str]]:
    """The name of each test, and the target of `make` that runs it."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        folder = _FOLDERS.get(path.relative_to(ROOT / "tests").parts[0])
        marks = [ast.unparse(each) for each in module.body if ast.unparse(each).startswith("pytestmark =")]
        for each in module.body:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name.startswith("test_"):
                # What a parameter is marked with is a variant; the others run.
                own = [ast.unparse(mark) for mark in each.decorator_list if "parametrize" not in ast.unparse(mark)]
                extended = any(map(_NOT_CORE.search, marks + own)) or "browser" in {arg.arg for arg in each.args.args}
                yield each.name, folder or ("test-extended" if extended else "test")


def test_every_test_that_proves_a_guarantee_exists_and_is_run_by_the_command_that_the_page_names() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`([¹²³⁴⁵]?)", page))
    there = {(name, SIGNS[command]) for name, command in _commands()}
    assert len(named) > 30
    assert named - there == set()
    for command, sign in SIGNS.items():
        assert not sign or f"{sign} `make {command}`" in page

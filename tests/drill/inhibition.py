"""The rules that the chart's README gives for Alertmanager, applied as it does."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Any, Final

import yaml

from tests.chart.rendering import CHART

_BLOCK: Final = re.compile(r"```yaml\n(inhibit_rules:.*?)```", re.DOTALL)
_MATCHER: Final = re.compile(r'alertname\s*(=~|=)\s*"?([\w|]+)"?')


def inhibition_rules() -> list[tuple[frozenset[str], frozenset[str]]]:
    """Which alerts keep which others quiet."""
    (block,) = _BLOCK.findall((CHART / "README.md").read_text(encoding="utf-8"))
    rules: list[dict[str, Any]] = yaml.safe_load(block)["inhibit_rules"]
    return [(_names(rule["source_matchers"]), _names(rule["target_matchers"])) for rule in rules]


def inhibited(firing: AbstractSet[str]) -> set[str]:
    """The alerts among those that fire which nobody hears of."""
    return {name for sources, targets in inhibition_rules() if sources & firing for name in targets & firing}


def _names(matchers: list[str]) -> frozenset[str]:
    (matcher,) = matchers
    found = _MATCHER.fullmatch(matcher)
    assert found, matcher
    return frozenset(found[2].split("|"))

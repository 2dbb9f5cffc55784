"""Looking for `missing` in what an API consumer can see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def said(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value inside a JSON value, with its path."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from said(each, f"{path}.{name}")
    elif isinstance(value, list):
        for each in value:
            yield from said(each, f"{path}[]")
    else:
        yield path, value


def where_missing_is_said(value: Any) -> set[str]:
    """Paths of what says `missing`."""
    return {path for path, each in said(json.loads(json.dumps(value))) if each == "missing"}

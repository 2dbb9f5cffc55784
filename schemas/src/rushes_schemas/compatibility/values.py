"""Single values against a schema: for fields whose writer has a list of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from rushes_schemas.compatibility.keywords import Schema

_KNOWN: Final = frozenset({"type", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "pattern"})
_TYPE_OF: Final = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "integer",
    str: "string",
    list: "array",
    dict: "object",
}


def type_of(value: object) -> str:
    """The JSON type of a value; a whole number is an `integer`."""
    if isinstance(value, float) and not value.is_integer():
        return "number"
    return _TYPE_OF[type(value)]


def is_among(value: object, values: Sequence[object]) -> bool:
    """Whether a list has a JSON value: `true` is not `1` there."""
    return json.dumps(value, sort_keys=True) in {json.dumps(each, sort_keys=True) for each in values}


def takes(schema: Schema, value: Any) -> bool:
    """Whether a schema, without references, takes a value; False where that cannot be told."""
    kind = type_of(value)
    types = schema.get("type", kind)
    if not {kind, "number" if kind == "integer" else kind} & ({types} if isinstance(types, str) else set(types)):
        return False
    if not is_among(value, schema.get("enum", [value])) or not is_among(value, [schema.get("const", value)]):
        return False
    if not set(schema) <= _KNOWN:
        return False
    if isinstance(value, str):
        long_enough = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return long_enough and re.search(schema.get("pattern", ""), value) is not None
    if kind in {"integer", "number"}:
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True

"""Keywords of JSON Schema (draft 2020-12): which of them say what a value may be, and how a `$ref` is followed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

# They describe, and refuse nothing.
ANNOTATIONS: Final = frozenset(
    {
        "$schema", "$id", "$anchor", "$comment", "$defs", "version", "title", "description", "default", "examples",
        "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType",
    }
)  # fmt: skip
_SCHEMAS_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_LISTS_OF_SCHEMAS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SCHEMAS: Final = frozenset({"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"})


def without_annotations(schema: Any) -> Any:
    """A schema that takes the same values, all the way down: what two versions must differ in to be two."""
    if not isinstance(schema, Mapping):
        return schema
    plain: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _SCHEMAS_BY_NAME:
            plain[name] = {key: without_annotations(each) for key, each in value.items()}
        elif name in _LISTS_OF_SCHEMAS:
            plain[name] = [without_annotations(each) for each in value]
        elif name in _SCHEMAS:
            plain[name] = without_annotations(value)
        elif name not in ANNOTATIONS:
            plain[name] = value
    return plain


def followed(root: Schema, schema: Any, steps: int = 100) -> Schema:
    """A schema that is neither a boolean nor a mere reference or `allOf` of one; its annotations are left out.

    Raises:
        ValueError: a reference leads out of the schema, nowhere, or to itself.
    """
    if steps == 0:
        msg = "a reference leads to itself"
        raise ValueError(msg)
    if not isinstance(schema, bool | Mapping):
        msg = f"{json.dumps(schema)[:80]} is no schema"
        raise ValueError(msg)
    if schema is True:
        return {}
    if schema is False:
        return {"enum": []}
    own = {name: value for name, value in schema.items() if name not in ANNOTATIONS}
    if set(own) == {"$ref"}:
        return followed(root, _target(root, own["$ref"]), steps - 1)
    if set(own) == {"allOf"} and len(own["allOf"]) == 1:
        return followed(root, own["allOf"][0], steps - 1)
    return own


def _target(root: Schema, reference: str) -> Any:
    found: Any = root
    if reference != "#":
        if not reference.startswith("#/"):
            msg = f"the reference {reference!r} leads out of the schema"
            raise ValueError(msg)
        for part in reference.removeprefix("#/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                msg = f"the reference {reference!r} leads nowhere"
                raise ValueError(msg)
            found = found[name]
    return found

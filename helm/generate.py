"""Writes what is made of the chart's values.yaml and of the services' settings: `python helm/generate.py`.

`values.schema.json` is closed: Helm refuses a value, or a setting, that it does not know, with its name. Each value
needs a comment above it; a last line `# @schema {…}` adds JSON Schema, or one of the words of `_SHORTHANDS`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from rushes_kitsu.settings import KitsuSettings
from rushes_normalizer.api.settings import ApiSettings
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.settings import RuntimeSettings, describe_settings
from rushes_syncer.settings import SyncerSettings

CHART: Final = Path(__file__).parent / "rushes"
Schema = dict[str, Any]

# What the templates set from values of their own.
_SET_BY_CHART: Final = frozenset(
    {
        "INSTANCE",
        "DATABASE_URL",
        "KAFKA__BOOTSTRAP_SERVERS",
        "KAFKA__SECURITY_PROTOCOL",
        "KAFKA__SASL_MECHANISM",
        "KAFKA__SASL_USERNAME",
        "KAFKA__SASL_PASSWORD",
        "KAFKA__SSL_CAFILE",
        "KAFKA__SSL_CERTFILE",
        "KAFKA__SSL_KEYFILE",
        "KAFKA__TOPIC_PREFIX",
        "STORE__KIND",
        "STORE__ROOT",
        "STORE__ENDPOINT_URL",
        "STORE__REGION",
        "STORE__ACCESS_KEY_ID",
        "STORE__SECRET_ACCESS_KEY",
        "STORE__BUCKET_PREFIX",
        "STORE__CONDITIONS",
        "OPERATIONS_HOST",
        "OPERATIONS_PORT",
        "SCRATCH",
        "SLOTS",
        "MAX_SOURCE_BYTES",
        "NOMAD_HOST",
        "NOMAD_PORT",
        "NOMAD_TOKEN",
        "NOMAD_TLS_CERTFILE",
        "NOMAD_TLS_KEYFILE",
        "NOMAD_TLS_CLIENT_CAFILE",
        "ZOU_URL",
        "ZOU_TOKEN",
        "ZOU_DATABASE_URL",
        "API_HOST",
        "API_PORT",
        "API_TLS_CERTFILE",
        "API_TLS_KEYFILE",
        "API_ACCESS",
        "API_ACCESS_FILE",
    }
)
# Settings that the templates compare with other values.
_COMPARED: Final = ("DRAIN_BUDGET", "LEASE", "HEARTBEAT", "JANITOR_INTERVAL", "NOMAD_LINGER", "API_LINGER")

_QUANTITY: Final = r"[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?"
_AMOUNTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
_SHORTHANDS: Final[Mapping[str, Schema]] = {
    "quantity": {"type": "string", "pattern": f"^{_QUANTITY}$"},
    "optional quantity": {"type": "string", "pattern": f"^({_QUANTITY})?$"},
    "duration": {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"},
    "ports": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "names": {"propertyNames": {"pattern": "^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$"}},
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"requests": _AMOUNTS, "limits": _AMOUNTS},
    },
    "spread": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["maxSkew", "topologyKey", "whenUnsatisfiable"],
            "additionalProperties": False,
            "properties": {
                "maxSkew": {"type": "integer", "minimum": 1},
                "minDomains": {"type": "integer", "minimum": 1},
                "topologyKey": {"type": "string"},
                "whenUnsatisfiable": {"enum": ["DoNotSchedule", "ScheduleAnyway"]},
                "nodeAffinityPolicy": {"enum": ["Honor", "Ignore"]},
                "nodeTaintsPolicy": {"enum": ["Honor", "Ignore"]},
            },
        },
    },
}


class UndocumentedError(Exception):
    """A value without a comment, or one whose type its default does not tell."""


@dataclass(frozen=True)
class Value:
    """One value of values.yaml: its path, its default, its comment, and what `@schema` adds."""

    path: str
    default: Any
    description: str
    added: Schema
    inner: tuple[Value, ...]


def read_values(text: str) -> tuple[Value, ...]:
    """The values of a values.yaml, with their comments.

    Raises:
        UndocumentedError: a value has no comment.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return tuple(_values(root, text.splitlines(), ""))


def _values(mapping: yaml.MappingNode, lines: list[str], parent: str) -> Iterator[Value]:
    for key, node in mapping.value:
        path = f"{parent}{key.value}"
        description, added = _comment(lines, key.start_mark.line, path)
        inner = tuple(_values(node, lines, f"{path}.")) if isinstance(node, yaml.MappingNode) else ()
        default = yaml.safe_load(yaml.serialize(node))
        yield Value(path, default, description, added, inner)


def _comment(lines: list[str], line: int, path: str) -> tuple[str, Schema]:
    block: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        block.insert(0, lines[line].strip().removeprefix("#").strip())
    added: Schema = {}
    if block and block[-1].startswith("@schema "):
        added = json.loads(block.pop().removeprefix("@schema "))
    if not block:
        raise UndocumentedError(f"{path} has no comment")
    return " ".join(block), added


def _schema_of(value: Value) -> Schema:
    schema: Schema = {"description": value.description}
    added = dict(value.added)
    if chosen := added.pop("settings", None):
        return {**schema, "type": "object", "additionalProperties": False, "properties": _SETTINGS[chosen]}
    if quantity := added.pop("quantity", None):
        return {**schema, **_SHORTHANDS["optional quantity" if quantity == "optional" else "quantity"]}
    for word, meaning in _SHORTHANDS.items():
        if added.pop(word, False):
            added = {**meaning, **added}
    if "$ref" in added or "resources" in value.added:
        return {**schema, **added}
    match value.default:
        case bool():
            schema["type"] = "boolean"
        case int() | float():
            schema["type"] = "integer" if isinstance(value.default, int) else "number"
        case str():
            schema["type"] = "string"
        case list() if "items" in added:
            schema["type"] = "array"
        case dict() if value.inner or "additionalProperties" in added:
            schema["type"] = "object"
            if value.inner:
                schema["additionalProperties"] = False
                schema["properties"] = {each.path.rpartition(".")[2]: _schema_of(each) for each in value.inner}
        case _:
            raise UndocumentedError(f"{value.path}: its default does not tell its type; say it with @schema")
    return {**schema, **added}


def _setting_schema(field: FieldInfo) -> Schema:
    annotated: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    schema = TypeAdapter(annotated).json_schema()
    definitions = schema.pop("$defs", {})
    choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    choices = [definitions[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in choices]
    found: Schema = dict(choices[0]) if len(choices) == 1 else {"anyOf": choices}
    for word in ("title", "format"):
        found.pop(word, None)
    return {**found, "description": field.description or ""}


def _settings(model: type[BaseModel], without: type[BaseModel] | None = None) -> Schema:
    elsewhere = {name for name, _ in describe_settings(without)} if without else set()
    return {
        name: _setting_schema(field)
        for name, field in describe_settings(model)
        if name not in elsewhere | _SET_BY_CHART and not name.startswith("SITES__")
    }


_SETTINGS: Final[Mapping[str, Schema]] = {
    "runtime": _settings(RuntimeSettings),
    "normalizer": _settings(NormalizerSettings, RuntimeSettings),
    "syncer": _settings(SyncerSettings, RuntimeSettings),
    "kitsu": _settings(KitsuSettings, RuntimeSettings),
    "api": _settings(ApiSettings, RuntimeSettings),
}


def values_schema() -> str:
    """`values.schema.json`. It knows `global`, which Helm gives to every chart that is part of another."""
    values = read_values((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart rushes",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "global": {"type": "object", "description": "Of the chart that this one is part of; not used."},
            **{value.path: _schema_of(value) for value in values},
        },
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def setting_defaults() -> str:
    """`files/setting-defaults.json`: the defaults that the templates compare other values with."""
    described = [*describe_settings(KitsuSettings), *describe_settings(ApiSettings)]
    defaults = {name: field.default for name, field in described if name in _COMPARED}
    return json.dumps({name: defaults[name] for name in _COMPARED}, indent=1) + "\n"


def _rows(value: Value) -> Iterator[str]:
    if value.inner:
        for inner in value.inner:
            yield from _rows(inner)
        return
    default = json.dumps(value.default, ensure_ascii=False)
    yield f"| `{value.path}` | `{default}` | {value.description} |"


_TABLE_BEGINS: Final = "<!-- The table is generated by `make schemas`. -->\n"


def readme() -> str:
    """The chart's README with a table of all values at its end."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    values = read_values((CHART / "values.yaml").read_text(encoding="utf-8"))
    head, _, _ = text.partition(_TABLE_BEGINS)
    rows = [row for value in values for row in _rows(value)]
    return head + _TABLE_BEGINS + "\n".join(["", "| value | default | meaning |", "| --- | --- | --- |", *rows, ""])


DOCUMENTS: Final = {
    "values.schema.json": values_schema,
    "files/setting-defaults.json": setting_defaults,
    "README.md": readme,
}


def main() -> None:
    """Write every generated file."""
    for name, text in DOCUMENTS.items():
        (CHART / name).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()

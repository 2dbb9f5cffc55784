"""What a reader may refuse of what a writer writes, found by comparing their two schemas.

A writer writes the fields that its schema lists, and no others. Where the comparison cannot tell (a keyword that it
does not know, one pattern against another) it says so, as a refusal: what passes is certain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from rushes_schemas.compatibility.keywords import Schema, followed
from rushes_schemas.compatibility.values import takes


class Rule(StrEnum):
    """How a reader can be narrower than a writer."""

    FIELD_NEEDED = "field-needed"
    FIELD_UNKNOWN = "field-unknown"
    TYPE = "type"
    VALUE = "value"
    LENGTH = "length"
    RANGE = "range"
    PATTERN = "pattern"
    FORMAT = "format"
    UNDECIDED = "undecided"
    GONE = "gone"


@dataclass(frozen=True)
class Refusal:
    """A place where a reader may refuse what a writer writes.

    Attributes:
        field: its path, such as `encoding.fps` or `files[].bytes`; empty for the payload itself.
        detail: how the reader is narrower, in words that end a sentence about it.
    """

    field: str
    rule: Rule
    detail: str


# A reader's limit, and the writer's that must be as narrow: (keyword, rule, whether lower is narrower).
_LIMITS: Final = {
    "string": (("minLength", Rule.LENGTH, False), ("maxLength", Rule.LENGTH, True)),
    "number": (
        ("minimum", Rule.RANGE, False),
        ("maximum", Rule.RANGE, True),
        ("exclusiveMinimum", Rule.RANGE, False),
        ("exclusiveMaximum", Rule.RANGE, True),
    ),
    "array": (("minItems", Rule.LENGTH, False), ("maxItems", Rule.LENGTH, True)),
    "object": (("minProperties", Rule.LENGTH, False), ("maxProperties", Rule.LENGTH, True)),
}
# Equal or absent at the reader, or nothing can be told.
_EQUAL: Final = {"string": (("pattern", Rule.PATTERN), ("format", Rule.FORMAT))}
_COMPARED: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "items"}
    | {keyword for limits in _LIMITS.values() for keyword, _, _ in limits}
    | {keyword for equals in _EQUAL.values() for keyword, _ in equals}
)
# They can say more of any type, or list more fields.
_COMPOSED: Final = frozenset(
    {"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if", "patternProperties", "dependentSchemas"}
)
_TYPES: Final = ("string", "number", "boolean", "null", "array", "object")


def refusals(reader: Schema, writer: Schema) -> list[Refusal]:
    """Every place where `reader` may refuse what is written by `writer`; none means that it takes all of it.

    Raises:
        ValueError: a reference in one of them leads out of the schema, or nowhere.
    """
    found = _Comparison(reader, writer).compare(reader, writer, "")
    return list(dict.fromkeys(found))


class _Comparison:
    def __init__(self, reader: Schema, writer: Schema) -> None:
        self._reader = reader
        self._writer = writer
        self._open: set[str] = set()  # pairs that are being compared: types may contain themselves

    def compare(self, reader: Any, writer: Any, field: str) -> Iterator[Refusal]:
        pair = json.dumps([reader, writer], sort_keys=True)
        if pair in self._open:
            return
        self._open.add(pair)
        candidates = list(_alternatives(self._reader, followed(self._reader, reader)))
        for written in _alternatives(self._writer, followed(self._writer, writer)):
            yield from self._by_best(candidates, written, field)
        self._open.remove(pair)

    def _by_best(self, candidates: list[Schema], written: Schema, field: str) -> Iterator[Refusal]:
        """What the reader's alternative that comes nearest refuses."""
        if "const" in written and not any(takes(each, written["const"]) for each in candidates):
            value = json.dumps(written["const"])
            yield Refusal(field, Rule.VALUE, f"does not take {value}")
            return
        answers = [list(self._alone(each, written, field)) for each in candidates]
        if "const" in written or any(not answer for answer in answers):
            return
        nearest = [answer for each, answer in zip(candidates, answers, strict=True) if _same_type(each, written)]
        if nearest:
            yield from min(nearest, key=len)
        else:
            taken = ", ".join(sorted({str(each.get("type", "some values")) for each in candidates})) or "nothing"
            yield Refusal(field, Rule.TYPE, f"takes {taken}, not {written.get('type', 'any type')}")

    def _alone(self, reader: Schema, writer: Schema, field: str) -> Iterator[Refusal]:
        """One alternative against one; `writer` is no single value."""
        if "const" in writer:
            return
        if "const" in reader or "enum" in reader:
            yield Refusal(field, Rule.VALUE, "takes some values only")
            return
        kind = writer.get("type")
        if "type" in reader and not _same_type(reader, writer):
            yield Refusal(field, Rule.TYPE, f"takes {reader['type']}, not {kind or 'any type'}")
            return
        if kind == "number" and reader.get("type") == "integer":
            yield Refusal(field, Rule.TYPE, "takes whole numbers only")
        plain = "number" if kind == "integer" else kind
        for keyword, rule, lower in _LIMITS.get(plain or "", ()):
            yield from _limit(reader, writer, keyword, rule, lower, field)
        for keyword, rule in _EQUAL.get(plain or "", ()):
            if keyword in reader and reader[keyword] != writer.get(keyword):
                had = f", not {json.dumps(writer[keyword])}" if keyword in writer else ""
                yield Refusal(field, rule, f"takes {keyword} {json.dumps(reader[keyword])} only{had}")
        for keyword in sorted(set(reader) - (_COMPARED if kind else set())):
            if reader[keyword] != writer.get(keyword) or "$ref" in json.dumps({keyword: reader[keyword]}):
                yield Refusal(field, Rule.UNDECIDED, f"has `{keyword}`, which is not compared")
        if kind == "array" and "items" in reader:
            yield from self.compare(reader["items"], writer.get("items", True), f"{field}[]")
        if kind == "object":
            yield from self._fields(reader, writer, field)

    def _fields(self, reader: Schema, writer: Schema, field: str) -> Iterator[Refusal]:
        read, written = reader.get("properties", {}), writer.get("properties", {})
        others = reader.get("additionalProperties", True)
        for name in reader.get("required", []):
            if name not in writer.get("required", []):
                yield Refusal(_inside(field, name), Rule.FIELD_NEEDED, "needs it, and it may be left out")
        for name, schema in written.items():
            if name not in read and others is False:
                yield Refusal(_inside(field, name), Rule.FIELD_UNKNOWN, "does not know it, and takes no unknown field")
            else:
                yield from self.compare(read.get(name, others), schema, _inside(field, name))
        # A writer that lists no field, or says what others are, writes a map: any name may come.
        unlisted = writer.get("additionalProperties", True)
        is_map = "properties" not in writer or unlisted is not True or _COMPOSED & set(writer)
        names = [*read, "*"] if is_map else writer.get("required", [])
        for name in names:
            if name not in written and unlisted is not False:
                yield from self.compare(read.get(name, others), unlisted, _inside(field, name))


def _alternatives(root: Schema, schema: Schema) -> Iterator[Schema]:
    """A schema as several of which any may hold: one type each, each listed value for itself."""
    if set(schema) == {"anyOf"}:
        for each in schema["anyOf"]:
            yield from _alternatives(root, followed(root, each))
    elif "enum" in schema:
        rest = {name: value for name, value in schema.items() if name != "enum"}
        for value in schema["enum"]:
            yield {**rest, "const": value}
    elif isinstance(schema.get("type"), list):
        for kind in schema["type"]:
            yield {**schema, "type": kind}
    elif "const" in schema or "type" in schema or _COMPOSED & set(schema):
        yield schema
    else:
        for kind in _TYPES:
            yield {**schema, "type": kind}


def _same_type(reader: Schema, writer: Schema) -> bool:
    kinds = {schema["type"] for schema in (reader, writer) if "type" in schema}
    return "type" in writer and (len(kinds) == 1 or kinds == {"integer", "number"} or "type" not in reader)


def _limit(reader: Schema, writer: Schema, keyword: str, rule: Rule, lower: bool, field: str) -> Iterator[Refusal]:
    if keyword not in reader:
        return
    limit, held = reader[keyword], writer.get(keyword)
    if held is None or (held > limit if lower else held < limit):
        yield Refusal(field, rule, f"has {keyword} {limit}, not {'none' if held is None else held}")


def _inside(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name

"""Where the comparison finds no refusal, the reader's schema takes whatever the writer's allows: by the standard's
own validator, over random pairs of schemas."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from rushes_schemas.compatibility import refusals

Schema = dict[str, Any]

NAMES = ("a", "b")
SMALL = st.integers(0, 3)


def limited(kind: str, low: str, high: str) -> st.SearchStrategy[Schema]:
    """A type with or without a lower and an upper limit, which leave something."""
    both = st.tuples(SMALL, SMALL).map(sorted).map(lambda pair: {low: pair[0], high: pair[1]})
    one = st.fixed_dictionaries({}, optional={low: st.just(1)}) | st.fixed_dictionaries({}, optional={high: SMALL})
    return (both | one).map(lambda limits: {"type": kind, **limits})


LEAVES = st.one_of(
    limited("string", "minLength", "maxLength"),
    limited("integer", "minimum", "maximum"),
    limited("number", "minimum", "maximum"),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": "x"}, {"const": 1}, {"const": True}]),
    st.lists(st.sampled_from(["x", "yy", 1, 2.5, None, True]), min_size=1, max_size=3).map(lambda it: {"enum": it}),
    st.sampled_from([{"type": ["string", "null"]}, {"type": ["integer", "boolean"]}]),
)


def composed(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Alternatives, lists, and objects that are open, closed or maps."""
    fields = st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)
    objects = st.builds(
        lambda properties, required, others: {
            "type": "object", "properties": properties, "required": sorted(required), **others,
        },
        fields,
        st.sets(st.sampled_from(NAMES)),
        st.just({}) | st.just({"additionalProperties": False}) | inner.map(lambda each: {"additionalProperties": each}),
    )  # fmt: skip
    return st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(lambda each: {"anyOf": each}),
        inner.map(lambda each: {"type": "array", "items": each, "maxItems": 2}),
        inner.map(lambda each: {"allOf": [each]}),
        objects,
    )


SCHEMAS = st.recursive(LEAVES, composed, max_leaves=5)


@st.composite
def changed(draw: st.DrawFn, schema: Schema) -> Schema:
    """A schema like another: at one place a keyword is gone, or a part is replaced."""
    new: Schema = copy.deepcopy(schema)
    here: Any = new
    while True:
        inside = [each for each in (here.values() if isinstance(here, dict) else here) if isinstance(each, dict | list)]
        if not inside or draw(st.booleans()):
            break
        here = draw(st.sampled_from(inside))
    if isinstance(here, list):
        if len(here) > 1 and not all(isinstance(each, dict) for each in here):
            here.pop()
    elif here and draw(st.booleans()):
        here.pop(draw(st.sampled_from(sorted(here))))
    elif "type" in here or "const" in here:
        other = draw(SCHEMAS)
        here.clear()
        here.update(other)
    return new


PAIRS = st.tuples(SCHEMAS, SCHEMAS) | SCHEMAS.flatmap(lambda each: st.tuples(st.just(each), changed(each)))


@st.composite
def written_by(draw: st.DrawFn, schema: Any) -> Any:  # noqa: PLR0911 - one for each kind of schema
    """A value as a writer with this schema writes it: of the fields that it lists, and in a map of any."""
    if "allOf" in schema:
        return draw(written_by(schema["allOf"][0]))
    if "anyOf" in schema:
        return draw(written_by(draw(st.sampled_from(schema["anyOf"]))))
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    kinds = schema.get("type", ["string", "integer", "number", "boolean", "null", "array", "object"])
    match draw(st.sampled_from(kinds)) if isinstance(kinds, list) else kinds:
        case "string":
            return draw(st.text("xy", min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 4)))
        case "integer":
            return draw(st.integers(schema.get("minimum", -2), schema.get("maximum", 5)))
        case "number":
            return draw(st.floats(schema.get("minimum", -2), schema.get("maximum", 5)))
        case "boolean":
            return draw(st.booleans())
        case "null":
            return None
        case "array":
            return draw(st.lists(written_by(schema.get("items", {})), max_size=schema.get("maxItems", 2)))
    listed = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    names = {name for name in listed if name in schema.get("required", []) or draw(st.booleans())}
    names |= set(schema.get("required", []))
    if others is not False and ("properties" not in schema or others is not True):
        names |= draw(st.sets(st.sampled_from([*NAMES, "other"])))
    unlisted = {} if others is True else others
    return {name: draw(written_by(listed.get(name, unlisted or {}))) for name in sorted(names)}


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data(), pair=PAIRS)
def test_what_passes_is_certain(data: st.DataObject, pair: tuple[Schema, Schema]) -> None:
    reader, writer = pair
    if refusals(reader, writer):
        event("refused")
        return
    event("taken")
    value = data.draw(written_by(writer))
    if Draft202012Validator(writer).is_valid(value):
        assert Draft202012Validator(reader).is_valid(value)


@given(schema=SCHEMAS)
def test_a_reader_takes_what_its_own_version_writes(schema: Schema) -> None:
    assert refusals(schema, copy.deepcopy(schema)) == []

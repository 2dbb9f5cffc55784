"""Every way in which one reader can be narrower than a writer, by name and field."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from rushes_schemas import CONTRACTS, Contract
from rushes_schemas.compatibility import Compatibility, Reader, Rule, verdict

Schema = dict[str, Any]

BASE: Schema = {
    "$id": "urn:rushes:sample:1.0",
    "$defs": {
        "Wishes": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"width": {"anyOf": [{"type": "integer", "minimum": 2, "maximum": 16384}, {"type": "null"}]}},
        },
        "Kind": {"type": "string", "enum": ["movie", "picture"]},
    },
    "type": "object",
    "required": ["id", "kind"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "kind": {"$ref": "#/$defs/Kind"},
        "name": {"anyOf": [{"type": "string", "maxLength": 250}, {"type": "null"}], "default": None},
        "duration": {"type": "number"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "data": {"type": "object"},
        "wishes": {"anyOf": [{"$ref": "#/$defs/Wishes"}, {"type": "null"}]},
        "files": {
            "type": "array",
            "items": {"type": "object", "required": ["key"], "properties": {"key": {"type": "string"}}},
        },
    },
}


def properties(schema: Schema) -> Schema:
    found: Schema = schema["properties"]
    return found


def changed(change: Callable[[Schema], object]) -> Schema:
    """The next version of the sample."""
    new = copy.deepcopy(BASE)
    new["$id"] = "urn:rushes:sample:1.1"
    change(new)
    return new


@pytest.mark.parametrize(
    ("change", "reader", "field", "rule"),
    [
        (lambda new: new["required"].append("name"), Reader.NEW, "name", Rule.FIELD_NEEDED),
        (lambda new: new["required"].remove("kind"), Reader.OLD, "kind", Rule.FIELD_NEEDED),
        (lambda new: (properties(new).pop("kind"), new["required"].pop()), Reader.OLD, "kind", Rule.FIELD_NEEDED),
        (lambda new: properties(new)["duration"].update(type="integer"), Reader.NEW, "duration", Rule.TYPE),
        (lambda new: properties(new)["duration"].update(type="string"), Reader.OLD, "duration", Rule.TYPE),
        (lambda new: properties(new)["name"]["anyOf"].pop(), Reader.NEW, "name", Rule.TYPE),
        (lambda new: properties(new)["name"]["anyOf"][0].update(maxLength=80), Reader.NEW, "name", Rule.LENGTH),
        (lambda new: properties(new)["name"]["anyOf"][0].pop("maxLength"), Reader.OLD, "name", Rule.LENGTH),
        (lambda new: properties(new)["id"].update(pattern="^sh"), Reader.NEW, "id", Rule.PATTERN),
        (lambda new: properties(new)["id"].pop("format"), Reader.OLD, "id", Rule.FORMAT),
        (lambda new: new["$defs"]["Kind"]["enum"].append("file"), Reader.OLD, "kind", Rule.VALUE),
        (lambda new: new["$defs"]["Kind"]["enum"].pop(), Reader.NEW, "kind", Rule.VALUE),
        (lambda new: new["$defs"]["Kind"].pop("enum"), Reader.OLD, "kind", Rule.VALUE),
        (
            lambda new: new["$defs"]["Wishes"]["properties"].update(mood={"type": "string"}),
            Reader.OLD,
            "wishes.mood",
            Rule.FIELD_UNKNOWN,
        ),
        (
            lambda new: new["$defs"]["Wishes"]["properties"]["width"]["anyOf"][0].update(maximum=4096),
            Reader.NEW,
            "wishes.width",
            Rule.RANGE,
        ),
        (lambda new: new.update(additionalProperties=False, properties={}), Reader.NEW, "files", Rule.FIELD_UNKNOWN),
        (
            lambda new: properties(new)["files"]["items"]["properties"]["key"].update(minLength=1),
            Reader.NEW,
            "files[].key",
            Rule.LENGTH,
        ),
        (
            lambda new: properties(new)["labels"].update(additionalProperties={"type": "string", "maxLength": 9}),
            Reader.NEW,
            "labels.*",
            Rule.LENGTH,
        ),
        (
            lambda new: properties(new)["data"].update(properties={"take": {"type": "integer"}}),
            Reader.NEW,
            "data.take",
            Rule.TYPE,
        ),
        (
            lambda new: (properties(new).pop("kind"), properties(new).pop("name")),  # still required, of any type
            Reader.OLD,
            "kind",
            Rule.VALUE,
        ),
        (lambda new: properties(new)["files"].update(maxItems=9), Reader.NEW, "files", Rule.LENGTH),
        (lambda new: properties(new)["files"].update(uniqueItems=True), Reader.NEW, "files", Rule.UNDECIDED),
    ],
)  # fmt: skip
def test_a_break_names_the_reader_the_field_and_the_rule(
    change: Callable[[Schema], object], reader: Reader, field: str, rule: Rule
) -> None:
    found = verdict("sample", BASE, changed(change))
    assert (reader, field, rule) in {(each.reader, each.field, each.rule) for each in found.breaks}
    # The same change taken back breaks the other side.
    back = verdict("sample", changed(change), BASE)
    assert {(each.reader, each.field, each.rule) for each in back.breaks} == {
        (Reader.OLD if each.reader is Reader.NEW else Reader.NEW, each.field, each.rule) for each in found.breaks
    }


@pytest.mark.parametrize(
    ("change", "result"),
    [
        (lambda _: None, Compatibility.FULL),
        (lambda new: properties(new).update(mood={"type": "string"}), Compatibility.FULL),
        (lambda new: properties(new).pop("name"), Compatibility.FULL),
        (lambda new: properties(new)["name"].update(description="Of the file.", default=""), Compatibility.FULL),
        (lambda new: new["required"].remove("kind"), Compatibility.BACKWARD),
        (lambda new: new["$defs"]["Kind"]["enum"].append("file"), Compatibility.BACKWARD),
        (lambda new: new["$defs"]["Wishes"]["properties"].update(mood={}), Compatibility.BACKWARD),
        (lambda new: new["required"].append("name"), Compatibility.FORWARD),
        (lambda new: new["$defs"]["Wishes"]["properties"].pop("width"), Compatibility.FORWARD),
        (lambda new: properties(new)["duration"].update(type="string"), Compatibility.NONE),
    ],
)
def test_results_have_names(change: Callable[[Schema], object], result: Compatibility) -> None:
    assert verdict("sample", BASE, changed(change)).result is result


def test_a_schema_that_is_gone_breaks_new_readers() -> None:
    found = verdict("sample", BASE, None)
    assert [(each.reader, each.rule) for each in found.breaks] == [(Reader.NEW, Rule.GONE)]
    assert verdict("sample", None, BASE).result is Compatibility.ADDED


def test_a_change_needs_a_version_of_its_own() -> None:
    grown = changed(lambda new: properties(new).update(mood={"type": "string"}))
    assert not verdict("sample", BASE, grown).unversioned
    assert verdict("sample", BASE, {**grown, "$id": BASE["$id"]}).unversioned
    described = changed(lambda new: properties(new)["name"].update(description="Of the file."))
    assert not verdict("sample", BASE, {**described, "$id": BASE["$id"]}).unversioned


def test_a_type_may_contain_itself() -> None:
    tree: Schema = {"type": "object", "properties": {"child": {"$ref": "#"}, "size": {"type": "integer"}}}
    narrower: Schema = {"type": "object", "properties": {"child": {"$ref": "#"}, "size": {"type": "null"}}}
    assert verdict("tree", tree, copy.deepcopy(tree)).result is Compatibility.FULL
    assert {each.field for each in verdict("tree", tree, narrower).breaks} == {"size", "child.size"}


@pytest.mark.parametrize("reference", ["#/$defs/Gone", "https://studio.example/schema.json", "#"])
def test_a_reference_that_leads_nowhere_is_an_error(reference: str) -> None:
    with pytest.raises(ValueError, match="reference"):
        verdict("sample", {"$ref": reference}, BASE)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_our_events_are_fully_compatible_with_themselves(contract: Contract) -> None:
    schema = contract.model.model_json_schema()
    found = verdict(contract.name, schema, copy.deepcopy(schema))
    assert (found.result, found.unversioned) == (Compatibility.FULL, False)

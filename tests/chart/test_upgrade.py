"""An upgrade from the previous version of the chart, which is kept as a package in `helm/released`."""

from __future__ import annotations

import difflib
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm_binaries import ROOT
from tests.chart.rendering import CHART, VALUES, Object, RefusedError, objects_of, rendered, template

DIFFERENCE = CHART / "golden" / "upgrade.diff"


def numbers(version: str) -> tuple[int, ...]:
    """A version as its numbers."""
    return tuple(int(number) for number in version.split("."))


def released() -> dict[str, Path]:
    """The released packages by version, oldest first."""
    packages = {path.stem.removeprefix("rushes-"): path for path in (ROOT / "helm" / "released").glob("*.tgz")}
    return {version: packages[version] for version in sorted(packages, key=numbers)}


PREVIOUS = list(released().values())[-1]


def test_a_chart_that_is_not_released_has_a_newer_version() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert numbers(version) > numbers(list(released())[-1])


def lines(objects: tuple[Object, ...]) -> list[str]:
    """Objects as text that does not tell versions and the order of keys apart."""
    found = []
    for each in sorted(objects, key=lambda each: (each["kind"], each["metadata"]["name"])):
        text = f"--- {each['kind']}/{each['metadata']['name']}\n{yaml.safe_dump(each)}"
        text = re.sub(r"(helm.sh/chart: rushes-|checksum/\w+: |-migrate-)[0-9a-f.]+", r"\1…", text)
        found += text.splitlines(keepends=True)
    return found


def test_what_an_upgrade_of_the_default_changes_is_what_was_looked_at() -> None:
    before = lines(objects_of(template("4.3", PREVIOUS, VALUES["default"])))
    changed = difflib.unified_diff(before, lines(rendered("4.3", "default")), PREVIOUS.stem, "now", n=4)
    difference = "".join(changed) or "nothing\n"
    if os.environ.get("GOLDEN") == "write":
        DIFFERENCE.write_text(difference)
    assert DIFFERENCE.read_text() == difference, "if this is what you want: make chart GOLDEN=write"


def fixed(objects: tuple[Object, ...]) -> dict[tuple[str, str], Any]:
    """What Kubernetes lets nobody change, by kind and name."""
    found: dict[tuple[str, str], Any] = {}
    for each in objects:
        place = each["kind"], each["metadata"]["name"]
        match each["kind"]:
            case "Deployment":
                found[place] = each["spec"]["selector"]
            case "Job":
                found[place] = each["spec"]["template"]
            case "PriorityClass":
                found[place] = (each["value"], each["preemptionPolicy"])
            case "KafkaTopic":
                found[place] = each["spec"]["topicName"]
    return found


def test_an_upgrade_changes_nothing_that_cannot_be_changed_and_takes_no_deployment_or_topic_away() -> None:
    compared = 0
    for values, path in VALUES.items():
        try:
            before = fixed(objects_of(template("4.3", PREVIOUS, path)))
        except RefusedError:  # it has a value that is new
            continue
        after = fixed(rendered("4.3", values))
        both = before.keys() & after.keys()
        assert {place: before[place] for place in both} == {place: after[place] for place in both}, values
        kept = [place for place in before if place[0] != "Job" and place not in after]
        assert kept == [], values
        compared += 1
    assert compared >= len(VALUES) / 2


def paths(schema: Object, whole: Object, parent: str = "") -> Iterator[str]:
    """The path of every value that a schema knows; pools and sites are `*`."""
    if reference := schema.get("$ref"):
        schema = whole
        for step in reference.removeprefix("#/").split("/"):
            schema = schema[step]
    inner = dict(schema.get("properties", {}))
    if isinstance(schema.get("additionalProperties"), dict):
        inner["*"] = schema["additionalProperties"]
    for name, each in inner.items():
        yield f"{parent}{name}"
        yield from paths(each, whole, f"{parent}{name}.")


def test_values_of_the_previous_version_are_still_known() -> None:
    with tarfile.open(PREVIOUS) as package:
        file = package.extractfile("rushes/values.schema.json")
        assert file
        before = yaml.safe_load(file.read())
    after = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert sorted(set(paths(before, before)) - set(paths(after, after))) == []


@pytest.mark.parametrize("lost", ["topicPrefix", "slots"])
def test_a_lost_value_would_be_seen(lost: str) -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert any(path.endswith(f".{lost}") for path in paths(schema, schema))

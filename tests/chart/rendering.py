"""The chart as Helm renders it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.chart.helm_binaries import ROOT, helm_binary

CHART: Final = ROOT / "helm" / "rushes"
VALUES: Final = {path.stem: path for path in sorted((CHART / "ci").glob("*.yaml"))}

Object = dict[str, Any]


class RefusedError(Exception):
    """Helm did not render; the text is what it said."""


@cache
def rendered_text(version: str, values: str) -> str:
    """What `helm template` prints for a file of `ci/`."""
    return template(version, CHART, VALUES[values])


@cache
def rendered(version: str, values: str) -> tuple[Object, ...]:
    """The objects that `helm template` prints for a file of `ci/`."""
    return objects_of(rendered_text(version, values))


def render(values: Mapping[str, Any], version: str = "4.3", chart: Path = CHART) -> tuple[Object, ...]:
    """The objects for values that a test makes.

    Args:
        chart: a folder, or a package.

    Raises:
        RefusedError: by the schema or by a sentence of the chart.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        return objects_of(template(version, chart, Path(file.name)))


def template(version: str, chart: Path, values: Path) -> str:
    """What `helm template` prints.

    Raises:
        RefusedError: by the schema or by a sentence of the chart.
    """
    return _run(version, "template", "rushes", str(chart), "--namespace", "studio", "--values", str(values))


def lint(version: str, values: str) -> str:
    """What `helm lint --strict` says.

    Raises:
        RefusedError: it found something.
    """
    return _run(version, "lint", "--strict", str(CHART), "--namespace", "studio", "--values", str(VALUES[values]))


@dataclass(frozen=True)
class Pod:
    """A pod that the chart makes, by whom."""

    owner: str
    metadata: Object
    spec: Object

    @property
    def containers(self) -> list[Object]:
        """All containers, those of the beginning first."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def pods(objects: tuple[Object, ...]) -> Iterator[Pod]:
    """Every pod, of Deployments, Jobs and tests."""
    for each in objects:
        owner = f"{each['kind']}/{each['metadata']['name']}"
        if each["kind"] == "Pod":
            yield Pod(owner, each["metadata"], each["spec"])
        elif template := each.get("spec", {}).get("template"):
            yield Pod(owner, template["metadata"], template["spec"])


def find(objects: tuple[Object, ...], kind: str, name: str = "") -> Object:
    """The only object of a kind (and name)."""
    (found,) = (each for each in objects if each["kind"] == kind and name in {"", each["metadata"]["name"]})
    return found


def objects_of(text: str) -> tuple[Object, ...]:
    """The objects in what Helm prints."""
    return tuple(each for each in yaml.safe_load_all(text) if each)


def _run(version: str, *arguments: str) -> str:
    ran = subprocess.run([helm_binary(version), *arguments], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RefusedError(f"{ran.stderr}{ran.stdout}")
    return ran.stdout

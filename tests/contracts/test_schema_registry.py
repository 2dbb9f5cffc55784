"""What docs/publishers.md says of schema registries, against one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import pytest
from rushes_schemas import CONTRACTS

from tests.contracts.schema_registry import lacking, schema_registry

_CLONE: Final = Path(__file__).parents[2]
_SCHEMAS: Final = Path("schemas/src/rushes_schemas/json")
LACKING: Final = lacking()
pytestmark = pytest.mark.skipif(LACKING is not None, reason=LACKING or "")


def _register(registry: str, folder: Path) -> None:
    """Run the commands of the page."""
    page = (_CLONE / "docs" / "publishers.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## A schema registry\n(.*)", page, re.MULTILINE | re.DOTALL)
    (commands,) = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    environment = {**os.environ, "REGISTRY": registry}
    bash = ["bash", "-euo", "pipefail", "-c", commands]
    ran = subprocess.run(bash, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _ask(registry: str, path: str, **to_put: str) -> Any:
    body = json.dumps(to_put).encode() if to_put else None
    request = Request(f"{registry}{path}", body, {"Content-Type": "application/json"}, method="PUT" if body else "GET")
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_each_event_is_registered_by_its_type_and_so_is_the_next_release(tmp_path: Path) -> None:
    with schema_registry(tmp_path / "registry.log") as registry:
        shutil.copytree(_CLONE / _SCHEMAS, tmp_path / _SCHEMAS)
        schemas = {contract.type: tmp_path / _SCHEMAS / f"{contract.name}.v1.json" for contract in CONTRACTS}
        _register(registry, tmp_path)
        for subject in schemas:  # as Confluent's is by default
            _ask(registry, f"/config/{subject}", compatibility="BACKWARD")
        _register(registry, tmp_path)  # what is there already stays
        assert set(_ask(registry, "/subjects")) == set(schemas)
        for subject, path in schemas.items():
            held = _ask(registry, f"/subjects/{subject}/versions/latest")
            assert (held["version"], held["schemaType"]) == (1, "JSON")
            assert json.loads(held["schema"]) == json.loads(path.read_text())

        for path in schemas.values():
            schema = json.loads(path.read_text())
            schema["properties"]["of_the_next_release"] = {"type": "string"}
            path.write_text(json.dumps(schema))
        _register(registry, tmp_path)
        for subject in schemas:
            assert _ask(registry, f"/subjects/{subject}/versions") == [1, 2]

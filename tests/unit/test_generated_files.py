"""What is generated and committed is what the code says now."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import rushes_schemas
from rushes_schemas import CONTRACTS, Contract
from rushes_schemas.json_schemas import schema_file, schema_text
from rushes_schemas.typescript import typescript_text

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_committed_json_schemas_are_those_of_the_models(contract: Contract) -> None:
    committed = Path(rushes_schemas.__file__).parent / "json" / schema_file(contract)
    assert committed.read_text() == schema_text(contract), "run `make schemas`"


def test_committed_types_for_web_clients_are_those_of_the_models() -> None:
    assert (ROOT / "schemas" / "typescript" / "rushes.ts").read_text() == typescript_text(), "run `make schemas`"


@pytest.mark.parametrize("folder", ["docs", "helm/rushes"])
def test_generated_documents_are_up_to_date(folder: str) -> None:
    script = ROOT / folder.partition("/")[0] / "generate.py"
    spec = importlib.util.spec_from_file_location(f"generate_{script.parent.name}", script)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module
    spec.loader.exec_module(module)
    for name, text in module.DOCUMENTS.items():
        assert (ROOT / folder / name).read_text() == text(), f"{folder}/{name}: run `make schemas`"

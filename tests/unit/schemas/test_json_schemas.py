"""The committed JSON Schemas take what the models take."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rushes_schemas import CONTRACTS, Contract
from rushes_schemas.json_schemas import schema_file

from tests.unit.schemas.event_samples import PAYLOADS

COMMITTED = files("rushes_schemas") / "json"
BY_NAME = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)


def _validator(contract: Contract) -> Draft202012Validator:
    schema: dict[str, Any] = json.loads((COMMITTED / schema_file(contract)).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_no_schema_of_a_contract_that_is_gone_is_left() -> None:
    assert {entry.name for entry in COMMITTED.iterdir()} == {schema_file(contract) for contract in CONTRACTS}


@BY_NAME
def test_a_schema_has_the_name_that_events_carry_and_its_version(contract: Contract) -> None:
    schema = json.loads((COMMITTED / schema_file(contract)).read_text(encoding="utf-8"))
    assert ("ce_dataschema", schema["$id"].encode()) in contract.headers
    assert schema["$id"].endswith(f"{contract.name}:{schema['version']}")


@BY_NAME
def test_a_full_event_fits_its_schema(contract: Contract) -> None:
    _validator(contract).validate(PAYLOADS[contract.name])


@BY_NAME
def test_what_the_model_writes_fits_its_schema(contract: Contract) -> None:
    event = contract.model.model_validate(PAYLOADS[contract.name])
    _validator(contract).validate(json.loads(event.model_dump_json()))


@pytest.mark.parametrize(
    "change",
    [
        {"extension": "mpegts4"},
        {"revision": 2**31},
        {"name": "x" * 251},
        {"preview_file_id": 10},
        {"uploaded_at": None},
        {"source": {"bucket": "secrets", "key": "a-b"}},
        {"encoding": {"bitrate": "5M"}},
        {"encoding": {"fps": "film"}},
        {"encoding": {"highdef_bitrate": "28"}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_model_refuses(change: dict[str, Any]) -> None:
    contract = CONTRACTS[0]
    assert not _validator(contract).is_valid({**PAYLOADS[contract.name], **change})

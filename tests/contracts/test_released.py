"""What was ever released: its events are read for ever, its readers read what is written today."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from jsonschema import Draft202012Validator
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC
from rushes_runtime.envelopes import read_event
from rushes_schemas import CONTRACTS, Contract
from rushes_schemas.compatibility.command import compare, main
from rushes_schemas.json_schemas import main as write_schemas
from rushes_schemas.json_schemas import schema_file

from tests.contracts.freeze import EVENTS, RELEASED, records

VERSIONS = sorted(
    (folder.name for folder in RELEASED.iterdir()), key=lambda name: [int(part) for part in name.split(".")]
)
EVERY_VERSION = pytest.mark.parametrize("version", VERSIONS)
BY_TYPE = {contract.type: contract for contract in CONTRACTS}


@pytest.fixture
def today(tmp_path: Path) -> Path:
    """The schemas of the models as they are."""
    write_schemas(tmp_path / "today")
    return tmp_path / "today"


def old_records(version: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RELEASED / version / EVENTS).read_text(encoding="utf-8").splitlines()]


def test_the_last_release_and_today_read_each_other(today: Path) -> None:
    problems = [
        f"{each.name}: {problem}"
        for each in compare(RELEASED / VERSIONS[-1], today)
        for problem in [
            *(found.sentence for found in each.breaks),
            *(["$id is not raised"] if each.unversioned else []),
        ]
    ]
    assert not problems, "rushes-schemas check says it field by field"


@EVERY_VERSION
def test_its_schemas_are_there_with_events_of_each(version: str) -> None:
    names = {re.sub(r"\.json$", "", path.name) for path in (RELEASED / version).glob("*.json")}
    types = {record["headers"]["ce_type"] for record in old_records(version)}
    assert types == {f"rushes.{name}" for name in names}
    for record in old_records(version):
        schema = json.loads(
            (RELEASED / version / f"{record['headers']['ce_type'].removeprefix('rushes.')}.json").read_text()
        )
        Draft202012Validator(schema).validate(record["value"])
        assert record["headers"]["ce_dataschema"] == schema["$id"]


@EVERY_VERSION
def test_its_events_are_read_for_ever(version: str) -> None:
    for record in old_records(version):
        contract = BY_TYPE[record["headers"]["ce_type"]]
        event = contract.model.model_validate_json(json.dumps(record["value"]))
        written = json.loads(event.model_dump_json())
        assert {name: written[name] for name in record["value"]} == record["value"], "a value is read as another"


@EVERY_VERSION
def test_intake_takes_its_records_in(version: str) -> None:
    ours = [contract for contracts in CONTRACTS_BY_TOPIC.values() for contract in contracts]
    taken = [record for record in old_records(version) if record["headers"]["ce_type"] in {each.type for each in ours}]
    assert {record["headers"]["ce_type"] for record in taken} == {each.type for each in ours}
    for record in taken:
        headers = [(name, value.encode()) for name, value in record["headers"].items()]
        value = json.dumps(record["value"]).encode()
        kept: Any = ConsumerRecord("t", 0, 0, 0, 0, record["key"].encode(), value, None, 0, len(value), headers)
        assert read_event(kept, ours).event_id == record["headers"]["ce_id"]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_old_schemas_take_what_is_written_today(contract: Contract) -> None:
    for version in VERSIONS:
        path = RELEASED / version / schema_file(contract)
        if path.exists():
            for record in records(contract):
                Draft202012Validator(json.loads(path.read_text(encoding="utf-8"))).validate(record["value"])


def test_the_last_releases_schemas_are_those_that_went_out_with_its_services() -> None:
    archive = RELEASED.parents[1] / "tests" / "end_to_end" / "released" / f"rushes-{VERSIONS[-1]}.tar.xz"
    with tarfile.open(archive) as packed:
        sent = {
            Path(member.name).name: packed.extractfile(member)
            for member in packed
            if re.search(r"/rushes_schemas/json/[^/]+\.json$", member.name)
        }
        assert {name: file.read() for name, file in sent.items() if file} == {
            path.name: path.read_bytes() for path in (RELEASED / VERSIONS[-1]).glob("*.json")
        }


def spoil(folder: Path, contract: Contract, **changes: Any) -> None:
    path = folder / schema_file(contract)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_command_says_what_breaks_which_reader(today: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = str(RELEASED / VERSIONS[-1])
    assert main(["check", old, str(today)]) == 0
    said = capsys.readouterr().out
    assert said.count(": full (") == len(list((RELEASED / VERSIONS[-1]).glob("*.v*.json")))
    assert said.count(": full (") + said.count(": added (") == len(CONTRACTS)
    (contract,) = (each for each in CONTRACTS if each.name == "renormalize-requested")
    spoil(today, contract, **{"$id": "urn:next", "required": ["preview_file_id", "reason", "requested_by", "priority"]})
    assert main(["check", old, str(today)]) == 1
    told = capsys.readouterr().out
    assert "renormalize-requested.v1: forward (" in told
    assert "new readers: priority: needs it, and it may be left out" in told
    assert main(["check", old, str(today), "--require", "forward"]) == 0
    capsys.readouterr()
    files = [str(folder / schema_file(contract)) for folder in (RELEASED / VERSIONS[-1], today)]
    assert main(["check", *files, "--json"]) == 1
    (verdict,) = json.loads(capsys.readouterr().out)
    assert verdict["breaks"][0] | {"detail": ""} == {
        "reader": "new",
        "field": "priority",
        "rule": "field-needed",
        "detail": "",
    }


def test_the_command_wants_a_new_version_for_a_change(today: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(today, CONTRACTS[0], maxProperties=100, minProperties=0)
    assert main(["check", str(RELEASED / VERSIONS[-1]), str(today), "--require", "forward"]) == 1
    assert "raise the minor version" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"), [("{", "broken.json"), ("[]", "is no JSON Schema"), ('{"$ref": "x.json"}', "leads out")]
)
def test_what_is_no_schema_is_an_error_of_its_own(
    tmp_path: Path, today: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.json").write_text(text)
    assert main(["check", str(today / schema_file(CONTRACTS[0])), str(tmp_path / "broken.json")]) == 2
    assert said in capsys.readouterr().err
    assert main(["check", str(today), str(tmp_path / "none")]) == 2

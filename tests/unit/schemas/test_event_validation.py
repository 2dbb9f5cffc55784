"""Events are as narrow as the columns that keep them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from rushes_schemas import CONTRACTS, Contract, PreviewUploaded, StatusChanged, StoredFile

from tests.unit.schemas.event_samples import PAYLOADS, PREVIEW_ID, STORED

BY_NAME = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)


@BY_NAME
def test_a_full_event_survives_a_round_trip(contract: Contract) -> None:
    event = contract.model.model_validate(PAYLOADS[contract.name])
    assert contract.model.model_validate_json(event.model_dump_json()) == event
    assert set(PAYLOADS[contract.name]) == set(contract.model.model_fields), "the sample lacks a field"


@BY_NAME
def test_a_field_of_a_later_version_is_ignored(contract: Contract) -> None:
    event = contract.model.model_validate({**PAYLOADS[contract.name], "mood": "grim"})
    assert event == contract.model.model_validate(PAYLOADS[contract.name])


@BY_NAME
def test_every_event_needs_its_preview(contract: Contract) -> None:
    payload = {name: value for name, value in PAYLOADS[contract.name].items() if name != "preview_file_id"}
    with pytest.raises(ValidationError, match="preview_file_id"):
        contract.model.model_validate(payload)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("preview_file_id", "shot-010"),
        ("preview_file_id", 10),
        ("extension", "mpegts4"),
        ("extension", ""),
        ("extension", "m/4"),
        ("extension", "mp4\n"),
        ("extension", 4),
        ("uploaded_at", "yesterday"),
        ("uploaded_at", "2026-01-02T03:04:05"),
        ("uploaded_at", "0001-01-01T00:00:00+14:00"),
        ("uploaded_at", "9999-12-31T23:59:59-14:00"),
        ("name", "sh\x0010"),
        ("name", "x" * 251),
        ("original_name", "sh\x0010.mov"),
        ("revision", 2**31),
        ("revision", -1),
        ("position", 1.5),
        ("upload_generation", 2**63),
        ("project_id", "none"),
        ("source", {"bucket": "secrets", "key": "a-b"}),
        ("source", {"bucket": "movies", "key": "../../etc/passwd"}),
        ("source", {"bucket": "movies", "key": "a/./b"}),
        ("source", {"bucket": "movies", "key": "a//b"}),
        ("source", {"bucket": "movies", "key": "/a"}),
        ("source", {"bucket": "movies", "key": "a\0b"}),
        ("source", {"bucket": "movies", "key": "a b"}),
        ("source", {"bucket": "movies", "key": "a" * 401}),
        ("source", {"bucket": "movies", "key": "a-b", "bytes": -1}),
        ("source", {"bucket": "movies", "key": "a-b", "sha256": "0" * 63}),
        ("source", {"bucket": "movies", "key": "a-b", "etag": "e\0"}),
        ("encoding", {"bitrate": "5M"}),
        ("encoding", {"fps": "1e999999999"}),
    ],
    ids=lambda value: str(value)[:60].replace("\0", "NUL"),
)
def test_an_upload_with_a_value_that_cannot_be_kept_is_refused(field: str, wrong: object) -> None:
    payload = {**PAYLOADS["preview-uploaded"], field: wrong}
    with pytest.raises(ValidationError) as refused:
        PreviewUploaded.model_validate_json(json.dumps(payload))
    assert {problem["loc"][0] for problem in refused.value.errors()} == {field}


@pytest.mark.parametrize(("given_extension", "kept"), [("MP4", "mp4"), (".mov", "mov"), (".PNG", "png"), ("7z", "7z")])
def test_extensions_are_kept_in_lower_case_without_a_dot(given_extension: str, kept: str) -> None:
    upload = PreviewUploaded.model_validate({**PAYLOADS["preview-uploaded"], "extension": given_extension})
    assert upload.extension == kept


def test_the_edges_of_the_columns_fit() -> None:
    edges: dict[str, Any] = {"revision": 2**31 - 1, "upload_generation": 2**63 - 1, "name": "é" * 250}
    upload = PreviewUploaded.model_validate({**PAYLOADS["preview-uploaded"], **edges})
    assert {name: getattr(upload, name) for name in edges} == edges


def test_a_preview_id_in_capitals_becomes_the_usual_one() -> None:
    upload = PreviewUploaded.model_validate({**PAYLOADS["preview-uploaded"], "preview_file_id": PREVIEW_ID.upper()})
    assert str(upload.preview_file_id) == PREVIEW_ID


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "archived"),
        ("internal_status", "archived"),
        ("error", {"code": "haunted", "message": "boo", "for_artist": None, "retryable": False}),
    ],
)
def test_a_reader_keeps_values_of_a_later_version_as_they_came(name: str, value: object) -> None:
    event = StatusChanged.model_validate({**PAYLOADS["status-changed"], name: value})
    assert event.model_dump(mode="json")[name] == value


def test_a_kind_of_object_of_a_later_version_is_kept() -> None:
    assert StoredFile.model_validate({**STORED, "kind": "waveform"}).kind == "waveform"


@pytest.mark.parametrize("priority", ["urgent", "", None])
def test_an_unknown_priority_is_refused(priority: object) -> None:
    contract = next(contract for contract in CONTRACTS if contract.name == "renormalize-requested")
    with pytest.raises(ValidationError, match="priority"):
        contract.model.model_validate({**PAYLOADS["renormalize-requested"], "priority": priority})

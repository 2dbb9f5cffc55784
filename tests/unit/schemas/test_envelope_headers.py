"""Envelopes as the official CloudEvents library reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from rushes_schemas import CONTRACTS, Contract, Envelope

from tests.unit.schemas.event_samples import PAYLOADS, PREVIEW_ID

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BY_NAME = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)


def _envelope(contract: Contract, **attributes: Any) -> Envelope:
    return Envelope(contract.model.model_validate(PAYLOADS[contract.name]), source="/studio/uploads", **attributes)


def _read(envelope: Envelope) -> BaseCloudEvent:
    return from_binary(KafkaMessage(dict(envelope.headers()), None, envelope.value()), JSONFormat())


@BY_NAME
def test_the_official_library_reads_every_event(contract: Contract) -> None:
    event = _read(_envelope(contract, event_id="one", time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))
    assert event.get_id() == "one"
    assert event.get_source() == "/studio/uploads"
    assert event.get_specversion() == "1.0"
    assert event.get_type() == f"rushes.{contract.name}.v{contract.major}"
    assert event.get_dataschema() == f"urn:rushes:{contract.name}:{contract.major}.{contract.minor}"
    assert event.get_subject() == PREVIEW_ID
    assert event.get_time() == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert event.get_datacontenttype() == "application/json"
    assert contract.model.model_validate(event.get_data()) == contract.model.model_validate(PAYLOADS[contract.name])


@pytest.mark.parametrize("trace", [TRACE, None])
def test_a_trace_context_is_carried_if_there_is_one(trace: str | None) -> None:
    assert _read(_envelope(CONTRACTS[0], traceparent=trace)).get_extension("traceparent") == trace


def test_the_key_is_the_preview_id_in_lower_case() -> None:
    payload = {**PAYLOADS["preview-deleted"], "preview_file_id": PREVIEW_ID.upper()}
    contract = next(contract for contract in CONTRACTS if contract.name == "preview-deleted")
    assert Envelope(contract.model.model_validate(payload), source="/s").key() == PREVIEW_ID.encode()


def test_every_envelope_has_an_id_of_its_own() -> None:
    assert _envelope(CONTRACTS[0]).event_id != _envelope(CONTRACTS[0]).event_id


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("preview-uploaded", "preview-uploaded"),
        ("preview-deleted", "preview-uploaded"),
        ("renormalize-requested", "renormalize-requested"),
        ("status-changed", "status-changed"),
    ],
)
def test_deletions_travel_with_uploads_so_that_their_order_holds(name: str, topic: str) -> None:
    contract = next(contract for contract in CONTRACTS if contract.name == name)
    assert _envelope(contract).topic == topic

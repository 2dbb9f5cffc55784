"""Records that could not be taken in keep their bytes, their place and the reason."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rushes_runtime.envelopes import UnreadableError
from rushes_runtime.outbox import MAX_DEAD_LETTER_BYTES, Outgoing, dead_letter, pack_headers, unpack_headers
from rushes_schemas import Envelope, PreviewUploaded

from tests.unit.runtime.kafka_records import HEADERS, PREVIEW_ID, record, upload

WHY = UnreadableError("invalid", "extension: too long")
BROKER_LIMIT = 1_048_576


def test_a_letter_says_what_where_and_why() -> None:
    letter = dead_letter("normalizer", record(b"{half"), WHY)
    assert letter.topic == "normalizer.dead-letters"
    assert letter.key == PREVIEW_ID.encode()
    assert letter.value == b"{half"
    facts = {name.removeprefix("rushes-"): value.decode() for name, value in letter.headers if name[:3] == "rus"}
    assert facts == {
        "reason": "invalid",
        "detail": "extension: too long",
        "topic": "studio.preview-uploaded",
        "partition": "3",
        "offset": "7",
        "sha256": hashlib.sha256(b"{half").hexdigest(),
        "bytes": "5",
        "truncated": "false",
    }


def test_original_headers_come_along_so_that_it_can_be_sent_again() -> None:
    letter = dead_letter("normalizer", record(b"{half"), WHY)
    originals = {name.removeprefix("original-"): value for name, value in letter.headers if name[:3] == "ori"}
    assert originals == HEADERS


def test_a_record_that_is_too_large_is_cut_and_says_so() -> None:
    value = b"x" * (2 * BROKER_LIMIT)
    letter = dead_letter("normalizer", record(value, key=b"k" * 5000), WHY)
    facts = dict(letter.headers)
    assert letter.value == value[:MAX_DEAD_LETTER_BYTES]
    assert facts["rushes-truncated"] == b"true"
    assert facts["rushes-bytes"] == str(len(value)).encode()
    assert facts["rushes-sha256"] == hashlib.sha256(value).hexdigest().encode()


def test_a_record_without_key_and_value_becomes_a_letter_that_can_be_sent() -> None:
    letter = dead_letter("normalizer", record(None, key=None), WHY)
    assert (letter.key, letter.value) == (b"", None)


def test_a_letter_fits_into_what_brokers_take() -> None:
    fat = [(f"header-{number}", b"h" * 4000) for number in range(300)]
    why = UnreadableError("invalid", "why " * 5000)
    letter = dead_letter("normalizer", record(b"x" * (2 * BROKER_LIMIT), fat, key=b"k" * 50_000), why)
    size = len(letter.value or b"") + len(letter.key or b"")
    size += sum(len(name) + len(value) for name, value in letter.headers)
    assert size < BROKER_LIMIT - 10_000


def test_a_header_without_a_value_comes_along_empty() -> None:
    nothing: bytes = None  # type: ignore[assignment]  # Kafka's header values may be null, aiokafka's types say no
    letter = dead_letter("normalizer", record(b"", {"x": nothing}), WHY)
    assert dict(letter.headers)["original-x"] == b""


@given(st.lists(st.tuples(st.text(), st.binary())))
def test_headers_survive_the_outbox_byte_by_byte(headers: list[tuple[str, bytes]]) -> None:
    assert unpack_headers(pack_headers(headers)) == headers


def test_an_event_goes_out_as_its_envelope_says() -> None:
    envelope = Envelope(PreviewUploaded.model_validate_json(upload()), source="/s")
    outgoing = Outgoing.of(envelope)
    assert (outgoing.topic, outgoing.key, outgoing.value) == (envelope.topic, envelope.key(), envelope.value())
    assert outgoing.headers == envelope.headers()


@pytest.mark.parametrize("service", ["normalizer", "syncer"])
def test_each_service_has_a_topic_of_its_own(service: str) -> None:
    assert dead_letter(service, record(b""), WHY).topic == f"{service}.dead-letters"

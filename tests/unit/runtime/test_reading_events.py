"""Records become events, or say why they cannot."""

from __future__ import annotations

import re

import pytest
from aiokafka import ConsumerRecord
from rushes_runtime.envelopes import MAX_EVENT_BYTES, UnreadableError, digest, read_event, trace_of
from rushes_runtime.outbox import dead_letter
from rushes_schemas import CONTRACTS, Envelope, PreviewUploaded

from tests.unit.runtime.kafka_records import HEADERS, PREVIEW_ID, STRUCTURED, record, structured, upload

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ON_THIS_TOPIC = [contract for contract in CONTRACTS if contract.topic == "preview-uploaded"]


def _refusal(bad: ConsumerRecord[bytes, bytes]) -> UnreadableError:
    with pytest.raises(UnreadableError) as refused:
        read_event(bad, ON_THIS_TOPIC)
    assert dead_letter("normalizer", bad, refused.value).headers, "a refused record can be put aside"
    return refused.value


def test_a_binary_event_is_read_with_its_attributes() -> None:
    came = record(upload(name="sh010"), {**HEADERS, "ce_traceparent": TRACE.encode()})
    received = read_event(came, ON_THIS_TOPIC)
    assert isinstance(received.event, PreviewUploaded)
    assert received.event.name == "sh010"
    assert (received.event_id, received.source, received.traceparent) == ("one", "/studio/uploads", TRACE)
    assert received.record is came


def test_a_structured_event_is_read_as_a_binary_one() -> None:
    plain = read_event(record(upload()), ON_THIS_TOPIC)
    received = read_event(record(structured(traceparent=TRACE), STRUCTURED), ON_THIS_TOPIC)
    assert received.event == plain.event
    assert (received.event_id, received.source, received.traceparent) == ("one", "/studio/uploads", TRACE)


def test_what_an_envelope_writes_is_read_back() -> None:
    event = PreviewUploaded.model_validate_json(upload(name="sh010"))
    envelope = Envelope(event, source="/studio/uploads", traceparent=TRACE)
    received = read_event(record(envelope.value(), envelope.headers(), key=envelope.key()), ON_THIS_TOPIC)
    assert (received.event, received.event_id, received.traceparent) == (event, envelope.event_id, TRACE)


def test_an_event_without_a_content_type_is_taken_for_json() -> None:
    without = {name: value for name, value in HEADERS.items() if name != "content-type"}
    assert str(read_event(record(upload(), without), ON_THIS_TOPIC).event.preview_file_id) == PREVIEW_ID


def test_an_event_of_exactly_the_limit_is_read() -> None:
    padded = upload() + b" " * (MAX_EVENT_BYTES - len(upload()))
    assert read_event(record(padded), ON_THIS_TOPIC).event_id == "one"


@pytest.mark.parametrize(
    ("value", "reason", "says"),
    [
        (None, "empty", "no value"),
        (b"", "invalid", "JSON"),
        (b"{half", "invalid", "JSON"),
        (b'{"extension": "\xff\xfe"}', "invalid", "JSON"),
        (b"[1, 2]", "invalid", "object"),
        (b"[" * 200_000, "invalid", "recursion"),
        (upload(uploaded_at=...), "invalid", "uploaded_at: Field required"),
        (upload(preview_file_id="shot-010"), "invalid", "preview_file_id"),
        (upload(extension="mpegts4"), "invalid", "extension"),
        (upload(extension=7), "invalid", "extension"),
        (upload(name="a\0b"), "invalid", "name: .*NUL"),
        (upload(name="\ud800"), "invalid", "JSON"),
        (upload(revision=2**31), "invalid", "revision"),
        (upload(revision=1e400), "invalid", "revision"),
        (upload(encoding={"bitrate": "5M"}), "invalid", "encoding.bitrate"),
        (upload(encoding={"preset": "warp"}), "invalid", "encoding.preset"),
        (upload(encoding={"fps": "1" + "0" * 400}), "invalid", "encoding.fps"),
        (upload(uploaded_at="0001-01-01T00:00:00+14:00"), "invalid", "uploaded_at"),
        (b" " * (MAX_EVENT_BYTES + 1), "too_large", str(MAX_EVENT_BYTES)),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_payload_that_cannot_be_taken_in_says_why(value: bytes | None, reason: str, says: str) -> None:
    refused = _refusal(record(value))
    assert refused.reason == reason
    assert re.search(says, refused.detail)


@pytest.mark.parametrize(
    ("headers", "reason", "says"),
    [
        ({"ce_type": b"rushes.coffee-made.v1"}, "unknown_type", "coffee-made.*preview-uploaded.v1"),
        ({"ce_type": b"rushes.status-changed.v1"}, "unknown_type", "status-changed"),
        ({"ce_type": b"rushes.preview-uploaded.v2"}, "unknown_version", "preview-uploaded.v2"),
        ({"ce_specversion": b"3.0"}, "not_an_event", "specversion"),
        ({"ce_id": b""}, "not_an_event", "id"),
        ({"ce_id": b"x" * 501}, "not_an_event", "id"),
        ({"ce_id": b"a\0b"}, "not_an_event", "id"),
        ({"ce_source": b"x" * 501}, "not_an_event", "source"),
        ({"ce_id": b"\xff"}, "not_an_event", "utf-8"),
        ({"content-type": b"text/plain"}, "invalid", "text/plain"),
    ],
    ids=str,
)
def test_headers_that_make_no_event_say_why(headers: dict[str, bytes], reason: str, says: str) -> None:
    refused = _refusal(record(upload(), {**HEADERS, **headers}))
    assert refused.reason == reason
    assert re.search(says, refused.detail)


@pytest.mark.parametrize("value", [b"\xff\x01", None], ids=str)
@pytest.mark.parametrize(
    ("kept", "given"), [(HEADERS, upload()), (STRUCTURED, structured())], ids=["binary", "structured"]
)
def test_headers_of_others_are_not_read(kept: dict[str, bytes], given: bytes, value: bytes) -> None:
    """Serializers put a schema's id there as bytes, agents of tracing what they like."""
    assert read_event(record(given, {**kept, "__value_schema_id": value}), ON_THIS_TOPIC).event_id == "one"


@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "ce_type"])
def test_a_missing_attribute_is_named(missing: str) -> None:
    left = {name: value for name, value in HEADERS.items() if name != missing}
    refused = _refusal(record(upload(), left))
    assert refused.reason == "not_an_event"
    assert f"'{missing.removeprefix('ce_')}'" in refused.detail


def test_a_record_without_headers_is_no_event() -> None:
    assert _refusal(record(upload(), ())).reason == "not_an_event"


@pytest.mark.parametrize("name", ["ce_id", "content-type"])
def test_a_header_without_a_value_is_no_event(name: str) -> None:
    nothing: bytes = None  # type: ignore[assignment]  # Kafka's header values may be null, aiokafka's types say no
    assert _refusal(record(upload(), {**HEADERS, name: nothing})).reason == "not_an_event"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not_an_event"),
        (b"[]", "not_an_event"),
        (structured(id=5), "not_an_event"),
        (structured(id=...), "not_an_event"),
        (structured(type=5), "not_an_event"),
        (structured(type="\ud800"), "unknown_type"),
        (structured(type="rushes.preview-uploaded.v2"), "unknown_version"),
        (structured(data=...), "invalid"),
        (structured(data={"extension": "mp4"}), "invalid"),
        (structured(data=..., data_base64="AAA"), "not_an_event"),
        (structured(**{"\ud800": 1}), "not_an_event"),
    ],
    ids=lambda value: repr(value)[:80],
)
def test_a_structured_record_that_cannot_be_taken_in_says_why(value: bytes, reason: str) -> None:
    assert _refusal(record(value, STRUCTURED)).reason == reason


@pytest.mark.parametrize(
    "trace",
    [
        "a\0b",
        TRACE + "\0",
        "grüße",
        "00-trace",
        TRACE.upper(),
        TRACE + "-more",  # version 00 ends here
        f"ff{TRACE[2:]}",
        "00-" + "0" * 32 + TRACE[35:],
        TRACE[:36] + "0" * 16 + TRACE[52:],
        TRACE + " ",
        "01" + TRACE[2:] + "-" + "x" * 10_000,
        5,
        "\ud800",
        "",
    ],
    ids=lambda trace: repr(trace)[:80],
)
def test_a_trace_that_is_none_is_dropped_and_its_event_is_taken_in(trace: str | int) -> None:
    came = [record(structured(traceparent=trace), STRUCTURED)]
    if isinstance(trace, str):
        header = trace.encode("utf-8", "surrogatepass")
        came += [record(upload(), {**HEADERS, "ce_traceparent": each}) for each in (header, b"\xff" + header)]
    for each in came:
        assert read_event(each, ON_THIS_TOPIC).traceparent is None
        assert trace_of(each) is None


@pytest.mark.parametrize("name", ["ce_dataschema", "ce_subject", "ce_time", "ce_studio", "note"])
def test_a_header_that_is_not_read_may_hold_any_bytes(name: str) -> None:
    assert read_event(record(upload(), {**HEADERS, name: b"\xff\0"}), ON_THIS_TOPIC).event_id == "one"


def test_a_trace_of_a_later_version_is_carried_with_what_it_appends() -> None:
    later = "01" + TRACE[2:] + "-what.follows"
    came = record(upload(), {**HEADERS, "ce_traceparent": later.encode()})
    assert (read_event(came, ON_THIS_TOPIC).traceparent, trace_of(came)) == (later, later)


def test_the_detail_of_a_refusal_is_bounded() -> None:
    many = upload(encoding={f"wish{number}": number for number in range(5000)})
    assert len(_refusal(record(many)).detail) <= 1000


def test_a_digest_tells_values_apart_and_knows_none() -> None:
    assert digest(b"a") != digest(b"b")
    assert digest(None) == digest(b"")

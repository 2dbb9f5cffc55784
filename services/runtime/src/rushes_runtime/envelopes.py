"""CloudEvents on Kafka: records of either mode become events or say why they cannot."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import ConsumerRecord
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, from_structured
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.base import Format
from cloudevents.core.formats.json import JSONFormat
from pydantic import ValidationError
from rushes_schemas import Contract, Event

MAX_EVENT_BYTES: Final = 1_048_576
_MAX_ATTRIBUTE: Final = 500
_READ: Final = frozenset({"content-type", "ce_specversion", "ce_id", "ce_source", "ce_type"})
# W3C Trace Context (https://www.w3.org/TR/trace-context/#traceparent-header): ids of zeros and the version ff are
# invalid, and a later version may append fields.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<appended>-[\x21-\x7e]*)?"
)
# Why a record cannot be taken in. The last three are said of events: by the database, and by a service.
REASONS: Final = (
    "too_large",
    "empty",
    "not_an_event",
    "unknown_type",
    "unknown_version",
    "invalid",
    "refused",
    "unknown_preview",
    "deleted_preview",
)


class UnreadableError(Exception):
    """A record that is no event of ours.

    Attributes:
        reason: one of `REASONS`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        # A publisher's half of a surrogate pair cannot be written into a header or a log.
        self.detail = detail.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class Received:
    """An event as it came in."""

    event: Event
    event_id: str
    source: str
    traceparent: str | None
    record: ConsumerRecord[bytes, bytes]


class _RawData(Format):
    """Leaves the data of a binary-mode event as bytes: pydantic parses JSON once, and faster."""

    def read_data(self, body: bytes, datacontenttype: str | None) -> bytes:
        if datacontenttype is not None and "json" not in datacontenttype.lower():
            raise UnreadableError("invalid", f"content type {datacontenttype[:80]!r} is not JSON")
        return body

    def read(self, event_factory: Any, data: str | bytes) -> BaseCloudEvent:
        raise NotImplementedError

    def write(self, event: BaseCloudEvent) -> bytes:
        raise NotImplementedError

    def write_data(self, data: Any, datacontenttype: str | None) -> bytes:
        raise NotImplementedError

    def get_content_type(self) -> str:
        return "application/json"


_RAW: Final = _RawData()
_JSON: Final = JSONFormat()


def read_event(record: ConsumerRecord[bytes, bytes], contracts: Sequence[Contract]) -> Received:
    """The event of a record.

    Args:
        contracts: those that may come on this topic.

    Raises:
        UnreadableError: with the reason.
    """
    if record.value is None:
        raise UnreadableError("empty", "the record has no value")
    if len(record.value) > MAX_EVENT_BYTES:
        raise UnreadableError("too_large", f"{len(record.value)} bytes; an event has {MAX_EVENT_BYTES} at most")
    envelope = _envelope(record)
    contract = _contract(envelope.get_type(), contracts)
    try:
        data = envelope.get_data()
        event = contract.model.model_validate_json(data if isinstance(data, bytes) else json.dumps(data))
    except ValidationError as error:
        raise UnreadableError("invalid", _sentence(error)) from None
    trace = trace_of(record) or _valid_trace(envelope.get_extension("traceparent"))
    received = Received(event, envelope.get_id(), envelope.get_source(), trace, record)
    for name, value in (("id", received.event_id), ("source", received.source)):
        if not value or len(value) > _MAX_ATTRIBUTE or "\0" in value:
            raise UnreadableError("not_an_event", f"the attribute '{name}' is empty, too long or has a NUL")
    return received


def _envelope(record: ConsumerRecord[bytes, bytes]) -> BaseCloudEvent:
    try:
        headers = {name: value for name, value in record.headers if _is_read(name)}
        message = KafkaMessage(headers, None, record.value or b"")
        if headers.get("content-type", b"").startswith(b"application/cloudevents+json"):
            envelope, identified = from_structured(message, _JSON), "id" in json.loads(message.value)
        else:
            envelope, identified = from_binary(message, _RAW), "ce_id" in headers
        if not identified:  # the library would invent one, and a repetition would count again
            raise UnreadableError("not_an_event", "the required attribute 'id' is missing")
        return envelope
    except UnreadableError:
        raise
    except CloudEventValidationError as error:
        problems = "; ".join(str(problem) for found in error.errors.values() for problem in found)
        raise UnreadableError("not_an_event", problems[:500]) from None
    except Exception as error:
        raise UnreadableError("not_an_event", f"{type(error).__name__}: {error}"[:500]) from None


def _is_read(header: str) -> bool:
    """Return whether a header is one of those that an event needs; the others may hold any bytes."""
    return header.lower() in _READ


def _contract(type_name: str, contracts: Sequence[Contract]) -> Contract:
    for contract in contracts:
        if contract.type == type_name:
            return contract
    if any(type_name.startswith(f"rushes.{contract.name}.v") for contract in contracts):
        raise UnreadableError("unknown_version", f"{type_name[:200]!r} is newer than this version of Rushes")
    known = ", ".join(contract.type for contract in contracts)
    raise UnreadableError("unknown_type", f"{type_name[:200]!r}; this topic carries {known}")


def _sentence(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'payload'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return "; ".join(problems).replace("\0", "\\0")[:1000]


def trace_of(record: ConsumerRecord[bytes, bytes]) -> str | None:
    """Return the trace that a record's header names, if it is a valid one; the event itself may be unreadable."""
    for name, value in record.headers:
        if name == "ce_traceparent":
            return _valid_trace(bytes(value or b"").decode(errors="replace"))
    return None


def _valid_trace(value: object) -> str | None:
    """Return a trace context, or None if it is malformed: a receiver then goes on without one, as W3C asks."""
    if not isinstance(value, str) or len(value) > _MAX_ATTRIBUTE:
        return None
    matched = _TRACEPARENT.fullmatch(value)
    if matched is None or (value.startswith("00") and matched["appended"]):
        return None
    return value


def digest(value: bytes | None) -> str:
    """The SHA-256 of a record's value, in hex."""
    return hashlib.sha256(value or b"").hexdigest()

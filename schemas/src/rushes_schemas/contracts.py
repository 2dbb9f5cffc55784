"""Which event travels on which topic under which CloudEvents type, and the envelope around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Final
from uuid import uuid4

from rushes_schemas.events import (
    Event,
    FilesSynced,
    PreviewDeleted,
    PreviewUploaded,
    RenormalizeRequested,
    StatusChanged,
)

PREVIEW_UPLOADED_TOPIC: Final = "preview-uploaded"
RENORMALIZE_REQUESTED_TOPIC: Final = "renormalize-requested"
STATUS_CHANGED_TOPIC: Final = "status-changed"
FILES_SYNCED_TOPIC: Final = "files-synced"
SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/json"


@dataclass(frozen=True)
class Contract:
    """One event in one major version.

    Attributes:
        name: of the event, without a version.
        major: raised when an old reader could not read it; part of `type`.
        minor: raised with each added field; part of `dataschema`.
        topic: without the studio's prefix.
        model: of the payload.
    """

    name: str
    major: int
    minor: int
    topic: str
    model: type[Event]

    @cached_property
    def type(self) -> str:
        """The CloudEvents type, such as `rushes.preview-uploaded.v1`."""
        return f"rushes.{self.name}.v{self.major}"

    @cached_property
    def dataschema(self) -> str:
        """The CloudEvents dataschema, such as `urn:rushes:preview-uploaded:1.0`."""
        return f"urn:rushes:{self.name}:{self.major}.{self.minor}"

    @cached_property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The record headers that every event of this contract has."""
        return (
            ("content-type", CONTENT_TYPE.encode()),
            ("ce_specversion", SPEC_VERSION.encode()),
            ("ce_type", self.type.encode()),
            ("ce_dataschema", self.dataschema.encode()),
        )


CONTRACTS: Final = (
    Contract("preview-uploaded", 1, 0, PREVIEW_UPLOADED_TOPIC, PreviewUploaded),
    Contract("preview-deleted", 1, 0, PREVIEW_UPLOADED_TOPIC, PreviewDeleted),
    Contract("renormalize-requested", 1, 0, RENORMALIZE_REQUESTED_TOPIC, RenormalizeRequested),
    Contract("status-changed", 1, 1, STATUS_CHANGED_TOPIC, StatusChanged),
    Contract("files-synced", 1, 0, FILES_SYNCED_TOPIC, FilesSynced),
)
CONTRACT_OF_MODEL: Final = {contract.model: contract for contract in CONTRACTS}


@dataclass(frozen=True)
class Envelope:
    """A CloudEvents 1.0 envelope around one event, for Kafka's binary mode.

    Attributes:
        event: the payload.
        source: who sends it, a URI reference such as `/studio/uploads`.
        event_id: unique within `source`; the same id sent again is recognised as a repetition.
        time: when it happened.
        traceparent: W3C trace context, carried through.
    """

    event: Event
    source: str
    event_id: str = field(default_factory=lambda: str(uuid4()))
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    traceparent: str | None = None

    @property
    def contract(self) -> Contract:
        """The event's contract."""
        return CONTRACT_OF_MODEL[type(self.event)]

    @property
    def topic(self) -> str:
        """The topic to send it to, without the studio's prefix."""
        return self.contract.topic

    def key(self) -> bytes:
        """The record's key: the preview id in lower case."""
        return str(self.event.preview_file_id).encode()

    def value(self) -> bytes:
        """The record's value: the payload as JSON."""
        return self.event.model_dump_json().encode()

    def headers(self) -> list[tuple[str, bytes]]:
        """The record's headers: the CloudEvents attributes."""
        own = {
            "ce_id": self.event_id,
            "ce_source": self.source,
            "ce_subject": str(self.event.preview_file_id),
            "ce_time": self.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        }
        if self.traceparent:
            own["ce_traceparent"] = self.traceparent
        return [*self.contract.headers, *((name, text.encode()) for name, text in own.items())]

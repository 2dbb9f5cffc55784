"""Records as the bus hands them over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aiokafka import ConsumerRecord

PREVIEW_ID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
UPLOAD = {"preview_file_id": PREVIEW_ID, "extension": "mp4", "uploaded_at": "2026-01-02T03:04:05Z"}
HEADERS = {
    "content-type": b"application/json",
    "ce_specversion": b"1.0",
    "ce_id": b"one",
    "ce_source": b"/studio/uploads",
    "ce_type": b"rushes.preview-uploaded.v1",
}
STRUCTURED = {"content-type": b"application/cloudevents+json; charset=utf-8"}


def record(
    value: bytes | None,
    headers: dict[str, bytes] | Sequence[tuple[str, bytes]] | None = None,
    *,
    key: bytes | None = PREVIEW_ID.encode(),
) -> ConsumerRecord[bytes, bytes]:
    """A record at offset 7 of partition 3; without other headers, with good ones."""
    chosen = HEADERS if headers is None else headers
    return ConsumerRecord(
        topic="studio.preview-uploaded",
        partition=3,
        offset=7,
        timestamp=1_767_323_045_000,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=tuple(chosen.items()) if isinstance(chosen, dict) else chosen,
    )


def upload(**changes: Any) -> bytes:
    """The value of an upload; a change to `...` leaves a field out."""
    return json.dumps({name: value for name, value in {**UPLOAD, **changes}.items() if value is not ...}).encode()


def structured(**changes: Any) -> bytes:
    """The value of an upload in structured mode."""
    envelope = {
        "specversion": "1.0",
        "id": "one",
        "source": "/studio/uploads",
        "type": "rushes.preview-uploaded.v1",
        "datacontenttype": "application/json",
        "data": UPLOAD,
        **changes,
    }
    return json.dumps({name: value for name, value in envelope.items() if value is not ...}).encode()

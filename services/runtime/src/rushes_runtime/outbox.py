"""The outbox: records to be sent, written in the transaction that they tell of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiokafka import ConsumerRecord
from pydantic_core import to_json
from rushes_schemas import Envelope
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_runtime.envelopes import UnreadableError, digest

MAX_DEAD_LETTER_BYTES = 900_000  # below the brokers' usual limit of 1 MiB for a record

_INSERT = text(
    "INSERT INTO outbox (topic, key, headers, value) "
    "SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:keys AS bytea[]), "
    "CAST(:headers AS bytea[]), CAST(:values AS bytea[]))"
)


@dataclass(frozen=True)
class Outgoing:
    """A record to be sent; a value of None is a tombstone. `topic` is without the prefix."""

    topic: str
    key: bytes | None
    headers: Sequence[tuple[str, bytes]]
    value: bytes | None

    @classmethod
    def of(cls, envelope: Envelope) -> Outgoing:
        """The record of an event."""
        return cls(envelope.topic, envelope.key(), envelope.headers(), envelope.value())


async def put(connection: AsyncConnection, records: Iterable[Outgoing]) -> None:
    """Write records into the outbox, in order.

    The order of a key's records is the order of these calls if its subject's row is locked before.
    """
    rows = list(records)
    if rows:
        await connection.execute(
            _INSERT,
            {
                "topics": [row.topic for row in rows],
                "keys": [row.key for row in rows],
                "headers": [pack_headers(row.headers) for row in rows],
                "values": [row.value for row in rows],
            },
        )


def pack_headers(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """Headers as one value; latin-1 keeps any byte."""
    return to_json([(name, value.decode("latin-1")) for name, value in headers])


def unpack_headers(packed: bytes) -> list[tuple[str, bytes]]:
    """The inverse of `pack_headers`."""
    return [(name, value.encode("latin-1")) for name, value in json.loads(packed)]


def dead_letter(service: str, record: ConsumerRecord[bytes, bytes], why: UnreadableError) -> Outgoing:
    """A record that could not be taken in: its bytes, and in headers why, where it lay, and its hash.

    The value is the original one, cut at `MAX_DEAD_LETTER_BYTES`; original headers come back as
    `original-…`, so that it can be mended and sent again.
    """
    value = record.value
    facts = {
        "reason": why.reason,
        "detail": why.detail[:2000],
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "sha256": digest(value),
        "bytes": str(len(value or b"")),
        "truncated": str(len(value or b"") > MAX_DEAD_LETTER_BYTES).lower(),
    }
    headers = [(f"rushes-{name}", fact.encode()) for name, fact in facts.items()]
    kept = 0
    for name, header in record.headers:
        kept += len(name) + len(header or b"")
        if kept > 16_384:
            break
        headers.append((f"original-{name}", header or b""))
    key = None if record.key is None else record.key[:4096]
    if key is None and value is None:
        key = b""  # the producer sends no record that has neither
    return Outgoing(f"{service}.dead-letters", key, headers, None if value is None else value[:MAX_DEAD_LETTER_BYTES])

"""Keeps what is released: `python -m tests.contracts.freeze 0.2.0` fills `schemas/released/0.2.0`.

That is the JSON Schema of each event, and `events.jsonl`, with two records of each: one with all fields, as that
release's models write it, one with the fewest, as any publisher may send it. What is there once is never written again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rushes_schemas import CONTRACTS, Contract, Envelope
from rushes_schemas.json_schemas import main as write_schemas

from tests.unit.schemas.event_samples import PAYLOADS

RELEASED: Final = Path(__file__).parents[2] / "schemas" / "released"
EVENTS: Final = "events.jsonl"
_TIME: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def records(contract: Contract) -> Iterator[dict[str, Any]]:
    """Records of an event: key, headers and value."""
    full = PAYLOADS[contract.name]
    fewest = {name: full[name] for name, field in contract.model.model_fields.items() if field.is_required()}
    for payload in (full, fewest):
        event_id = f"{contract.name}/{len(payload)}"
        event = contract.model.model_validate(payload)
        envelope = Envelope(event, source="/studio/uploads", event_id=event_id, time=_TIME)
        headers = {name: value.decode() for name, value in envelope.headers()}
        value = json.loads(envelope.value()) if payload is full else payload
        yield {"key": envelope.key().decode(), "headers": headers, "value": value}


def freeze(folder: Path) -> None:
    """Write a release's schemas and events.

    Raises:
        FileExistsError: they are there.
    """
    folder.mkdir(parents=True)
    write_schemas(folder)
    lines = [json.dumps(record) for contract in CONTRACTS for record in records(contract)]
    (folder / EVENTS).write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    freeze(RELEASED / sys.argv[1])

"""Faults of records: they come again, in another order, under another id."""

from __future__ import annotations

import random

from tests.faults.evidence import MIRRORED, Record, read_topic
from tests.faults.plan import Fault
from tests.faults.scene import Scene


async def records_again(scene: Scene, fault: Fault) -> None:
    """The last records of the studio come again, shuffled: an upstream that has lost its memory."""
    records = scene.studio.accepted[-40:]
    random.Random(fault.number).shuffle(records)
    await scene.studio.send_again(records)


async def unreadable_records(scene: Scene, fault: Fault) -> None:
    """Records that are no events."""
    for _ in range(3):
        await scene.studio.send_unreadable()


async def status_records_again(scene: Scene, fault: Fault) -> None:
    """A mirror that starts anew: an old status comes under an id of its own, and then the newest one as it was."""
    versions: dict[bytes, list[Record]] = {}
    for record in await read_topic(scene.stage, "status-changed"):
        if record.key and record.value and not record.mirrored:
            versions.setdefault(record.key, []).append(record)
    several = [records for records in versions.values() if len(records) > 1]
    for records in several[-5:]:
        old, newest = records[0], records[-1]
        await _mirror(scene, old, {"ce_id": f"again-{fault.number}".encode(), "ce_source": b"/faults/mirror"})
        await _mirror(scene, newest, {})


async def _mirror(scene: Scene, record: Record, changes: dict[str, bytes]) -> None:
    assert record.key
    assert record.value
    headers = {**record.headers, **changes, MIRRORED: b"yes"}
    await scene.studio.send_status(record.key, record.value, list(headers.items()))

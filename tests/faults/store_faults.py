"""Faults of the store: what it answers for a while, to one process or to all."""

from __future__ import annotations

import asyncio

from tests.faults.plan import Fault
from tests.faults.scene import Scene


async def store_trouble(scene: Scene, fault: Fault) -> None:
    """The kind says how: `store_denied`, `store_cut`, `sources_absent`."""
    clients = frozenset(process.name for process in scene.chosen(fault.target))
    with scene.stage.s3.trouble(fault.kind.removeprefix("store_"), clients):
        await asyncio.sleep(fault.seconds)

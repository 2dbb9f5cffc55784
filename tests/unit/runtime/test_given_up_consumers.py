"""A consumer that gives itself up does not end the intake; whoever cancels the intake does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake


class GivesUp(Intake):
    """Its first consumer cancels what it waits for, as aiokafka does when its broker goes at the wrong moment."""

    first = True
    second = asyncio.Event()

    async def _follow(self, stop: asyncio.Event) -> None:
        if self.first:
            self.first = False
            waited_for = asyncio.get_running_loop().create_future()
            waited_for.cancel()
            await waited_for
        self.second.set()
        await stop.wait()


async def test_an_intake_whose_consumer_gave_up_makes_another() -> None:
    kafka: Any = type("Settings", (), {"topic_prefix": "", "max_poll_interval": 300.0})()
    nothing: Any = None
    intake = GivesUp(
        service="normalizer", group="studio.normalizer", kafka=kafka, contracts={}, database=nothing, handler=nothing,
        health=Health(), took_in=lambda: None,
    )  # fmt: skip
    running = asyncio.create_task(intake.run(asyncio.Event()))
    async with asyncio.timeout(10):
        await intake.second.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

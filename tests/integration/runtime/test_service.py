"""A service whose role fails: it stops in order, says so to its probes, and exits with 1."""

from __future__ import annotations

import asyncio
import socket

import pytest
from rushes_runtime.failures import StartRefusedError
from rushes_runtime.health import Health
from rushes_runtime.service import run_service


class Recorded:
    """A role that writes down when it ends, and may fail."""

    def __init__(self, name: str, ends: list[str], health: Health, fails: BaseException | None = None) -> None:
        self._name = name
        self._ends = ends
        self._health = health
        self._fails = fails

    async def run(self, stop: asyncio.Event) -> None:
        if self._fails:
            raise self._fails
        await stop.wait()
        assert not self._health.ready
        self._ends.append(self._name)


async def test_a_role_that_fails_stops_the_others_in_order_and_the_process_exits_with_1() -> None:
    health, ends = Health(), list[str]()
    code = await run_service(
        health=health,
        operations=("127.0.0.1", 0),
        needs=[],
        front=[Recorded("worker", ends, health)],
        back=[Recorded("relay", ends, health), Recorded("janitor", ends, health, RuntimeError("broken"))],
    )
    assert code == 1
    assert ends == ["worker", "relay"]
    assert not health.silent_loops()


async def test_a_process_whose_operations_port_is_taken_is_refused_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartRefusedError, match=rf"OPERATIONS_PORT.*{port}.*address already in use"):
            await run_service(health=Health(), operations=("127.0.0.1", port), needs=[], front=[], back=[])

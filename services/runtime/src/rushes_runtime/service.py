"""A service's life: wait for what it needs, run its roles, shut down in the right order."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from aiohttp import web

from rushes_runtime.database import is_away
from rushes_runtime.failures import AttemptFailedError, StartRefusedError
from rushes_runtime.health import Health
from rushes_runtime.migrations import SchemaNotReadyError
from rushes_runtime.operations import serve_operations
from rushes_runtime.waiting import wait_or_stop

log = structlog.get_logger(__name__)

_LOOK_AGAIN: Final = 2.0


class Role(Protocol):
    """A loop that runs until it is told to stop, and then ends cleanly."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`."""
        ...


@dataclass(frozen=True)
class Need:
    """Something that must be there before the roles start."""

    name: str
    check: Callable[[], Awaitable[None]]


def process_name() -> str:
    """Who holds a lease: host and process."""
    return f"{socket.gethostname()}-{os.getpid()}"


def spare_the_garbage_collector() -> None:
    """Look for garbage less often, and never again in what start-up has made.

    A batch of a thousand events makes some hundred thousand objects that all die without the collector's help; with
    Python's own thresholds looking at them takes a fifth of intake's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def run_service(
    *,
    health: Health,
    operations: tuple[str, int],
    needs: Sequence[Need],
    front: Sequence[Role],
    back: Sequence[Role],
    routes: Sequence[web.RouteDef] = (),
) -> int:
    """Run a service until SIGTERM, SIGINT or the failure of a role.

    The order of a shutdown: not ready any more; the front roles (intake, worker) stop taking in and drain;
    then the back roles (relay, janitor), so that what the drain wrote is still sent.

    Args:
        operations: host and port of the operations server.
        routes: what it serves beside metrics and probes.

    Returns:
        The process's exit code: 0 after a signal, 1 after a role failed.

    Raises:
        StartRefusedError: a need is there, and must not be worked with.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve_operations(health, *operations, routes) as address:
        log.info("operations_served", address=address)
        for need in needs:
            await _wait_for(need, health, stop)
        if stop.is_set():
            return 0
        return await _run_roles(health, front, back, stop)


async def _wait_for(need: Need, health: Health, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await need.check()
        except StartRefusedError:
            raise
        except Exception as error:
            if not (is_away(error) or isinstance(error, AttemptFailedError | SchemaNotReadyError)):
                raise
            health.waiting_for[need.name] = f"{error}"[:500]
            log.warning("waiting", need=need.name, error=f"{error}"[:500])
            await wait_or_stop(stop, _LOOK_AGAIN)
        else:
            health.waiting_for.pop(need.name, None)
            return


async def _run_roles(health: Health, front: Sequence[Role], back: Sequence[Role], stop: asyncio.Event) -> int:
    spare_the_garbage_collector()
    stop_back = asyncio.Event()
    front_tasks = [asyncio.create_task(role.run(stop)) for role in front]
    back_tasks = [asyncio.create_task(role.run(stop_back)) for role in back]
    health.started = True
    log.info("started")
    signalled = asyncio.create_task(stop.wait())
    await asyncio.wait([signalled, *front_tasks, *back_tasks], return_when=asyncio.FIRST_COMPLETED)
    health.draining = True
    log.info("stopping", signalled=stop.is_set())
    stop.set()
    results = await asyncio.gather(*front_tasks, return_exceptions=True)
    stop_back.set()
    results += await asyncio.gather(*back_tasks, return_exceptions=True)
    await signalled
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in failures:
        log.error("role_failed", error=repr(failure), exc_info=failure)
    log.info("stopped", failures=len(failures))
    return 1 if failures else 0

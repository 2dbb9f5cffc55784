"""A service's life: wait for what it needs, run its roles, shut down in the right order."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
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
_LAST_WAIT: Final = 2.0  # seconds that what runs gets to let go (and to end its children) after a second signal


class Role(Protocol):
    """A loop that runs until it is told to stop, and then ends cleanly."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`."""
        ...


class Signals:
    """SIGTERM and SIGINT: the first asks to stop, the second to exit at once."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.number = 0
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._came, number)

    def _came(self, number: int) -> None:
        self.number = number
        (self.second if self.first.is_set() else self.first).set()


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

    A second signal ends the process at once with code 128 + its number, as shells give it: what runs is cancelled, so
    that no ffmpeg stays. Nothing is lost by it: jobs wait for the end of their leases, records in the outbox for the
    next relay, events that were not taken in for the next consumer.

    Args:
        operations: host and port of the operations server.
        routes: what it serves beside metrics and probes.

    Returns:
        The process's exit code: 0 after a signal, 1 after a role failed.

    Raises:
        StartRefusedError: a need is there, and must not be worked with; or nothing may listen at `operations`.
    """
    signals = Signals()
    async with serve_operations(health, *operations, routes) as address:
        log.info("operations_served", address=address)
        running = asyncio.create_task(_run(health, needs, front, back, signals.first))
        second = asyncio.create_task(signals.second.wait())
        await asyncio.wait([running, second], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await _exit_at_once(128 + signals.number)
        second.cancel()
        return await running


async def _exit_at_once(code: int) -> None:
    log.warning("exits_at_once", code=code)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.wait(others, timeout=_LAST_WAIT)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # waits for no thread


async def _run(
    health: Health, needs: Sequence[Need], front: Sequence[Role], back: Sequence[Role], signalled: asyncio.Event
) -> int:
    await _wait_for(needs, health, signalled)
    return 0 if signalled.is_set() else await _run_roles(health, front, back, signalled)


async def _wait_for(needs: Sequence[Need], health: Health, stop: asyncio.Event) -> None:
    """Wait until all needs are there in one look: while one is away, those before it are looked at again."""
    while not stop.is_set():
        for need in needs:
            if not await _is_there(need, health):
                await wait_or_stop(stop, _LOOK_AGAIN)
                break
        else:
            return


async def _is_there(need: Need, health: Health) -> bool:
    try:
        await need.check()
    except StartRefusedError:
        raise
    except Exception as error:
        if not (is_away(error) or isinstance(error, AttemptFailedError | SchemaNotReadyError)):
            raise
        health.waiting_for[need.name] = f"{error}"[:500]
        log.warning("waiting", need=need.name, error=f"{error}"[:500])
        return False
    health.waiting_for.pop(need.name, None)
    return True


async def _run_roles(health: Health, front: Sequence[Role], back: Sequence[Role], signalled: asyncio.Event) -> int:
    spare_the_garbage_collector()
    stop, stop_back = asyncio.Event(), asyncio.Event()
    front_tasks = [asyncio.create_task(role.run(stop)) for role in front]
    back_tasks = [asyncio.create_task(role.run(stop_back)) for role in back]
    health.running = True
    log.info("started")
    asked = asyncio.create_task(signalled.wait())
    await asyncio.wait([asked, *front_tasks, *back_tasks], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    health.draining = True
    log.info("stopping", signalled=signalled.is_set())
    stop.set()
    results = await asyncio.gather(*front_tasks, return_exceptions=True)
    stop_back.set()
    results += await asyncio.gather(*back_tasks, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in failures:
        log.error("role_failed", error=repr(failure), exc_info=failure)
    log.info("stopped", failures=len(failures))
    return 1 if failures else 0

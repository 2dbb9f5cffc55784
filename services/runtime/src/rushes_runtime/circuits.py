"""The stores that jobs need, each behind a circuit breaker: while one is down, no job that needs it is begun.

After a failed attempt, and to probe an open circuit, one question decides: does the store show its sentinels?
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from rushes_schemas.outputs import BUCKETS

from rushes_runtime import metrics
from rushes_runtime.breaker import Breaker, BreakerPolicy
from rushes_runtime.failures import AttemptFailedError, StartRefusedError
from rushes_runtime.store import Store, StoreUnavailableError, prove_conditions, prove_whole

log = structlog.get_logger(__name__)

_PATIENCE: Final = 10.0  # seconds for a look; a store that hangs is down


@dataclass(frozen=True)
class NeededStore:
    """A store that jobs need.

    Attributes:
        name: a short one, for metrics and logs.
        subjects: how the subjects begin whose jobs need it; empty: all.
        written: jobs write to it.
    """

    name: str
    store: Store
    subjects: str = ""
    written: bool = False


@dataclass
class _Circuit:
    needed: NeededStore
    breaker: Breaker
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    conditions_proven: bool = False


class Circuits:
    """What a worker knows of its stores. Each process learns it by itself."""

    def __init__(self, stores: Sequence[NeededStore], instance: str, policy: BreakerPolicy) -> None:
        self._instance = instance
        self._circuits = [_Circuit(needed, Breaker(policy)) for needed in stores]
        for circuit in self._circuits:
            metrics.STORE_CIRCUIT_OPEN.labels(circuit.needed.name).set(0)

    def left_out(self) -> list[str]:
        """How the subjects begin whose jobs must wait now; one that is empty means all."""
        return [circuit.needed.subjects for circuit in self._circuits if circuit.breaker.is_open]

    async def first_look(self) -> None:
        """Look at each store before the first claim; one that only some jobs need may be down.

        Raises:
            StoreError: a store that all jobs need is not whole.
            StartRefusedError: a store belongs to another instance, or does not keep the conditions of writes.
        """
        await asyncio.gather(*(self._first_look(circuit) for circuit in self._circuits))

    async def _first_look(self, circuit: _Circuit) -> None:
        try:
            await self._prove(circuit)
        except AttemptFailedError as error:
            if not circuit.needed.subjects:
                raise
            circuit.breaker.trip(time.monotonic(), random.random())  # noqa: S311 - spreads load, guards nothing
            self._say(circuit, was_open=False, error=error)

    async def store_is_back_in(self, subject: str) -> float | None:
        """Whether a store failure was the store's: seconds until its next probe. None: it was the job's own.

        Every store that the subject's job needs is looked at, unless its circuit is open already.
        """
        circuits = [circuit for circuit in self._circuits if subject.startswith(circuit.needed.subjects)]
        if all([await self._shows_itself(circuit) for circuit in circuits]):
            return None
        now = time.monotonic()
        return max(circuit.breaker.probe_in(now) for circuit in circuits)

    async def _shows_itself(self, circuit: _Circuit) -> bool:
        async with circuit.looking:
            return not circuit.breaker.is_open and await self._look(circuit)

    async def keep_probing(self, closed: Callable[[], None]) -> None:
        """Probe each open circuit by its own time, until cancelled.

        Args:
            closed: called when a store is back.
        """
        await asyncio.gather(*(self._keep_probing(circuit, closed) for circuit in self._circuits))

    async def _keep_probing(self, circuit: _Circuit, closed: Callable[[], None]) -> None:
        while True:
            await circuit.opened.wait()
            await asyncio.sleep(circuit.breaker.probe_in(time.monotonic()))
            async with circuit.looking:
                whole = await self._look(circuit)
            metrics.STORE_PROBES.labels(circuit.needed.name, "whole" if whole else "down").inc()
            if whole:
                closed()

    async def _look(self, circuit: _Circuit) -> bool:
        """Look at a store, and tell its breaker."""
        was_open = circuit.breaker.is_open
        failure: Exception | None = None
        try:
            await self._prove(circuit)
        except (AttemptFailedError, StartRefusedError, OSError) as error:
            failure = error
            circuit.breaker.not_shown(time.monotonic(), random.random())  # noqa: S311 - spreads load, guards nothing
        else:
            circuit.breaker.shown()
        self._say(circuit, was_open=was_open, error=failure)
        return failure is None

    async def _prove(self, circuit: _Circuit) -> None:
        await self._prove_whole(circuit.needed.store)
        if circuit.needed.written and not circuit.conditions_proven:
            await prove_conditions(circuit.needed.store, BUCKETS, self._instance)
            circuit.conditions_proven = True

    async def _prove_whole(self, store: Store) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                for bucket in BUCKETS:
                    await prove_whole(store, bucket, self._instance)
        except TimeoutError:
            raise StoreUnavailableError(f"{store.name} showed no sentinels within {_PATIENCE:g} s") from None

    def _say(self, circuit: _Circuit, *, was_open: bool, error: Exception | None) -> None:
        breaker, store = circuit.breaker, circuit.needed.name
        metrics.STORE_CIRCUIT_OPEN.labels(store).set(breaker.is_open)
        if breaker.is_open:
            circuit.opened.set()
            wait = round(breaker.probe_in(time.monotonic()), 1)
            log.error("store_is_still_down" if was_open else "store_is_down", store=store, error=f"{error}", wait=wait)
        elif was_open:
            circuit.opened.clear()
            log.info("store_is_back", store=store)
        elif error:
            log.warning("store_showed_no_sentinel", store=store, error=f"{error}")

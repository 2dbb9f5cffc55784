"""How many requests an endpoint gets at once: as many as it takes (additive increase, multiplicative decrease)."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from rushes_runtime.store.interface import StoreBusyError, StoreUnavailableError

Answer = TypeVar("Answer")

MOST: Final = 64
_BUSY_TRIES: Final = 8  # with waits that double, 15 s in all
_TRIES: Final = 3
_FIRST_WAIT: Final = 0.1  # seconds
_LONGEST_WAIT: Final = 5.0  # seconds


class Pace:
    """The width of a window: one more for each window of answers, half for each window that was refused.

    Requests that are under way together are refused together. So a refusal counts only if its request began after the
    last cut: what was too many then says nothing of what goes on since.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._width = float(most)
        self._cuts = 0

    @property
    def width(self) -> int:
        """Requests at once; at least one."""
        return int(self._width)

    def begin(self) -> int:
        """A mark of when a request began, for `refused`."""
        return self._cuts

    def answered(self) -> None:
        """A request got its answer."""
        self._width = min(self._most, self._width + 1 / self._width)

    def refused(self, began: int) -> None:
        """The endpoint asked for fewer requests."""
        if began == self._cuts:
            self._width = max(1.0, self._width / 2)
            self._cuts += 1


class Window:
    """Lets requests go on as its pace allows, in the order in which they came."""

    def __init__(self, store: str, pace: Pace | None = None) -> None:
        """Args:
        store: whose requests these are: that another store is busy leaves the window as it is.
        """
        self._store = store
        self.pace = pace or Pace()
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Room for one request. A `StoreBusyError` that leaves the block makes the window narrower."""
        await self._enter()
        began = self.pace.begin()
        try:
            yield
            self.pace.answered()
        except StoreBusyError as error:
            if error.store == self._store:
                self.pace.refused(began)
            raise
        finally:
            self._under_way -= 1
            self._admit()

    async def _enter(self) -> None:
        if not self._waiting and self._under_way < self.pace.width:
            self._under_way += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came as it was given up
                self._under_way -= 1
            else:
                self._waiting.remove(turn)
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._under_way < self.pace.width:
            turn = self._waiting.popleft()
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)


async def insist(request: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask again after a wait: while a store is busy, and a few times if it fails.

    A write that was done, but whose answer was lost, breaks its own condition when it is asked for again.

    Raises:
        StoreError: as the last try says.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return await request()
        except StoreUnavailableError as error:
            if tries >= (_BUSY_TRIES if isinstance(error, StoreBusyError) else _TRIES):
                raise
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2**tries)
        await asyncio.sleep(wait * (1 - random.random() / 2))  # noqa: S311 - spreads load, guards nothing

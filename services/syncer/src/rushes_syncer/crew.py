"""Threads for short pieces of work, many thousands of them, at little cost for each.

An executor wakes a thread for each piece, and the event loop for each end: for a small copy that is a third of what it
costs at all. Here a thread takes the next piece by itself while there is any, and ends are told together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

Answer = TypeVar("Answer")

_MOST: Final = 32  # threads
_executor = ThreadPoolExecutor(_MOST, thread_name_prefix="copies")


class Crew:
    """Threads that work for one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = Lock()
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()
        self._done: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        self._threads = 0

    async def do(self, work: Callable[[], Answer]) -> Answer:
        """Do a piece of work in a thread. Cancelled, it is waited for no more, but once begun it goes on to its end."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        with self._lock:
            self._waiting.append((future, work))
            more = self._threads < _MOST
            self._threads += more
        if more:
            _executor.submit(self._work)
        return await future

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                future, work = self._waiting.popleft()
            if future.cancelled():
                continue
            answer, failure = None, None
            try:
                answer = work()
            except BaseException as error:  # whoever waits gets it
                failure = error
            with self._lock:
                self._done.append((future, answer, failure))
                first = len(self._done) == 1
            if first:
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        for future, answer, failure in done:
            if future.cancelled():
                continue
            if failure:
                future.set_exception(failure)
            else:
                future.set_result(answer)


_crews: WeakKeyDictionary[asyncio.AbstractEventLoop, Crew] = WeakKeyDictionary()


def crew() -> Crew:
    """The crew of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _crews:
        _crews[loop] = Crew(loop)
    return _crews[loop]

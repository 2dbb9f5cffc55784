"""A stream of status changes to one client, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rushes_normalizer.api import metrics
from rushes_normalizer.api.access import Caller
from rushes_normalizer.api.history import ChangeHistory, Marker

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "text/event-stream"
_TOGETHER: Final = 100  # changes that are sent at once
_RECONNECT_MS: Final = 2000
_RESET: Final = b'event: reset\ndata: {"reason": "what happened since is not held here any more: read the lists"}\n'


class Ended(StrEnum):
    """Why a stream ended."""

    GONE = "gone"
    SLOW = "slow"
    REFUSED = "refused"
    STOPPED = "stopped"


@dataclass(frozen=True)
class StreamLimits:
    """Of each stream: seconds between heart-beats, and seconds that a client may take nothing."""

    heartbeat: float
    patience: float


class Streams:
    """The streams that this process serves: how many, and that they end when it does."""

    def __init__(self, most: int, most_each: int, abort: Callable[[Scope], None]) -> None:
        """
        Args:
            abort: ends the connection of a call, with all that is yet to be sent on it.
        """
        self._most = most
        self._most_each = most_each
        self._open: dict[str, int] = {}
        self.abort = abort
        self.stopping = asyncio.Event()

    def is_full(self, caller: Caller) -> bool:
        """Whether there is no room for one more."""
        return sum(self._open.values()) >= self._most or self._open.get(caller.key, 0) >= self._most_each

    def opened(self, caller: Caller) -> None:
        """One more."""
        self._open[caller.key] = self._open.get(caller.key, 0) + 1
        metrics.STREAMS.inc()

    def closed(self, caller: Caller, reason: Ended) -> None:
        """One less."""
        self._open[caller.key] -= 1
        if not self._open[caller.key]:
            del self._open[caller.key]
        metrics.STREAMS.dec()
        metrics.STREAMS_ENDED.labels(reason.value).inc()


class EventStream(Response):
    """Sends what the caller may see, from a marker on or from now on, until one of the two goes.

    Whoever takes nothing for `patience`, or falls behind so far that the history has forgotten what comes next, is
    dropped: it comes back with its last marker, or is told to read the lists again.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        *,
        caller: Caller,
        still_allowed: Callable[[], bool],
        history: ChangeHistory,
        streams: Streams,
        limits: StreamLimits,
        seen: Marker | None,
        lost: bool,
    ) -> None:
        """
        Args:
            still_allowed: whether the caller may go on; asked at each heart-beat's time.
            seen: what the client has seen, and the history holds since.
            lost: the client is to be told that it has missed something.
        """
        self.status_code = 200
        self.background = None
        # Proxies must pass on what comes as it comes.
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._caller = caller
        self._still_allowed = still_allowed
        self._history = history
        self._streams = streams
        self._limits = limits
        self._seen = seen or history.marker()
        self._next = history.first if seen else history.next
        self._lost = lost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._streams.opened(self._caller)
        reason = Ended.GONE
        try:
            reason = await self._serve(receive, send)
        finally:
            self._streams.closed(self._caller, reason)
            log.info("stream_ended", reason=reason.value, caller=self._caller.name)
        if reason is Ended.SLOW:
            self._streams.abort(scope)
            await _disconnected(receive)

    async def _serve(self, receive: Receive, send: Send) -> Ended:
        ends = {
            asyncio.create_task(self._send_all(send)): None,
            asyncio.create_task(_disconnected(receive)): Ended.GONE,
            asyncio.create_task(self._streams.stopping.wait()): Ended.STOPPED,
        }
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
            results = await asyncio.gather(*ends, return_exceptions=True)
        reason = next((why for task, why in ends.items() if task in done and why), None) or results[0]
        if isinstance(reason, BaseException):
            raise reason
        assert isinstance(reason, Ended)
        if reason in {Ended.REFUSED, Ended.STOPPED}:
            with suppress(TimeoutError):
                await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})
        return reason

    async def _send_all(self, send: Send) -> Ended:
        try:
            await self._send(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            greeting = f"retry: {_RECONNECT_MS}\n".encode() + (_RESET if self._lost else b"")
            await self._send_body(send, greeting + self._mark())
            return await self._send_changes(send)
        except TimeoutError:
            return Ended.SLOW

    async def _send_changes(self, send: Send) -> Ended:
        look_again = time.monotonic() + self._limits.heartbeat
        while True:
            moved = self._history.moved
            changes = self._history.since(self._next, _TOGETHER)
            if changes is None:
                return Ended.SLOW
            self._next += len(changes)
            told = b"".join(
                change.message
                for change in changes
                if change.offset >= self._seen.of(change.partition) and self._caller.may_see(change.project_id)
            )
            if told:
                await self._send_body(send, told)
            if time.monotonic() >= look_again:
                if not self._still_allowed():
                    return Ended.REFUSED
                await self._send_body(send, b": beat\n" + (self._mark() if self._next == self._history.next else b"\n"))
                look_again = time.monotonic() + self._limits.heartbeat
            if not changes:
                with suppress(TimeoutError):
                    await asyncio.wait_for(moved.wait(), max(0.0, look_again - time.monotonic()))

    def _mark(self) -> bytes:
        """Tells the client where it is, without an event: of others' changes it sees nothing."""
        return f"id: {self._seen if self._next < self._history.next else self._history.marker()}\n\n".encode()

    async def _send_body(self, send: Send, body: bytes) -> None:
        await self._send(send, {"type": "http.response.body", "body": body, "more_body": True})

    async def _send(self, send: Send, message: Mapping[str, object]) -> None:
        async with asyncio.timeout(self._limits.patience):
            await send(dict(message))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

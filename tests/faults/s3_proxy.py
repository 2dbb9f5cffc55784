"""An HTTP proxy before the S3 server that passes everything on, and answers as it is told for a while.

Signatures cover the Host header, so it goes on as it came. Each client of the store has a port of its own here, so
that a trouble can be one client's.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web
from rushes_embedded.ports import LOOPBACK, free_ports
from yarl import URL

_HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "expect", "te", "trailer", "upgrade"}
_SOURCES: Final = ("source-", "original-")
_ERROR: Final = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>by order of a test</Message></Error>"
# Status and S3's code by the kind of trouble.
_REFUSALS: Final = {
    "denied": (403, "AccessDenied"),
    "error": (500, "InternalError"),
    "busy": (503, "SlowDown"),
    "all_absent": (404, "NoSuchKey"),
    "sources_absent": (404, "NoSuchKey"),
}
SLOW: Final = 1.5  # seconds before each answer


@dataclass(eq=False)
class Trouble:
    """What goes wrong for the clients that it is for, until it is `over`; `keys` are the sources that it hid."""

    kind: str
    clients: frozenset[str]
    keys: set[str] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class Trap:
    """Holds the next write of an output by a client. `sprung` is set then; `key` is the object's.

    Attributes:
        of_part: of one part of an object.
    """

    client: str
    of_part: bool = False
    sprung: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    key: str = ""


class S3Proxy:
    """The proxy, with a port for each client."""

    def __init__(self, upstream: str, clients: tuple[str, ...]) -> None:
        self._upstream = upstream
        self.ports = dict(zip(clients, free_ports(len(clients)), strict=True))
        self._names = {port: client for client, port in self.ports.items()}
        self._troubles: list[Trouble] = []
        self._traps: list[Trap] = []
        self._hidden_before: set[str] = set()
        self.damaged: set[str] = set()  # keys of objects of which a client got other bytes than it asked for
        self._session: aiohttp.ClientSession

    @contextmanager
    def trouble(self, kind: str, clients: frozenset[str]) -> Iterator[Trouble]:
        """Trouble for some clients for as long as the block runs."""
        trouble = Trouble(kind, clients)
        self._troubles.append(trouble)
        try:
            yield trouble
        finally:
            self._troubles.remove(trouble)
            trouble.over.set()
            # Absence is proven by two looks. A key that was hidden twice, for a short while each, might be looked at in
            # both: no store does that to one object, so no trouble hides what an earlier one did.
            self._hidden_before |= trouble.keys

    @contextmanager
    def trap(self, client: str, *, of_part: bool = False) -> Iterator[Trap]:
        """Hold the client's next write of an output until the block ends or lets it go on."""
        trap = Trap(client, of_part)
        self._traps.append(trap)
        try:
            yield trap
        finally:
            trap.go_on.set()
            if trap in self._traps:
                self._traps.remove(trap)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request of a client."""
        assert request.transport is not None
        client = self._names[request.transport.get_extra_info("sockname")[1]]
        key = request.path.rpartition("/")[2]
        body = await request.read()
        troubles = [
            trouble
            for trouble in self._troubles
            if client in trouble.clients and self._hits(trouble, request.method, key)
        ]
        kinds = [trouble.kind for trouble in troubles]
        if refusal := await self._refusal(troubles, request):
            return refusal
        if "slow" in kinds:
            await asyncio.sleep(SLOW)
        if request.method == "PUT":
            await self._hold(client, key, of_part="partNumber" in request.query)
        if "flipped" in kinds and request.method == "PUT":
            body = _flipped(body)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        url = URL(self._upstream + request.raw_path, encoded=True)
        try:
            async with self._session.request(
                request.method,
                url,
                headers=headers,
                data=io.BytesIO(body) if body else None,
                skip_auto_headers=("Content-Type", "User-Agent"),
            ) as answer:
                content, given = self.rewritten(await answer.read(), answer.headers)
                status = answer.status
        except aiohttp.ClientError:
            return web.Response(status=502)
        if request.method == "GET" and status == 200 and content:
            if "flipped" in kinds:
                content = _flipped(content)
                self.damaged.add(key)
            if "cut" in kinds:
                return await _cut(request, content, given)
        kept = [(name, value) for name, value in given.items() if name.lower() not in _HOP_BY_HOP]
        response = web.StreamResponse(status=status, headers=dict(kept))
        if request.method != "HEAD":
            response.content_length = len(content)
        with suppress(ConnectionError):  # the client is gone: killed, or out of patience
            await response.prepare(request)
            if request.method != "HEAD":
                await response.write(content)
            await response.write_eof()
        return response

    def rewritten(self, content: bytes, headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        """What of an answer of the server goes on to the client: here, all as it is."""
        return content, headers

    @staticmethod
    async def _refusal(troubles: Sequence[Trouble], request: web.Request) -> web.Response | None:
        """What is answered instead of the server, after a while or at once."""
        for trouble in troubles:
            if trouble.kind == "silent":
                await trouble.over.wait()
                if request.transport:  # whoever asked may have gone
                    request.transport.abort()
                return web.Response(status=503)
            if trouble.kind in _REFUSALS:
                status, code = _REFUSALS[trouble.kind]
                text = "" if request.method == "HEAD" else _ERROR.format(code=code)
                return web.Response(status=status, text=text, content_type="application/xml")
        return None

    def _hits(self, trouble: Trouble, method: str, key: str) -> bool:
        if trouble.kind != "sources_absent":
            return True
        if method not in {"GET", "HEAD"} or not key.startswith(_SOURCES) or key in self._hidden_before:
            return False
        trouble.keys.add(key)
        return True

    async def _hold(self, client: str, key: str, *, of_part: bool) -> None:
        for trap in list(self._traps):
            is_meant = trap.client == client and of_part >= trap.of_part
            if is_meant and not key.startswith(("source-", "sentinel-")):
                self._traps.remove(trap)
                trap.key = key
                trap.sprung.set()
                await trap.go_on.wait()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[S3Proxy]:
        """Serve for as long as the block runs."""
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            self._session = session
            for port in self.ports.values():
                await web.TCPSite(runner, LOOPBACK, port).start()
            try:
                yield self
            finally:
                await runner.cleanup()


def _flipped(content: bytes) -> bytes:
    """The content with one byte somewhere that is another."""
    if not content:
        return content
    place = random.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


async def _cut(request: web.Request, content: bytes, headers: Mapping[str, str]) -> web.StreamResponse:
    """Promise all of it, send half, hang up."""
    kept = {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
    response = web.StreamResponse(status=200, headers=kept)
    response.content_length = len(content)
    with suppress(ConnectionError):
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
    if request.transport:
        request.transport.abort()
    return response

"""A cable between a service and a server, that a test can cut and hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Cable:
    """Forwards connections to a server on loopback.

    While it is held, bytes wait: nobody hears an answer, nobody sees a closed connection. Released, they go on.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._open = self._gate()
        self._streams: set[asyncio.Task[None]] = set()
        self._stop: bytes | None = None
        self._refused: bytes | None = None
        self.held = asyncio.Event()
        self.port = 0

    def hold_at(self, words: bytes) -> None:
        """Hold as soon as a client says these words; they wait too. `held` is set then."""
        self._stop = words

    def refuse(self, words: bytes) -> None:
        """Answer HTTP requests without a body that say these words with 403."""
        self._refused = words

    def hold(self) -> None:
        """Let nothing through, in either direction."""
        self._open.clear()

    def release(self) -> None:
        """Let through what waits, and what comes."""
        self._open.set()

    def abandon(self) -> None:
        """Forget the connections of now, as a firewall does: nothing of them is ever heard again. New ones work."""
        self.hold()
        self._open = self._gate()

    @staticmethod
    def _gate() -> asyncio.Event:
        gate = asyncio.Event()
        gate.set()
        return gate

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._streams.add(task)
        gate = self._open
        try:
            await gate.wait()
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
            await asyncio.gather(
                self._forward(reader, there_writer, gate, back=writer), self._forward(there_reader, writer, gate)
            )
        except (OSError, asyncio.CancelledError):
            writer.close()
        finally:
            self._streams.discard(task)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        gate: asyncio.Event,
        back: asyncio.StreamWriter | None = None,
    ) -> None:
        try:
            while some := await reader.read(65_536):
                if back and self._refused and self._refused in some:
                    back.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    await back.drain()
                    continue
                if self._stop and self._stop in some:
                    self._stop = None
                    self.hold()
                    self.held.set()
                await gate.wait()
                writer.write(some)
                await writer.drain()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _close(self) -> None:
        for stream in list(self._streams):
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)


@asynccontextmanager
async def cable_to(port: int) -> AsyncIterator[Cable]:
    """A cable to a port on loopback, for as long as the block runs."""
    cable = Cable(port)
    server = await asyncio.start_server(cable._connected, "127.0.0.1", 0)
    cable.port = server.sockets[0].getsockname()[1]
    try:
        yield cable
    finally:
        server.close()
        await cable._close()
        await server.wait_closed()

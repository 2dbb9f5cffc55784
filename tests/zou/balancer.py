"""One address for several replicas, as a Kubernetes Service is: new connections go to those that are ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

import aiohttp

_LOOK: Final = 0.2  # seconds between looks at the probes


@dataclass(frozen=True)
class Replica:
    """Where a process answers, and where its probes are."""

    port: int
    operations_port: int


class Balancer:
    """Forwards connections; one that is open stays where it is."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._replicas = replicas
        self._ready: list[int] = []
        self._turns = count()

    async def watch(self) -> None:
        """Look at the probes again and again."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as client:
            while True:
                ready = [each.port for each in self._replicas if await _is_ready(client, each)]
                self._ready = ready
                await asyncio.sleep(_LOOK)

    @property
    def ready(self) -> Sequence[int]:
        """The ports that are ready now."""
        return self._ready

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until either side ends it."""
        if not self._ready:
            writer.close()
            return
        port = self._ready[next(self._turns) % len(self._ready)]
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))


async def _is_ready(client: aiohttp.ClientSession, replica: Replica) -> bool:
    try:
        async with client.get(f"http://127.0.0.1:{replica.operations_port}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(ConnectionError, RuntimeError):
        writer.close()


@asynccontextmanager
async def balanced(*replicas: Replica) -> AsyncIterator[tuple[str, Balancer]]:
    """The address, for as long as the block runs."""
    balancer = Balancer(replicas)
    server = await asyncio.start_server(balancer.connected, "127.0.0.1", 0)
    watching = asyncio.create_task(balancer.watch())
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", balancer
    finally:
        watching.cancel()
        server.close()
        await asyncio.gather(watching, return_exceptions=True)

"""Apache Kafka, PostgreSQL and an S3 server beside a cluster, and the address at which its pods reach them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from rushes_embedded.apache_kafka import ApacheKafka, Listener
from rushes_embedded.objects import Objects
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.postgres import Postgres


class Servers:
    """The three. They listen on loopback; `address` leads there."""

    def __init__(self, folder: Path, address: str) -> None:
        self.postgres = Postgres(folder / "postgres", log=folder / "postgres.log", durable=True)
        self.objects = Objects(folder / "objects", log=folder / "objects.log")
        self.kafka_port = free_ports(1)[0]
        # Each listener tells its own address to clients; that of pods is known when the other's is.
        advertised = {"advertised.listeners": ""}
        self.kafka = ApacheKafka(
            folder / "kafka",
            log=folder / "kafka.log",
            settings=advertised,
            listeners={"PODS": Listener(self.kafka_port)},
        )
        own = self.kafka.bootstrap_servers
        advertised["advertised.listeners"] = f"PLAINTEXT://{own},PODS://{address}:{self.kafka_port}"
        self._address = address
        self._forwarder = _Forwarder()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Start them, for as long as the block runs.

        Raises:
            StartError: one cannot start.
        """
        servers = (self.kafka, self.objects, self.postgres)
        try:
            with ThreadPoolExecutor(len(servers)) as threads:
                for start in [threads.submit(server.start) for server in servers]:
                    start.result()
            for port in (self.kafka_port, port_of(self.postgres.url), port_of(self.objects.endpoint_url)):
                self._forwarder.forward(self._address, port)
            yield self
        finally:
            self._forwarder.stop()
            for server in servers:
                server.discard()

    def seen_by_pods(self, url: str) -> str:
        """The same URL with the address that pods reach."""
        return url.replace(f"{LOOPBACK}:", f"{self._address}:")


def port_of(url: str) -> int:
    """The port in a URL."""
    port = urlsplit(url).port
    assert port
    return port


class _Forwarder:
    """Takes connections at an address and leads them to the same port on loopback, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="forwarder", daemon=True)
        self._thread.start()

    def forward(self, address: str, port: int) -> None:
        serving = asyncio.start_server(lambda reader, writer: _join(reader, writer, port), address, port)
        asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _cut(self) -> None:
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for each in connections:
            each.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    with suppress(OSError):
        there_reader, there_writer = await asyncio.open_connection(LOOPBACK, port)
        await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer), return_exceptions=True)
    writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(262_144):
            writer.write(some)
            await writer.drain()
    finally:
        writer.close()

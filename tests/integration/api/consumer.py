"""The API served in the test's own loop, and what tests ask of it as a client does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiohttp import ClientError, ClientResponse, ClientSession
from rushes_normalizer.api.access import hash_of
from rushes_normalizer.api.settings import ApiSettings
from rushes_normalizer.api.wiring import open_api
from rushes_normalizer.previews import PreviewRow
from rushes_normalizer.transitions import announcement, status_changed
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.settings import nest_variables
from rushes_schemas import StatusChanged

from tests.world import PATIENCE, World, eventually, free_port, playing

PROJECT, OTHER_PROJECT = uuid4(), uuid4()
ALL, ONE, READ_ONLY = "token-of-all", "token-of-one-project", "token-that-reads"
ACCESS: Mapping[str, Any] = {
    "tokens": [
        {"name": "wall", "sha256": hash_of(ALL), "projects": "all", "renormalize": True},
        {"name": "one", "sha256": hash_of(ONE), "projects": [str(PROJECT)], "renormalize": True},
        {"name": "reader", "sha256": hash_of(READ_ONLY), "projects": "all"},
    ],
    "groups": [{"name": "supervisors", "projects": [str(PROJECT)], "renormalize": True}],
}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Consumer:
    """A client of the API, and the database behind it."""

    world: World
    database: Database
    client: ClientSession
    address: str

    async def ask(self, path: str, token: str | None = ALL, method: str = "GET", **options: Any) -> Answer:
        """An answer, its body read as JSON."""
        headers = {**bearer(token), **options.pop("headers", {})}
        async with self.client.request(method, self.address + path, headers=headers, **options) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.json(content_type=None))

    async def ids(self, path: str, token: str = ALL, **query: Any) -> list[UUID]:
        """The previews of a page."""
        answer = await self.ask(path, token, params=query)
        assert answer.status == 200, answer
        return [UUID(each["preview"]["id"]) for each in answer.body["previews"]]

    @asynccontextmanager
    async def stream(self, token: str = ALL, last: str | None = None) -> AsyncIterator[Stream]:
        """A stream that has begun."""
        headers = {**bearer(token), **({"Last-Event-ID": last} if last is not None else {})}
        async with self.client.get(f"{self.address}/status-changes", headers=headers, timeout=None) as answer:
            assert answer.status == 200, await answer.text()
            stream = Stream(answer)
            await stream.begun()
            yield stream


@dataclass
class Told:
    """An event of a stream."""

    id: str
    event: str
    data: Any


@dataclass
class Stream:
    """Reads server-sent events as browsers do."""

    answer: ClientResponse
    last: str = ""
    comments: int = 0
    _blocks: list[Told] = field(default_factory=list)

    async def begun(self) -> None:
        """Wait for the first block, which says where the stream begins."""
        while not self.last:
            if told := await self._block():
                self._blocks.append(told)

    async def event(self) -> Told:
        """The next event, which must come in a while, however many heart-beats do."""
        async with asyncio.timeout(PATIENCE):
            while True:
                told = self._blocks.pop(0) if self._blocks else await self._block()
                if told:
                    return told

    async def _block(self) -> Told | None:
        kind, data = "message", []
        while True:
            line = (await asyncio.wait_for(self.answer.content.readline(), PATIENCE)).decode()
            if not line:
                raise EOFError
            name, _, value = line.rstrip("\n").partition(":")
            value = value.removeprefix(" ")
            match name:
                case "id":
                    self.last = value
                case "event":
                    kind = value
                case "data":
                    data.append(value)
                case "" if value:
                    self.comments += 1
                case "":
                    return Told(self.last, kind, json.loads("\n".join(data))) if data else None
                case _:
                    pass


def bearer(token: str | None) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


@asynccontextmanager
async def served(world: World, access: Any = ACCESS, **settings: str) -> AsyncIterator[Consumer]:
    """The API on a migrated schema, for as long as the block runs."""
    port = free_port()
    given = {"API_LINGER": "0", "API_PORT": str(port), **settings}
    if "API_ACCESS_FILE" not in given:
        given["API_ACCESS"] = json.dumps(access)
    wanted = ApiSettings(**nest_variables({**world.environment, **given}))
    async with world.normalizer_database() as database, open_api(wanted, Health()) as roles, ClientSession() as client:
        consumer = Consumer(world, database, client, f"http://127.0.0.1:{port}")
        async with playing(roles.server), playing(roles.follower):
            await eventually(lambda: _listens(consumer))
            yield consumer


async def _listens(consumer: Consumer) -> bool:
    try:
        return (await consumer.ask("/openapi.json")).status == 200
    except ClientError:
        return False


def change(before: PreviewRow | None, row: PreviewRow, *, expose_missing: bool = False) -> StatusChanged:
    """The event of a transition, as the normalizer sends it."""
    return status_changed(before, row, job_state=None, expose_missing=expose_missing, now=datetime.now(UTC))


async def announce(world: World, *events: StatusChanged) -> None:
    """Put status changes on the bus."""
    async with world.producer() as producer:
        for event in events:
            envelope = announcement(event, now=datetime.now(UTC))
            await producer.send_and_wait(
                world.prefix + envelope.topic, key=envelope.key(), value=envelope.value(), headers=envelope.headers()
            )

"""Uploads as a studio sends them, and what the ledger and the bus say of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from rushes_normalizer.previews import SCHEMA
from rushes_runtime.database import Database, is_away
from rushes_runtime.store import open_store
from rushes_schemas import Encoding, StatusChanged
from sqlalchemy import text

from tests.movies import tools
from tests.world import World, put_source, upload

# A machine that does other things, too, takes its time.
_SECONDS = 420.0
_SECONDS_BETWEEN = 3.0


@dataclass
class Uploads:
    """Every upload of this run, and where to look what became of it."""

    world: World
    movie: Path
    long_movie: Path
    sent: list[UUID] = field(default_factory=list)

    @classmethod
    async def make(cls, world: World, folder: Path) -> Uploads:
        """Make the movies: one of a second, one that takes many seconds to encode."""
        movie, long_movie = folder / "short.mp4", folder / "long.mp4"
        for path, size, seconds in ((movie, "320x180", 1), (long_movie, "1280x720", 20)):
            pattern = f"testsrc2=size={size}:rate=25:duration={seconds}"
            options = ("-nostdin", "-v", "error", "-f", "lavfi", "-i", pattern, "-preset", "ultrafast", path)
            process = await asyncio.create_subprocess_exec(tools().ffmpeg, *map(str, options))
            assert await process.wait() == 0
        return cls(world, movie, long_movie)

    async def send(self, number: int) -> list[UUID]:
        """Upload and publish short movies."""
        ids = [uuid4() for _ in range(number)]
        await self._publish(ids, self.movie, {})
        return ids

    async def send_long(self) -> UUID:
        """Upload and publish a movie that takes long."""
        long_id = uuid4()
        await self._publish([long_id], self.long_movie, {"encoding": Encoding(height=1080)})
        return long_id

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Uploads, one after another, as long as the block runs."""

        ended = asyncio.Event()

        async def flow() -> None:
            while not ended.is_set():
                await self.send(1)
                with suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), _SECONDS_BETWEEN)

        flowing = asyncio.create_task(flow())
        try:
            yield
        finally:
            ended.set()
            await flowing

    async def _publish(self, ids: Sequence[UUID], path: Path, wishes: dict[str, Any]) -> None:
        async with open_store(self.world.normalizer_settings().store) as store:
            sources = [await put_source(store, each, path) for each in ids]
        await self.world.send(
            *(upload(each, source=source, **wishes) for each, source in zip(ids, sources, strict=True))
        )
        self.sent += ids

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """Ask the normalizer's database."""
        database = Database.of(self.world.normalizer_settings(), SCHEMA)
        try:
            async with database.begin() as connection:
                return list((await connection.execute(text(statement), values)).all())
        finally:
            await database.close()

    async def until(self, statement: str, wanted: Callable[[list[Any]], bool], **values: Any) -> list[Any]:
        """Ask again and again until the answer is as wanted; a database that is away is waited for.

        Raises:
            TimeoutError: it never was.
        """
        deadline = time.monotonic() + _SECONDS
        answer: list[Any] = []
        while time.monotonic() < deadline:
            try:
                answer = await self.rows(statement, **values)
            except Exception as error:
                if not is_away(error):
                    raise
            else:
                if wanted(answer):
                    return answer
            await asyncio.sleep(0.25)
        raise TimeoutError(f"{statement} never was as wanted; it is {answer}")

    async def until_ready(self, ids: Sequence[UUID]) -> None:
        """Wait until all of them are `ready`."""
        await self.until(
            "SELECT status, count(*) FROM preview_file WHERE id = ANY(:ids) GROUP BY status",
            lambda rows: [(row.status, row.count) for row in rows] == [("ready", len(ids))],
            ids=list(ids),
        )

    async def lost(self) -> list[UUID]:
        """Uploads whose last word on the bus is not `ready`."""
        last: dict[UUID, str] = {}
        for record in await self.world.records("status-changed"):
            if record.value:
                change = StatusChanged.model_validate_json(record.value)
                last[change.preview_file_id] = change.internal_status
        return [each for each in self.sent if last.get(each) != "ready"]

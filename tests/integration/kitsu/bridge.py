"""The bridge as a process, and what tests ask of it as Zou does."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
from rushes_embedded.stack import Stack
from rushes_kitsu.dispatches import SCHEMA
from rushes_kitsu.job_ids import JobId
from rushes_kitsu.settings import KitsuSettings
from rushes_runtime.database import Database
from rushes_runtime.settings import nest_variables
from rushes_schemas import PreviewUploaded, StatusChanged
from sqlalchemy import make_url

from tests.pace import pace
from tests.unit.kitsu.zou_payloads import dispatch_body, movie_payload
from tests.unit.schemas.event_samples import PAYLOADS
from tests.world import World, eventually, free_port

JOB = "rushes-normalize"
# As Zou has it: a slower answer is none.
ZOU_WAITS = aiohttp.ClientTimeout(total=5 * pace())


@dataclass
class Bridge:
    """A process of `rushes-kitsu serve`, and its address."""

    world: World
    client: aiohttp.ClientSession
    address: str

    @property
    def _store(self) -> dict[str, str]:
        """What Zou says of the world's store."""
        return {
            "FS_S3_ENDPOINT": self.world.environment["STORE__ENDPOINT_URL"],
            "FS_BUCKET_PREFIX": self.world.environment["STORE__BUCKET_PREFIX"],
        }

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Status and body of an answer."""
        async with self.client.request(method, self.address + path, **options) as answer:
            return answer.status, await answer.text()

    async def dispatch(self, preview_file_id: UUID | None = None, **changed: Any) -> tuple[int, str]:
        """Dispatch a movie whose store is the world's."""
        body = dispatch_body(movie_payload(preview_file_id, **{**self._store, **changed}))
        return await self.ask("POST", f"/v1/job/{JOB}/dispatch", data=body)

    async def dispatched(self, preview_file_id: UUID | None = None, **changed: Any) -> JobId:
        """Dispatch a movie that is taken; its id."""
        status, text = await self.dispatch(preview_file_id, **changed)
        assert status == 200, text
        job = JobId.parse(json.loads(text)["DispatchedJobID"])
        assert job
        return job

    async def ordered(self, name: str, payload: dict[str, Any]) -> JobId:
        """The job of a build that was dispatched, for the world's store."""
        body = dispatch_body({**payload, **self._store})
        status, text = await self.ask("POST", f"/v1/job/{name}/dispatch", data=body)
        assert status == 200, text
        job = JobId.parse(json.loads(text)["DispatchedJobID"])
        assert job
        return job

    async def ended(self, job: JobId) -> tuple[str, str]:
        """The state of a job once it has ended, and what its log says then."""
        state = await eventually(lambda: self.state(job), lambda state: state != "Running")
        _, frame = await self.ask("GET", f"/v1/client/fs/logs/{job}?type=stderr")
        return state, base64.b64decode(json.loads(frame)["Data"]).decode() if frame else ""

    async def state(self, job: JobId) -> str:
        """The state of a job, as a poll of Zou reads it."""
        status, text = await self.ask("GET", f"/v1/job/{job}/summary")
        assert status == 200, text
        (counts,) = json.loads(text)["Summary"].values()
        (state,) = (name for name, number in counts.items() if number)
        return str(state)

    async def events(self) -> list[PreviewUploaded]:
        """The uploads on the bus."""
        return [
            PreviewUploaded.model_validate_json(record.value)
            for record in await self.world.records("preview-uploaded")
            if record.value
        ]


@asynccontextmanager
async def bridge_of(world: World, log: str = "kitsu", **settings: str) -> AsyncIterator[Bridge]:
    """A bridge that is ready, for as long as the block runs; on a migrated schema."""
    port = free_port()
    async with kitsu_database(world):
        pass
    world.process("rushes-kitsu", "serve", log=log, NOMAD_PORT=str(port), **{"NOMAD_LINGER": "0", **settings})
    try:
        async with aiohttp.ClientSession(timeout=ZOU_WAITS) as client:
            scheme = "https" if "NOMAD_TLS_CERTFILE" in settings else "http"
            bridge = Bridge(world, client, f"{scheme}://127.0.0.1:{port}")
            await eventually(lambda: logged(world, "nomad_served", log))
            yield bridge
    finally:
        world.stop_processes()


@asynccontextmanager
async def kitsu_database(world: World, url: str | None = None) -> AsyncIterator[Database]:
    """The bridge's database."""
    settings = KitsuSettings(**nest_variables(world.environment))
    database = Database(url or settings.read_database_url, SCHEMA)
    try:
        yield database
    finally:
        await database.close()


async def logged(world: World, words: str, log: str = "kitsu") -> bool:
    """Whether a bridge has logged these words."""
    return words in (world.folder / f"{log}.log").read_text()


@asynccontextmanager
async def maintenance(stack: Stack) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    """What executes statements beside all tests' databases."""
    connection = await asyncpg.connect(stack.postgres.url.replace("+asyncpg", ""))
    try:
        yield connection.execute
    finally:
        await connection.close()


def database_behind(world: World, port: int) -> str:
    """The address of the world's database by way of another port."""
    return make_url(world.environment["DATABASE_URL"]).set(port=port).render_as_string(hide_password=False)


def database_port(world: World) -> int:
    """The port of the world's database."""
    port = make_url(world.environment["DATABASE_URL"]).port
    assert port
    return port


def state_of(job: JobId, uploaded_at: datetime, **changed: Any) -> StatusChanged:
    """What the normalizer says of the upload that a job became."""
    upload = {
        "extension": "mp4",
        "uploaded_at": uploaded_at,
        "source": {"bucket": "movies", "key": f"source-{job.preview_file_id}"},
    }
    return StatusChanged.model_validate(
        {
            **PAYLOADS["status-changed"],
            "preview_file_id": job.preview_file_id,
            "id": job.preview_file_id,
            "upload": upload,
            "deleted": False,
            "error": None,
            "internal_status": "ready",
            "status": "ready",
            "occurred_at": datetime.now(UTC),
            **changed,
        }
    )


def unknown_job() -> JobId:
    """An id that nobody has given out."""
    return JobId(JOB, uuid4(), uuid4())

"""What a drill plays on: the embedded stack, the services as the chart runs them, a Prometheus, and cables to cut."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import aiohttp
from rushes_embedded.kafka_jars import find_apache_kafka
from rushes_embedded.leash import Leash
from rushes_embedded.stack import Stack
from rushes_embedded.studio import command_of
from rushes_runtime.database import Database
from rushes_runtime.store import Store
from sqlalchemy import make_url
from yarl import URL

from tests.cable import Cable, cable_to
from tests.drill.rules import DRAIN_BUDGET, drill_rules
from tests.integration.kitsu.bridge import kitsu_database
from tests.movies import ffmpeg
from tests.prometheus_server import PrometheusServer, Target, prometheus
from tests.unit.kitsu.zou_payloads import dispatch_body, movie_payload
from tests.world import World, eventually, free_port, put_source, upload
from tests.zou_stand_in import ZouStandIn, zou_stand_in

SCRATCH_ROOM: Final = 1 << 30
# Why there is no Apache Kafka here, if there is none; the embedded broker can do all but several members in a group.
NO_KAFKA: Final = find_apache_kafka()


@dataclass
class Drill:
    """The studio of a drill. `world` goes straight to the servers, `environment` by way of the cables."""

    world: World
    environment: dict[str, str]
    normalizer: Database
    syncer: Database
    store: Store
    database_cable: Cable
    store_cable: Cable
    prometheus: PrometheusServer
    movie: Path
    kitsu: Database
    zou: ZouStandIn
    nomad_port: int
    processes: dict[str, tuple[Leash, Target]] = field(default_factory=dict)
    _leashes: list[Leash] = field(default_factory=list)

    @property
    def scratch(self) -> Path:
        """The folder of all scratch folders."""
        return self.world.folder / "scratch"

    def start(self, component: str, *, under: Sequence[str] = (), **settings: str) -> None:
        """Start a process of a component, in place of the one before, which must have ended or be about to."""
        name = f"{component}-{len(self._leashes) + 1}"
        port = free_port()
        service, *arguments = {
            "control": ("rushes-normalizer", "run", "--roles", "intake,relay,janitor"),
            "worker": ("rushes-normalizer", "run", "--roles", "worker"),
            "syncer": ("rushes-syncer", "run", "--roles", "intake,worker,relay,janitor"),
            "kitsu": ("rushes-kitsu", "serve"),
            "kitsu-follow": ("rushes-kitsu", "follow"),
            "api": ("rushes-normalizer", "api"),
        }[component]
        places = {"OPERATIONS_PORT": str(port), "SCRATCH": str(self.scratch / name)}
        leash = Leash(
            [*under, *command_of(service), *arguments],
            log=self.world.folder / f"{name}.log",
            env={**os.environ, **self.environment, **places, **settings},
        )
        leash.start()
        self._leashes.append(leash)
        target = Target(port, component, name, pool="general" if component == "worker" else "")
        self.processes[component] = (leash, target)
        self.scrape()

    def scrape(self, *also: Target) -> None:
        """Let Prometheus scrape what runs now, and those."""
        self.prometheus.scrape(*(target for _, target in self.processes.values()), *also)

    async def stop(self, component: str) -> None:
        """End a component's process, and wait for it, in a thread: the cables that it ends by run here."""
        leash, _ = self.processes.pop(component)
        await asyncio.to_thread(leash.stop)
        self.scrape()

    async def stop_all(self) -> None:
        """End every process, whatever state it is in."""
        for leash in self._leashes:
            with suppress(ProcessLookupError):
                os.kill(leash.pid, signal.SIGCONT)
            await asyncio.to_thread(leash.stop)

    async def started(self, component: str) -> None:
        """Wait until a component's newest process has begun its work."""
        _, target = self.processes[component]
        log = self.world.folder / f"{target.pod}.log"

        async def said() -> bool:
            return '"event": "started"' in log.read_text()

        await eventually(said)

    async def answers_zou(self) -> None:
        """Wait until the bridge answers."""
        _, target = self.processes["kitsu"]
        log = self.world.folder / f"{target.pod}.log"

        async def said() -> bool:
            return '"event": "nomad_served"' in log.read_text()

        await eventually(said)

    async def upload(self, count: int = 1, *, source: bool = True) -> list[UUID]:
        """Uploads of a short movie, whose sources stand in the store or do not."""
        events = [upload() for _ in range(count)]
        if source:
            for event in events:
                await put_source(self.store, event.preview_file_id, self.movie)
        await self.world.send(*events)
        return [event.preview_file_id for event in events]

    async def dispatch(self, preview_file_id: UUID, *, prefix: str | None = None) -> int:
        """Dispatch a movie as Zou does; the status of the answer."""
        ours = self.environment["STORE__BUCKET_PREFIX"] if prefix is None else prefix
        store = {"FS_S3_ENDPOINT": self.environment["STORE__ENDPOINT_URL"], "FS_BUCKET_PREFIX": ours}
        body = dispatch_body(movie_payload(preview_file_id, **store))
        async with aiohttp.ClientSession() as client:
            address = f"http://127.0.0.1:{self.nomad_port}/v1/job/rushes-normalize/dispatch"
            async with client.post(address, data=body) as answer:
                return answer.status

    async def ended(self, ids: Sequence[UUID]) -> None:
        """Wait until these previews are no longer in processing."""
        await eventually(
            lambda: self.normalizer.fetch(
                "SELECT id FROM preview_file WHERE status <> 'processing' AND id = ANY(:ids)", ids=list(ids)
            ),
            lambda rows: len(rows) == len(ids),
        )


@asynccontextmanager
async def drill_in(folder: Path) -> AsyncIterator[Drill]:
    """A studio in a folder: one preview is ready and copied, nothing waits."""
    async with AsyncExitStack() as resources:
        stack = resources.enter_context(Stack(folder / "stack", broker="embedded" if NO_KAFKA else "apache-kafka"))
        world = World.make(stack, stack.broker, folder / "world").with_settings(
            NOMAD_PORT=str(free_port()),
            NOMAD_LINGER="0",
            FOLLOW_INTERVAL="0.5",
            STORE_FAILURES="1",
            DRAIN_BUDGET=str(DRAIN_BUDGET),
            SLOTS="1",
            STALL_TIMEOUT="120",
        )
        world.folder.mkdir(exist_ok=True)
        await world.prepare()
        normalizer = await resources.enter_async_context(world.normalizer_database())
        syncer = await resources.enter_async_context(world.syncer_database())
        kitsu = await resources.enter_async_context(kitsu_database(world))
        store = await resources.enter_async_context(world.store())
        zou = await resources.enter_async_context(zou_stand_in())
        database_url = make_url(world.environment["DATABASE_URL"])
        endpoint = URL(world.environment["STORE__ENDPOINT_URL"])
        assert database_url.port
        assert endpoint.port
        database_cable = await resources.enter_async_context(cable_to(database_url.port))
        store_cable = await resources.enter_async_context(cable_to(endpoint.port))
        by_cable = database_url.set(host="127.0.0.1", port=database_cable.port)
        environment = {
            **world.environment,
            "DATABASE_URL": by_cable.render_as_string(hide_password=False),
            "STORE__ENDPOINT_URL": str(endpoint.with_port(store_cable.port)),
            "ZOU_URL": zou.address,
            "ZOU_TOKEN": "drill",
        }
        movie = folder / "movie.mp4"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=1", "-pix_fmt", "yuv420p", movie)
        rules = drill_rules(scratch_free=shutil.disk_usage(folder).free - SCRATCH_ROOM)
        seen = await resources.enter_async_context(prometheus(folder / "prometheus", rules))
        nomad_port = int(world.environment["NOMAD_PORT"])
        cables = (database_cable, store_cable)
        drill = Drill(world, environment, normalizer, syncer, store, *cables, seen, movie, kitsu, zou, nomad_port)
        resources.push_async_callback(drill.stop_all)
        for component in ("control", "worker", "syncer", "kitsu", "kitsu-follow"):
            drill.start(component)
        await drill.answers_zou()
        await drill.ended(await drill.upload())
        await eventually(lambda: seen.query("sum(rushes_jobs_total{kind='copy',outcome='done'}) > 0"))
        yield drill

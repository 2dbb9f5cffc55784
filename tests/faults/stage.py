"""The stage of a run: real servers, a proxy before each where the network is at fault, and the services."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
from rushes_embedded.apache_kafka import ApacheKafka, Listener
from rushes_embedded.broker import Topic
from rushes_embedded.objects import Objects
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.postgres import Postgres
from rushes_embedded.studio import command_of
from sqlalchemy import make_url

from tests.faults.plan import CONFIRM_ABSENCE, FOLDER_SITE, LEASE, PROCESSES, S3_SITE, STALL, SYNCERS
from tests.faults.private_mounts import MountedFolder, mount_small_disk
from tests.faults.processes import Supervised
from tests.faults.s3_proxy import S3Proxy
from tests.faults.toxiproxy import Toxiproxy
from tests.world import TOPICS

# What a look into a database meets that is restarting, or ends all its connections.
DATABASE_AWAY: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    TimeoutError,
)


class Servers:
    """PostgreSQL, SeaweedFS, Apache Kafka and toxiproxy: started once, for one run or for several in turn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.postgres = Postgres(folder / "postgres", log=self.logs / "postgres.log", durable=True)
        self.objects = Objects(folder / "objects", log=self.logs / "objects.log")
        behind, self.kafka_proxy_port = free_ports(2)
        self._kafka_port = behind
        proxied = {"PROXIED": Listener(behind, advertised=self.kafka_proxy_port)}
        self.kafka = ApacheKafka(folder / "kafka", log=self.logs / "kafka.log", listeners=proxied)
        self.toxiproxy = Toxiproxy(self.logs / "toxiproxy.log")
        self.restarting = asyncio.Lock()
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Servers:
        try:
            for server in (self.postgres, self.objects, self.kafka):
                self._resources.push_async_callback(asyncio.to_thread, server.discard)
            starts = [asyncio.to_thread(each.start) for each in (self.postgres, self.objects, self.kafka)]
            await asyncio.gather(*starts)
            await self._resources.enter_async_context(self.toxiproxy)
            await self.toxiproxy.add("broker", self._kafka_port, self.kafka_proxy_port)
        except BaseException:
            await self._resources.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._resources.aclose()

    async def restart_postgres(self, how: str) -> None:
        """As `pg_ctl restart -m fast` or `-m immediate`."""
        async with self.restarting:
            if how == "immediate":
                os.kill(self.postgres.pid, signal.SIGQUIT)
            await asyncio.to_thread(self.postgres.stop)
            await asyncio.to_thread(self.postgres.start)

    async def restart_kafka(self, *, kill: bool) -> None:
        """An orderly restart of the broker, or a crash."""
        async with self.restarting:
            if kill:
                os.kill(self.kafka.pid, signal.SIGKILL)
            await asyncio.to_thread(self.kafka.stop)
            await asyncio.to_thread(self.kafka.start)


@dataclass
class Stage:
    """One run's own database, topics and buckets, and its processes."""

    name: str
    servers: Servers
    folder: Path
    environment: dict[str, str]
    database_url: str
    s3: S3Proxy
    own_mounts: bool
    lyon_disk: MountedFolder = field(init=False)  # mounted if this run may
    processes: dict[str, Supervised] = field(default_factory=dict)
    operations: dict[str, str] = field(default_factory=dict)  # each process's address for probes

    def __post_init__(self) -> None:
        self.lyon_disk = MountedFolder(self.folder / f"{FOLDER_SITE}-disk", self.lyon)

    @property
    def mortal(self) -> tuple[str, ...]:
        """The sites of which the store can die here."""
        return (S3_SITE, FOLDER_SITE) if self.own_mounts else (S3_SITE,)

    @property
    def prefix(self) -> str:
        """Of the topics."""
        return f"{self.name}."

    @property
    def lyon(self) -> Path:
        """The folder of the site that is one."""
        return self.folder / FOLDER_SITE

    def scratch(self, process: str) -> Path:
        """A process's scratch folder."""
        return self.folder / f"scratch-{process}"

    def flag(self, name: str) -> Path:
        """A file that tells `tests.faults.process` something while it is there."""
        return self.folder / "flags" / name

    async def query(self, statement: str, *values: object) -> list[Any]:
        """Rows, read past every proxy."""
        connection = await asyncpg.connect(self.database_url, timeout=5)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close(timeout=5)


@asynccontextmanager
async def open_stage(
    servers: Servers,
    name: str,
    *,
    mutant: str | None = None,
    own_mounts: bool = False,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Stage]:
    """A stage with running services.

    Args:
        name: of the instance; lower case letters, digits and dashes.
        mutant: switched on in every process.
        own_mounts: this process has mounts of its own: scratch disks are small, and a site's folder is mounted.
        settings: over those of every stage.
    """
    async with AsyncExitStack() as resources:
        folder = servers.folder / name
        (folder / "logs").mkdir(parents=True)
        (folder / "flags").mkdir()
        servers.kafka.ensure_topics([Topic(f"{name}.{topic}", config=config) for topic, config in TOPICS.items()])
        url = servers.postgres.create_database(name.replace("-", "_"))
        s3 = S3Proxy(servers.objects.endpoint_url, (*PROCESSES, S3_SITE))
        await resources.enter_async_context(s3.serve())
        environment = {**_environment(servers, name, folder, url), **(settings or {})}
        stage = Stage(name, servers, folder, environment, _plain(url), s3, own_mounts)
        if own_mounts:
            await stage.lyon_disk.mount()
            resources.push_async_callback(stage.lyon_disk.unmount)
        for service in ("rushes-normalizer", "rushes-syncer"):
            await _run([*command_of(service), "migrate", "--store"], stage.environment)
        for process in PROCESSES:
            if own_mounts:
                mount_small_disk(stage.scratch(process))
                resources.callback(partial(_unmount, stage.scratch(process)))
            own = await _own(stage, process, mutant)
            supervised = Supervised(process, _command(process, mutant), own, folder / "logs")
            stage.processes[process] = supervised
            stage.operations[process] = f"http://{LOOPBACK}:{own['OPERATIONS_PORT']}"
            await supervised.start()
            resources.push_async_callback(supervised.end)
        yield stage


def _environment(servers: Servers, name: str, folder: Path, url: str) -> dict[str, str]:
    settings = {
        "INSTANCE": name,
        "DATABASE_URL": url,
        "KAFKA__BOOTSTRAP_SERVERS": f"{LOOPBACK}:{servers.kafka_proxy_port}",
        "KAFKA__TOPIC_PREFIX": f"{name}.",
        "STORE__KIND": "s3",
        "STORE__ENDPOINT_URL": servers.objects.endpoint_url,
        "STORE__ACCESS_KEY_ID": servers.objects.access_key_id,
        "STORE__SECRET_ACCESS_KEY": servers.objects.secret_access_key,
        "STORE__BUCKET_PREFIX": f"{name}-",
        "STORE__CONNECT_TIMEOUT": "2",
        "STORE__READ_TIMEOUT": "10",
        "SITES__LYON__KIND": "local",
        "SITES__LYON__ROOT": str(folder / FOLDER_SITE),
        **_at_oslo("KIND", "s3"),
        **_at_oslo("ENDPOINT_URL", servers.objects.endpoint_url),
        **_at_oslo("ACCESS_KEY_ID", servers.objects.access_key_id),
        **_at_oslo("SECRET_ACCESS_KEY", servers.objects.secret_access_key),
        **_at_oslo("BUCKET_PREFIX", f"{name}-{S3_SITE}-"),
        **_at_oslo("CONNECT_TIMEOUT", "2"),
        **_at_oslo("READ_TIMEOUT", "10"),
        "LEASE": str(LEASE),
        "HEARTBEAT": "0.5",
        "JANITOR_INTERVAL": "0.5",
        "POLL_INTERVAL": "0.2",
        "MISSING_CONFIRM_AFTER": str(CONFIRM_ABSENCE),
        "STALL_TIMEOUT": str(STALL),
        "ATTEMPT_TIMEOUT": "120",
        "DRAIN_BUDGET": "2",
        # A fault that ends must never be what ends a job.
        "RETRY_LIMIT": "100",
        "LOSS_LIMIT": "100",
        "RETRY_FIRST_WAIT": "0.2",
        "RETRY_LONGEST_WAIT": "2",
        "STORE_PROBE_FIRST_WAIT": "0.5",
        "STORE_PROBE_LONGEST_WAIT": "4",
        "SINGLE_OFFSET": "1",
        "BULK_OFFSET": "3",
        "PURGE_AFTER": "4",
        "TOMBSTONE_AFTER": "6",
        "PURGES_PER_MINUTE": "10000",
        "DEFAULT_HEIGHT": "36",
        "FFMPEG_THREADS": "1",
        "SLOTS": "2",
        "LOG_FORMAT": "json",
    }
    return {**os.environ, **settings}


def _at_oslo(name: str, value: str) -> dict[str, str]:
    return {f"SITES__{S3_SITE.upper()}__{name}": value}


async def _own(stage: Stage, process: str, mutant: str | None) -> dict[str, str]:
    """A process's environment: a proxy of its own to the database and to each store, and its operations port."""
    port, operations_port = free_ports(2)
    address = make_url(stage.environment["DATABASE_URL"])
    assert address.port
    await stage.servers.toxiproxy.add(f"{stage.name}-{process}", address.port, port)
    return {
        **stage.environment,
        "DATABASE_URL": address.set(port=port).render_as_string(hide_password=False),
        "STORE__ENDPOINT_URL": f"http://{LOOPBACK}:{stage.s3.ports[process]}",
        **_at_oslo("ENDPOINT_URL", f"http://{LOOPBACK}:{stage.s3.ports[S3_SITE]}"),
        "SCRATCH": str(stage.scratch(process)),
        "OPERATIONS_PORT": str(operations_port),
        "FAULTS_FLAGS": str(stage.folder / "flags"),
        "FAULTS_PROCESS": process,
        "FAULTS_MUTANT": mutant or "",
    }


def _command(process: str, mutant: str | None) -> Sequence[str]:
    """The console script; through `tests.faults.process` where a clock jumps, an encoder lies or a mutant lives."""
    if process in SYNCERS:
        only = process.removeprefix("syncer-")
        return [sys.executable, "-m", "tests.faults.process", "syncer", "run", "--site", only]
    if mutant or process == "normalizer-2":
        return [sys.executable, "-m", "tests.faults.process", "normalizer", "run"]
    return [*command_of("rushes-normalizer"), "run"]


def _plain(url: str) -> str:
    return url.replace("postgresql+asyncpg:", "postgresql:")


def _unmount(folder: Path) -> None:
    umount = shutil.which("umount")
    if umount:
        os.spawnv(os.P_WAIT, umount, [umount, "-l", str(folder)])


async def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()

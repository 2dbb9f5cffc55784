"""A Zou from PyPI with what it needs: Redis, a database, a web host and RQ workers, on loopback.

Zou is a program of its own here, in an environment of its own; nothing of it is imported.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self

from rushes_embedded.leash import Leash
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.readiness import wait_until_ready
from sqlalchemy import make_url

from tests.cache import programs_of
from tests.movies import tools
from tests.world import World

LOCK: Final = Path(__file__).parent / "requirements.lock"
ADMIN: Final = "admin@example.com"
PASSWORD: Final = "a studio's password"


def find_redis() -> str | None:
    """None when Redis can be run here, or else what is missing, in words."""
    return None if shutil.which("redis-server") else "no redis-server on the PATH (Debian's package redis-server)"


class Zou:
    """Zou as a studio runs it, whose movies are encoded by a remote worker at `nomad`."""

    def __init__(self, world: World, database_url: str, nomad: str, **settings: str) -> None:
        """`settings` are added to Zou's environment."""
        self.folder = world.folder / "zou"
        self._programs = programs_of("zou", LOCK)
        self._redis_port, self._web_port = free_ports(2)
        self._running = ExitStack()
        self.database_url = database_url
        self.environment = self._environment(world, database_url, nomad) | settings

    @property
    def address(self) -> str:
        """Where the API is."""
        return f"http://{LOOPBACK}:{self._web_port}"

    @property
    def worker_log(self) -> Path:
        """What RQ workers say, where Zou tells why a preview is broken."""
        return self.folder / "worker.log"

    def __enter__(self) -> Self:
        (self.folder / "bin").mkdir(parents=True)
        for name, program in (("ffmpeg", tools().ffmpeg), ("ffprobe", tools().ffprobe)):
            (self.folder / "bin" / name).symlink_to(program)
        try:
            self._start_redis()
            self.command("init-db")
            self.command("init-data")
            self.command("create-admin", ADMIN, "--password", PASSWORD)
            self._start_web(self._web_port, workers=2)
            self.worker = self._start_worker(self.worker_log, {})
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def command(self, *arguments: str) -> str:
        """Run a command of Zou's own to its end; what it printed."""
        ran = subprocess.run(
            [self._programs / "zou", *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    @contextmanager
    def web_host_with(self, **settings: str | None) -> Iterator[str]:
        """The address of one more web host with other settings, for as long as the block runs; None: without it."""
        (port,) = free_ports(1)
        leash = self._start_web(port, workers=1, **settings)
        try:
            yield f"http://{LOOPBACK}:{port}"
        finally:
            leash.stop()

    @contextmanager
    def workers_with(self, *, more: int = 0, **settings: str | None) -> Iterator[list[Leash]]:
        """RQ workers with other settings, and more of them, instead of the one, for as long as the block runs.

        None: without that setting.
        """
        self.worker.stop()
        others = [self._start_worker(self.folder / f"worker-{number}.log", settings) for number in range(1 + more)]
        try:
            yield others
        finally:
            for each in others:
                each.stop()
            self.worker = self._start_worker(self.worker_log, {})

    def _start_worker(self, log: Path, settings: Mapping[str, str | None]) -> Leash:
        """An RQ worker: it watches one movie at a time."""
        program = (self._programs / "rq", "worker", "--with-scheduler", "-c", "zou.job_settings")
        return self._start(*program, "-w", "zou.app.utils.job_worker.ZouWorker", log=log, **settings)

    def _start(self, *command: str | Path, log: Path, **settings: str | None) -> Leash:
        given = {name: value for name, value in {**self.environment, **settings}.items() if value is not None}
        leash = Leash(command, log=log, cwd=self.folder, env=given)
        leash.start()
        self._running.callback(leash.stop)
        return leash

    def _start_redis(self) -> None:
        program = shutil.which("redis-server")
        assert program, find_redis()
        options = ("--port", str(self._redis_port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no")
        leash = self._start(program, *options, log=self.folder / "redis.log")
        wait_until_ready("Redis", leash, lambda: _complaint(self._redis_port), timeout=20)

    def _start_web(self, port: int, *, workers: int, **settings: str | None) -> Leash:
        options = ("--workers", str(workers), "--bind", f"{LOOPBACK}:{port}", "--timeout", "120")
        log = self.folder / f"web-{port}.log"
        leash = self._start(self._programs / "gunicorn", *options, "zou.app:app", log=log, **settings)
        wait_until_ready("Zou", leash, lambda: _complaint(port), timeout=60)
        return leash

    def _environment(self, world: World, database_url: str, nomad: str) -> dict[str, str]:
        database = make_url(database_url)
        kept: Mapping[str, str] = {name: os.environ[name] for name in ("HOME", "LANG", "TZ") if name in os.environ}
        ours = world.environment
        return {
            **kept,
            "PATH": f"{self.folder / 'bin'}:{self._programs}:{os.environ.get('PATH', os.defpath)}",
            "SECRET_KEY": secrets.token_urlsafe(32),
            "DB_HOST": str(database.host),
            "DB_PORT": str(database.port),
            "DB_USERNAME": str(database.username),
            "DB_PASSWORD": str(database.password),
            "DB_DATABASE": str(database.database),
            "DB_POOL_SIZE": "5",
            "KV_HOST": LOOPBACK,
            "KV_PORT": str(self._redis_port),
            "MAIL_ENABLED": "false",
            "TELEMETRY_URL": "",
            "PREVIEW_FOLDER": str(self.folder / "previews"),
            "TMP_DIR": str(self.folder / "tmp"),
            "FS_BACKEND": "s3",
            "FS_BUCKET_PREFIX": ours["STORE__BUCKET_PREFIX"],
            "FS_S3_ENDPOINT": ours["STORE__ENDPOINT_URL"],
            "FS_S3_REGION": "us-east-1",
            "FS_S3_ACCESS_KEY": ours["STORE__ACCESS_KEY_ID"],
            "FS_S3_SECRET_KEY": ours["STORE__SECRET_ACCESS_KEY"],
            "ENABLE_JOB_QUEUE": "true",
            "ENABLE_JOB_QUEUE_REMOTE": "true",
            "JOB_QUEUE_NOMAD_NORMALIZE_JOB": "rushes-normalize",
            "JOB_QUEUE_NOMAD_TILE_JOB": "rushes-tile",
            "JOB_QUEUE_NOMAD_HOST": LOOPBACK,
            "NOMAD_ADDR": nomad,
        }


def _complaint(port: int) -> str | None:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError as error:
        return str(error)
    return None

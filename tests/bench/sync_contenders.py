"""Who copies in `bench-sync`: our command and rclone's, each a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import psutil
from rushes_embedded.studio import command_of
from rushes_runtime.settings import StoreSettings
from rushes_schemas.outputs import BUCKETS

from tests.bench.sync_stage import INSTANCE, Shape, Site, Stage

_LOOK_EVERY: Final = 0.02  # seconds


@dataclass(frozen=True)
class Ran:
    """A command that ended: its wall time, and what it took of processor and memory (MB of 2^20 bytes).

    Attributes:
        server_cpu_seconds: what the S3 server and PostgreSQL took meanwhile.
    """

    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    peak_rss_mb: float


class Contender(Protocol):
    """One that brings a main store's objects to a site."""

    name: str

    def run(self, stage: Stage, shape: Shape, site: Site) -> Ran:
        """Bring what the site lacks."""
        ...


class Rushes:
    """`rushes-syncer full`."""

    name = "rushes"

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def run(self, stage: Stage, shape: Shape, site: Site) -> Ran:
        environment = {
            "INSTANCE": INSTANCE,
            "DATABASE_URL": site.database_url,
            "KAFKA__BOOTSTRAP_SERVERS": stage.stack.broker.bootstrap_servers,
            "SYNC_SOURCE_MOVIES": "true",
            "SCRATCH": str(stage.folder / "scratch"),
            "LOG_LEVEL": "warning",
            **_variables("STORE", stage.main(shape)),
            **_variables("SITES__SITE", site.settings),
        }
        command = [*command_of("rushes-syncer"), "full", "--number-workers", str(self._workers), "--json"]
        return _run(stage, command, environment)


class Rclone:
    """`rclone sync` of all buckets at once, with as many transfers as we have workers.

    It compares sizes and checksums by the listings, as we do: by default it would ask for each object's time, by one
    more request each on both sides.
    """

    name = "rclone"

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def run(self, stage: Stage, shape: Shape, site: Site) -> Ran:
        environment = {
            "RCLONE_CONFIG": os.devnull,
            **_remote("MAIN", stage.main(shape)),
            **_remote("SITE", site.settings),
        }
        workers = str(self._workers)
        command = [
            "rclone",
            "sync",
            "--checksum",
            "--transfers",
            workers,
            "--checkers",
            workers,
            "all_main:",
            "all_site:",
        ]
        if site.settings.kind == "local":  # it has no checksums to compare with, and reads every file for them
            command.remove("--checksum")
        return _run(stage, command, environment, without=("AWS_CA_BUNDLE",))


def find_rclone() -> str:
    """The version of rclone. Raises `FileNotFoundError` where there is none."""
    if shutil.which("rclone") is None:
        msg = "rclone is not installed: apt-get install rclone"
        raise FileNotFoundError(msg)
    said = subprocess.run(["rclone", "version"], capture_output=True, text=True, check=True).stdout
    return said.partition("\n")[0]


def _variables(place: str, settings: StoreSettings) -> Mapping[str, str]:
    given = settings.model_dump(exclude_none=True, exclude_defaults=True)
    if settings.secret_access_key:
        given["secret_access_key"] = settings.secret_access_key.get_secret_value()
    return {f"{place}__{name.upper()}": str(value) for name, value in given.items()}


def _remote(name: str, settings: StoreSettings) -> Mapping[str, str]:
    """A place for rclone, and one that shows its three buckets as folders."""
    plain, combined = f"RCLONE_CONFIG_{name}", f"RCLONE_CONFIG_ALL_{name}"
    where = f"{name.lower()}:" + (f"{settings.root}/" if settings.kind == "local" else "")
    upstreams = " ".join(f"{bucket}={where}{settings.bucket_prefix}{bucket}" for bucket in BUCKETS)
    shown = {f"{combined}_TYPE": "combine", f"{combined}_UPSTREAMS": upstreams}
    if settings.kind == "local":
        return {f"{plain}_TYPE": "local", **shown}
    assert settings.access_key_id
    assert settings.secret_access_key
    return {
        f"{plain}_TYPE": "s3",
        f"{plain}_PROVIDER": "Other",
        f"{plain}_ENDPOINT": str(settings.endpoint_url),
        f"{plain}_REGION": settings.region,
        f"{plain}_ACCESS_KEY_ID": settings.access_key_id,
        f"{plain}_SECRET_ACCESS_KEY": settings.secret_access_key.get_secret_value(),
        **shown,
    }


def _run(
    stage: Stage, command: Sequence[str | Path], environment: Mapping[str, str], without: Sequence[str] = ()
) -> Ran:
    whole = {name: value for name, value in os.environ.items() if name not in without} | dict(environment)
    servers = stage.cpu_seconds()
    began = time.perf_counter()
    process = psutil.Popen(command, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peak = 0.0
    cpu = 0.0
    while process.poll() is None:
        try:
            times = process.cpu_times()
            cpu = times.user + times.system
            peak = max(peak, _peak_rss(process.pid))
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError, ValueError):
            continue
        time.sleep(_LOOK_EVERY)
    seconds = time.perf_counter() - began
    output = process.stdout.read()
    assert process.returncode == 0, output[-5000:]
    return Ran(seconds, cpu, stage.cpu_seconds() - servers, round(peak, 1))


def _peak_rss(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    (kilobytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kilobytes) / 1024

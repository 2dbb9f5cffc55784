"""A whole studio on one machine: the stack, both services as production runs them, a second site."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.settings import nest_variables

from rushes_embedded.broker import Topic
from rushes_embedded.leash import Leash, StartError, log_tail
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.stack import Stack

SITE: Final = "second"
TOPICS: Final = (
    Topic("preview-uploaded"),
    Topic("renormalize-requested"),
    Topic("status-changed", config={"cleanup.policy": "compact"}),
    Topic("normalizer.dead-letters"),
    Topic("files-synced"),
    Topic("syncer.dead-letters"),
)
_START_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 30.0


class Studio:
    """Starts the stack, migrates, starts the services; stops all of it on exit.

    Attributes (once entered):
        environment: the settings of both services, as environment variables.
        addresses: what listens where, by name.
        site: the second site's folder; it stays readable after the end, as the logs do.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        *,
        broker: Literal["embedded", "apache-kafka"] = "embedded",
    ) -> None:
        """`settings` are added to the services' environment."""
        self.stack = Stack(folder, topics=TOPICS, broker=broker)
        self.site = self.stack.folder / "second-site"
        self.services: dict[str, Leash] = {}
        self.environment: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        self._settings = settings
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._resources.enter_context(self.stack)
            self._configure()
            for service in ("rushes-normalizer", "rushes-syncer"):
                self._migrate(service)
                self._start(service)
            for service in self.services:
                self._wait_for(service)
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def _configure(self) -> None:
        stack = self.stack
        normalizer_port, syncer_port = free_ports(2)
        self.environment = {
            "DATABASE_URL": stack.postgres.create_database("rushes"),
            "KAFKA__BOOTSTRAP_SERVERS": stack.broker.bootstrap_servers,
            "KAFKA__CHECK_CRCS": str(stack.broker.supports.check_crcs).lower(),
            "STORE__KIND": "s3",
            "STORE__ENDPOINT_URL": stack.objects.endpoint_url,
            "STORE__ACCESS_KEY_ID": stack.objects.access_key_id,
            "STORE__SECRET_ACCESS_KEY": stack.objects.secret_access_key,
            f"SITES__{SITE.upper()}__KIND": "local",
            f"SITES__{SITE.upper()}__ROOT": str(self.site),
            "SCRATCH": str(stack.folder / "scratch"),
            "LOG_FORMAT": "json",
            **self._settings,
        }
        self.addresses = {
            "PostgreSQL": self.environment["DATABASE_URL"],
            "Kafka": stack.broker.bootstrap_servers,
            "S3": stack.objects.endpoint_url,
            "second site": str(self.site),
            "rushes-normalizer": f"http://{LOOPBACK}:{normalizer_port}",
            "rushes-syncer": f"http://{LOOPBACK}:{syncer_port}",
        }

    def settings(self) -> NormalizerSettings:
        """The normalizer's settings."""
        return NormalizerSettings(**nest_variables(self.environment))

    def environment_file(self) -> Path:
        """The settings as a file for a shell to source: `set -a; . FILE`."""
        path = self.stack.folder / "environment"
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in self.environment.items()]
        path.touch(mode=0o600)
        path.write_text("".join(lines), encoding="utf-8")
        return path

    def _environment_of(self, service: str) -> dict[str, str]:
        port = self.addresses[service].rpartition(":")[2]
        return {**os.environ, **self.environment, "OPERATIONS_PORT": port}

    def _migrate(self, service: str) -> None:
        command = [*command_of(service), "migrate", "--store"]
        answer = subprocess.run(command, env=self._environment_of(service), capture_output=True, text=True, check=False)
        if answer.returncode:
            raise StartError(f"{service} migrate: {answer.stdout}{answer.stderr}")

    def _start(self, service: str) -> None:
        leash = Leash(
            [*command_of(service), "run"],
            log=self.stack.logs / f"{service}.log",
            env=self._environment_of(service),
            grace_seconds=_STOP_SECONDS,
        )
        leash.start()
        self._resources.callback(leash.stop)
        self.services[service] = leash

    def _wait_for(self, service: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        answer = "no answer"
        while time.monotonic() < deadline:
            leash = self.services[service]
            if leash.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.addresses[service]}/startupz", timeout=5):  # noqa: S310
                    return
            except urllib.error.HTTPError as error:
                answer = error.read().decode()
            except OSError as error:
                answer = str(error)
            time.sleep(0.05)
        raise StartError(f"{service} does not start: {answer}\n{log_tail(self.stack.logs / f'{service}.log')}")

    def check(self) -> None:
        """Raises `StartError` if a service has ended by itself."""
        for service, leash in self.services.items():
            code = leash.poll()
            if code is not None:
                tail = log_tail(self.stack.logs / f"{service}.log")
                raise StartError(f"{service} ended with code {code}:\n{tail}")


def command_of(service: str) -> Sequence[str]:
    """How to run a service's console script in this environment."""
    return [str(Path(sys.executable).parent / service)]

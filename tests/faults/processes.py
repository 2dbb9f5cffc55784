"""The services' processes, started again whenever they end, as Kubernetes would."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from rushes_embedded.leash import Leash

_RESTART_AFTER = 0.3  # seconds
_GRACE = 20.0  # seconds from SIGTERM to SIGKILL


class Supervised:
    """A process that is there again soon after it ends. Each start has a log of its own."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._logs = logs
        self._starts = 0
        self._leash: Leash | None = None
        self._watching: asyncio.Task[None] | None = None
        self._wanted = True
        self.ends: list[str] = []  # in words, each end that nobody ordered with SIGKILL

    @property
    def pid(self) -> int | None:
        """Its process id; None while it is away."""
        return self._leash.pid if self._leash and self._leash.poll() is None else None

    async def start(self) -> None:
        """Start it, and from then on whenever it ends."""
        await asyncio.to_thread(self._start)
        self._watching = asyncio.create_task(self._watch())

    def _start(self) -> None:
        self._starts += 1
        log = self._logs / f"{self.name}.{self._starts}.log"
        leash = Leash(self._command, log=log, env=self._environment, grace_seconds=2)
        leash.start()
        self._leash = leash

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            if self._leash is None or (code := self._leash.poll()) is None:
                continue
            ended = self._leash
            if code not in {0, 128 + signal.SIGKILL, 128 + signal.SIGTERM}:  # the last: told twice to stop
                self.ends.append(f"{self.name} ended with code {code}: {ended.log}")
            await asyncio.to_thread(ended.wait)
            self._leash = None
            await asyncio.sleep(_RESTART_AFTER)
            await asyncio.to_thread(self._start)

    async def end(self) -> None:
        """End it for good."""
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self.signal(signal.SIGCONT)
        if self._leash:
            await asyncio.to_thread(self._leash.stop)

    def signal(self, number: signal.Signals, pid: int | None = None) -> int | None:
        """Send a signal, if it is there (and still that process); its process id."""
        there = self.pid
        if there is None or pid not in {None, there}:
            return None
        with suppress(ProcessLookupError):
            os.kill(there, number)
            return there
        return None

    async def asked_to_stop(self, *, twice: bool = False) -> None:
        """SIGTERM, and SIGKILL if it takes too long; returns when that process is gone."""
        pid = self.signal(signal.SIGTERM)
        if pid is None:
            return
        if twice:
            await asyncio.sleep(0.5)
            self.signal(signal.SIGTERM, pid)
        deadline = time.monotonic() + _GRACE
        while self.pid == pid:
            if time.monotonic() > deadline:
                log = self._leash.log if self._leash else None
                self.ends.append(f"{self.name} did not stop within {_GRACE:.0f} s of SIGTERM: {log}")
                self.signal(signal.SIGKILL, pid)
                return
            await asyncio.sleep(0.05)

    def children(self) -> list[int]:
        """The ids of what runs below it: an ffmpeg, a child that draws pictures."""
        with suppress(psutil.Error):
            if self.pid:
                return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        return []

"""A child process that is reaped together with what it used."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

_SAMPLE_EVERY: Final = 0.5


class Child:
    """A started program. asyncio's own would be reaped without its processor time.

    Attributes:
        pid: also its process group's.
        cpu_seconds: of the program and of what it waited for; once it has ended.
        peak_memory: bytes of its resident set as last looked at, at most half a second before its end; None where the
            kernel doesn't tell (outside of Linux, and of one that ended sooner). The kernel's own figure at the end
            would be that of the worker that it was forked from, if that is larger.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self.cpu_seconds = 0.0
        self.peak_memory: int | None = None
        self.stdout: asyncio.StreamReader
        self.stderr: asyncio.StreamReader
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        threading.Thread(target=self._reap, name=f"reap-{self.pid}", daemon=True).start()
        self._sampling = asyncio.create_task(self._sample())

    @classmethod
    async def start(
        cls, command: Sequence[str], *, descriptors: Sequence[int], cwd: Path, env: Mapping[str, str], line_limit: int
    ) -> Child:
        """Start a program as the leader of a session of its own, without stdin.

        Args:
            descriptors: what it inherits beside stdout and stderr.
            line_limit: bytes of the longest line that can be read of either.
        """
        process = subprocess.Popen(  # noqa: ASYNC220 - as asyncio itself starts one
            command,
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        child = cls(process)
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            child.stdout = await child._read(process.stdout, line_limit)
            child.stderr = await child._read(process.stderr, line_limit)
        except BaseException:  # nobody would know of it
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            process.stderr.close()  # if stdout's turn was cancelled, nothing else holds it
            raise
        return child

    async def wait(self) -> int:
        """Its exit code; a negative one is the signal that ended it."""
        await self._ended.wait()
        assert self._process.returncode is not None
        return self._process.returncode

    async def _read(self, pipe: IO[bytes], limit: int) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=limit)
        await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        return reader

    def _reap(self) -> None:
        _, status, used = os.wait4(self.pid, 0)
        self.cpu_seconds = used.ru_utime + used.ru_stime
        self._process.returncode = os.waitstatus_to_exitcode(status)
        with suppress(RuntimeError):  # the loop is gone, and whoever waited with it
            self._loop.call_soon_threadsafe(self._gone)

    def _gone(self) -> None:
        self._sampling.cancel()
        self._ended.set()

    async def _sample(self) -> None:
        status = Path(f"/proc/{self.pid}/status")
        while True:
            with suppress(OSError, ValueError):
                peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
                self.peak_memory = max(self.peak_memory or 0, int(peak.split()[1]) * 1024)
            await asyncio.sleep(_SAMPLE_EVERY)

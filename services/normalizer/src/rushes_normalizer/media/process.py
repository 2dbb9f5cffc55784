"""Runs ffmpeg and ffprobe: confined, watched, and gone when their caller is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

from rushes_runtime.usage import USAGE

from rushes_normalizer import metrics
from rushes_normalizer.media.child import Child
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.sandbox.confinement import confined, policy_for
from rushes_normalizer.media.sandbox.mechanisms import mechanisms
from rushes_normalizer.media.sandbox.policy import Bounds

_LINE_LIMIT = 1024 * 1024
_KEPT_LINES = 200
_KEPT_ERRORS = 20
_KEPT_CHARACTERS = 500
# glibc reserves 64 MiB of address space for each of up to 8 arenas a core; on a large machine that alone would pass the
# bound on memory.
_ENVIRONMENT: Final = {"LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1", "MALLOC_ARENA_MAX": "4"}
# "[vist#0:0/h264 @ 0x55a1] [dec:h264 @ 0x55a2] [warning] corrupt decoded frame"; before ffmpeg 7 "a.mov: corrupt
# decoded frame in stream 0". H.264 may hand a frame out before one of its threads finds the fault, then only logged.
_DAMAGED: Final = re.compile(r"(vist#.*|: )corrupt decoded frame|error while decoding MB")
# "[mov @ 0x55a1] [error] ...": who says it, then how loud.
_ERROR: Final = re.compile(r"^(\[[^\]]*\] ?)*\[(error|fatal)\]")


@dataclass
class ChildLog:
    """A child's stderr, bounded: its last lines, and its first errors (the later ones follow from them).

    Attributes:
        damaged: the first lines that say of a video frame that it was decoded in part, the rest of it made up.
    """

    last: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    errors: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Keep one line, as `-loglevel level+...` writes it."""
        line = line[:_KEPT_CHARACTERS]
        self.last.append(line)
        if len(self.errors) < _KEPT_ERRORS and _ERROR.match(line):
            self.errors.append(line)
        if len(self.damaged) < _KEPT_ERRORS and _DAMAGED.search(line):
            self.damaged.append(line)

    @property
    def complaints(self) -> list[str]:
        """The first errors, then the last: never what a source writes into its own metadata."""
        return [*self.errors, *(line for line in self.last if _ERROR.match(line))]


class ChildError(Exception):
    """A child ended with another code than 0, or was ended.

    Attributes:
        returncode: a negative one is the signal that ended it.
        log: what it said.
        limits: what it might have used; the defaults if they are not given.
        timeout: the seconds after which it was ended for being too slow; None if it was not.
    """

    def __init__(
        self, returncode: int, log: ChildLog, limits: Limits | None = None, *, timeout: float | None = None
    ) -> None:
        super().__init__(f"ended with code {returncode}")
        self.returncode = returncode
        self.log = log
        self.limits = limits or Limits()
        self.timeout = timeout


async def run(
    argv: Sequence[str],
    *,
    scratch: Path,
    limits: Limits,
    reads: Sequence[Path] = (),
    duration: Fraction | None = None,
    on_line: Callable[[str], None] | None = None,
) -> ChildLog:
    """Run a command to its end and give its log.

    The child leads a process group of its own, has no stdin, a minimal environment and `scratch` as its working
    folder. It may read `reads`, write in `scratch`, and what else the sandbox leaves it: no other file, no network,
    no other process, within the limits of memory, file size and time. Where the kernel lacks a mechanism, that part
    is missing (`sandbox.mechanisms`). When the caller is cancelled, or `on_line` raises, the whole group
    is killed and waited for before the exception goes on. On Linux it also dies with the thread that called this,
    so call it from a thread that lives as long as the worker.

    Args:
        argv: the program's absolute path and its arguments.
        reads: files, and folders with all that lies in them.
        duration: seconds of the movie, which the time it may take grows with.
        on_line: called with every line of stdout.

    Raises:
        ChildError: the child failed, or took too long.
    """
    bounds = Bounds(limits.max_memory_bytes, limits.max_output_bytes, limits.max_cpu_seconds)
    with confined(argv, policy_for(Path(argv[0]), reads, scratch), bounds, mechanisms()) as launch:
        child = await Child.start(
            launch.command, descriptors=launch.descriptors, cwd=scratch, env=_ENVIRONMENT, line_limit=_LINE_LIMIT
        )
    log = ChildLog()
    reading_log = asyncio.create_task(_read_log(child.stderr, log))
    timeout = limits.timeout(duration)
    try:
        async with asyncio.timeout(timeout):
            async for line in child.stdout:
                if on_line is not None:
                    on_line(line.decode(errors="replace").rstrip("\r\n"))
            await reading_log
            returncode = await child.wait()
    except TimeoutError:
        await _kill(child, reading_log)
        raise ChildError(-signal.SIGKILL, log, limits, timeout=timeout) from None
    except BaseException:
        await _kill(child, reading_log)
        raise
    finally:
        _account(Path(argv[0]).name, child)
    if returncode != 0:
        raise ChildError(returncode, log, limits)
    return log


def _account(program: str, child: Child) -> None:
    program = program.partition("-")[0]  # a wheel's ffmpeg has its platform in its name
    metrics.CHILD_CPU.labels(program).inc(child.cpu_seconds)
    if child.peak_memory is not None:
        metrics.CHILD_MEMORY.labels(program).observe(child.peak_memory)
    usage = USAGE.get()
    if usage is not None:
        usage.add(child.cpu_seconds, child.peak_memory)


async def _read_log(stderr: asyncio.StreamReader, log: ChildLog) -> None:
    rest = b""
    while chunk := await stderr.read(65536):
        # ffmpeg ends its status lines with a carriage return.
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        rest = rest[:_KEPT_CHARACTERS]
        for line in lines:
            if line.strip():
                log.add(line.decode(errors="replace"))
    if rest.strip():
        log.add(rest.decode(errors="replace"))


async def _kill(child: Child, reading_log: asyncio.Task[None]) -> None:
    """Kill the child's group and wait until nothing of it is left, whatever else asks us to stop."""
    with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
        os.killpg(child.pid, signal.SIGKILL)

    async def drain() -> None:
        # A reader that stopped at its limit pauses the pipe; only an end of file closes the transport.
        while await child.stdout.read(65536):
            pass
        await reading_log
        await child.wait()

    draining = asyncio.ensure_future(drain())
    while not draining.done():
        try:
            await asyncio.shield(draining)
        except asyncio.CancelledError:
            continue  # we are stopping already; leaving now would leave a zombie

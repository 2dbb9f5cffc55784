"""Finds out what of the sandbox this kernel enforces, by trying it."""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from rushes_normalizer.media.sandbox import landlock
from rushes_normalizer.media.sandbox.confinement import Mechanisms, confined, policy_for
from rushes_normalizer.media.sandbox.policy import Bounds
from rushes_normalizer.media.sandbox.syscalls import MACHINES

_REFUSED: Final = 42
_SECONDS_TO_ANSWER: Final = 30
_ROOM: Final = Bounds(memory=2**30, file_size=2**20, cpu_seconds=_SECONDS_TO_ANSWER)
# What each mechanism refuses; the code tells a refusal from a program that could not start.
_READS_THE_ROOT: Final = "posix.listdir('/')"
_FORKS: Final = "posix.fork()"
_TRY: Final = f"""
import posix
try:
    {{}}
except PermissionError:
    posix._exit({_REFUSED})
posix._exit(0)
"""


@cache
def mechanisms() -> Mechanisms:
    """What a child can be confined by here. Blocks for some 50 ms the first time.

    A kernel may lack a mechanism, have it switched off, or be behind a container runtime that refuses it. So each is
    tried alone, by the launcher itself, on a small program that does what must be refused.
    """
    if sys.platform != "linux":
        return Mechanisms(landlock_abi=0, seccomp=False)
    abi = landlock.kernel_abi()
    filters = platform.machine() in MACHINES
    return Mechanisms(
        landlock_abi=abi if abi and _refuses(_READS_THE_ROOT, Mechanisms(abi, seccomp=False)) else 0,
        seccomp=filters and _refuses(_FORKS, Mechanisms(0, seccomp=True)),
    )


def _refuses(attempt: str, alone: Mechanisms) -> bool:
    command = [sys.executable, "-I", "-S", "-c", _TRY.format(attempt)]
    with tempfile.TemporaryDirectory() as scratch:
        interpreter = [Path(sys.prefix), Path(sys.base_prefix)]
        policy = policy_for(Path(sys.executable), interpreter, Path(scratch))
        with confined(command, policy, _ROOM, alone) as launch:
            done = subprocess.run(
                launch.command,
                pass_fds=launch.descriptors,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS_TO_ANSWER,
                check=False,
            )
    return done.returncode == _REFUSED

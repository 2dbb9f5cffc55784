"""Puts a policy and bounds into the words of the launcher."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rushes_normalizer.media.sandbox import landlock, launcher, seccomp
from rushes_normalizer.media.sandbox.policy import Bounds, Policy
from rushes_normalizer.media.sandbox.programs import needs


@dataclass(frozen=True)
class Mechanisms:
    """What of the kernel confines a child.

    Attributes:
        landlock_abi: 0 for none.
        seccomp: whether system calls are filtered.
    """

    landlock_abi: int
    seccomp: bool

    @property
    def lacking(self) -> tuple[str, ...]:
        """Names of those that are not there."""
        there = {"Landlock": self.landlock_abi > 0, "seccomp": self.seccomp}
        return tuple(name for name, is_there in there.items() if not is_there)


@dataclass(frozen=True)
class Launch:
    """How to start a confined child: the command, and the descriptors to pass on."""

    command: tuple[str, ...]
    descriptors: tuple[int, ...]


def policy_for(program: Path, reads: Sequence[Path], scratch: Path) -> Policy:
    """A program that may read some files and folders, and work in its scratch folder."""
    wanted = needs(program)
    programs = (program,) if wanted.loader is None else (program, wanted.loader)
    return Policy(programs=programs, reads=(*wanted.reads, *reads), writes=(scratch,))


@contextmanager
def confined(command: Sequence[str], policy: Policy, bounds: Bounds, mechanisms: Mechanisms) -> Iterator[Launch]:
    """The launch of a command under a policy, with whatever of it the mechanisms enforce.

    Raises:
        OSError: a path of the policy is not there.
    """
    head = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid())]
    head += [str(bounds.memory), str(bounds.file_size), str(bounds.cpu_seconds)]
    execve, syscall_filter = _filter() if mechanisms.seccomp else ("0", "")
    if not mechanisms.landlock_abi:
        yield Launch((*head, "-1", execve, syscall_filter, *command), ())
        return
    with landlock.ruleset(policy, mechanisms.landlock_abi) as ruleset:
        yield Launch((*head, str(ruleset), execve, syscall_filter, *command), (ruleset,))


@cache
def _filter() -> tuple[str, str]:
    machine = platform.machine()
    return str(seccomp.execve_number(machine)), seccomp.filter_program(machine).hex()

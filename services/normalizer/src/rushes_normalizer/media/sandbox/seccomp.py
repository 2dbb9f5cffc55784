"""Writes the filter of system calls as a program for the kernel's packet filter (BPF). Pure.

A list of what is refused, not of what is allowed: what a C library asks of the kernel differs from release to
release, and a decoder that dies of a harmless new call would be a movie called corrupt. What matters is refused by
kind: all sockets, all new processes, all other processes, and the parts of the kernel that no decoder needs.
"""

from __future__ import annotations

import errno
import struct
from typing import Final

from rushes_normalizer.media.sandbox.syscalls import CLONE, CLONE3, EXECVE, MACHINES, PRLIMIT64, REFUSED, RT_SIGACTION

# linux/bpf_common.h and linux/seccomp.h
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_IF_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_KILL: Final = 0x80000000
_ALLOW: Final = 0x7FFF0000
_FAIL_WITH: Final = 0x00050000
# Offsets in struct seccomp_data; both machines are little-endian, so an argument's lower half comes first.
_CALL: Final = 0
_ARCHITECTURE: Final = 4
_FIRST_ARGUMENT: Final = 16

# The same on both machines.
_SIGXCPU: Final = 24
_SIGXFSZ: Final = 25
_CLONE_THREAD: Final = 0x00010000  # linux/sched.h


def filter_program(machine: str) -> bytes:
    """The filter of a machine, as an array of `struct sock_filter`.

    Refused calls fail with EPERM. `clone3` fails with ENOSYS, as on an older kernel: its flags lie in memory, where a
    filter cannot look, and C libraries then fall back to `clone`. Calls by another interface end the process.

    Args:
        machine: as `platform.machine()` names it; a key of `MACHINES`.
    """
    facts = MACHINES[machine]
    column = facts.column
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_IF_EQUAL, facts.audit_arch, yes=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _CALL),
    ]
    if facts.foreign_bit is not None:
        program += [_instruction(_IF_AT_LEAST, facts.foreign_bit, no=1), _instruction(_RETURN, _KILL)]
    for numbers in REFUSED.values():
        number = numbers[column]
        if number is not None:
            program += _refuse(number, errno.EPERM)
    program += _refuse(CLONE3[column], errno.ENOSYS)
    program += [
        # Threads, no processes.
        _instruction(_IF_EQUAL, CLONE[column], no=4),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_IF_ANY_BIT, _CLONE_THREAD, yes=1),
        _instruction(_RETURN, _FAIL_WITH | errno.EPERM),
        _instruction(_RETURN, _ALLOW),
        # Its own limits may be read, and lowered; those of another process may not.
        _instruction(_IF_EQUAL, PRLIMIT64[column], no=4),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_IF_EQUAL, 0, yes=1),
        _instruction(_RETURN, _FAIL_WITH | errno.EPERM),
        _instruction(_RETURN, _ALLOW),
        # A passed limit of processor time or file size is death by a signal of its own: ffmpeg would take the one for
        # a wish to stop, and end as if by an error.
        _instruction(_IF_EQUAL, RT_SIGACTION[column], no=4),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_IF_EQUAL, _SIGXCPU, yes=1),
        _instruction(_IF_EQUAL, _SIGXFSZ, no=1),
        _instruction(_RETURN, _FAIL_WITH | errno.EPERM),
        _instruction(_RETURN, _ALLOW),
    ]
    return b"".join(program)


def execve_number(machine: str) -> int:
    """The number of `execve`, for the launcher, which lets itself call it once."""
    return EXECVE[MACHINES[machine].column]


def _refuse(number: int, error: int) -> list[bytes]:
    return [_instruction(_IF_EQUAL, number, no=1), _instruction(_RETURN, _FAIL_WITH | error)]


def _instruction(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One `struct sock_filter`; a comparison skips `yes` or `no` instructions."""
    return struct.pack("=HBBI", code, yes, no, value)

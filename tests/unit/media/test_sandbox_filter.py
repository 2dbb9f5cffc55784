"""The filter of system calls, run by a small interpreter of the kernel's packet filter."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest
from rushes_normalizer.media.sandbox.launcher import execve_only_of
from rushes_normalizer.media.sandbox.seccomp import execve_number, filter_program
from rushes_normalizer.media.sandbox.syscalls import CLONE, CLONE3, EXECVE, MACHINES, PRLIMIT64, REFUSED, RT_SIGACTION

ALLOWED, KILLED = "allowed", "killed"
THREAD = 0x3D0F00  # what glibc's pthread_create passes
FORK = 0x1200011  # what glibc's fork passes: SIGCHLD and where to keep the child's id
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def verdict(program: bytes, machine: str, number: int, first: int = 0, architecture: int | None = None) -> str | int:
    """What the kernel would do: `ALLOWED`, `KILLED`, or the error number."""
    arch = MACHINES[machine].audit_arch if architecture is None else architecture
    data = struct.pack("=IIQQ", number, arch, 0, first) + bytes(40)
    instructions = list(struct.iter_unpack("=HBBI", program))
    loaded, at = 0, 0
    code: int
    yes: int
    no: int
    value: int
    while True:
        code, yes, no, value = instructions[at]
        at += 1
        match code:
            case 0x20:
                (loaded,) = struct.unpack_from("=I", data, value)
            case 0x15:
                at += yes if loaded == value else no
            case 0x35:
                at += yes if loaded >= value else no
            case 0x45:
                at += yes if loaded & value else no
            case 0x06:
                return {0x7FFF0000: ALLOWED, 0x80000000: KILLED}.get(value, value & 0xFFFF)
            case _:
                raise AssertionError(hex(code))


machines = pytest.mark.parametrize("machine", MACHINES)


@machines
def test_every_call_on_the_list_is_refused(machine: str) -> None:
    column = MACHINES[machine].column
    program = filter_program(machine)
    for name, numbers in REFUSED.items():
        number = numbers[column]
        if number is not None:
            assert verdict(program, machine, number) == errno.EPERM, name
    named = {"socket", "connect", "fork", "vfork", "execveat", "kill", "ptrace", "mount", "unshare", "truncate"}
    named |= {"keyctl", "bpf", "userfaultfd", "io_uring_setup", "perf_event_open", "open_by_handle_at", "setuid"}
    assert named <= REFUSED.keys()


@machines
def test_what_a_decoder_needs_is_let_through(machine: str) -> None:
    needed = {
        "x86_64": {"read": 0, "openat": 257, "mmap": 9, "futex": 202, "exit_group": 231, "tgkill": 234},
        "aarch64": {"read": 63, "openat": 56, "mmap": 222, "futex": 98, "exit_group": 94, "tgkill": 131},
    }
    for name, number in needed[machine].items():
        assert verdict(filter_program(machine), machine, number) == ALLOWED, name


@machines
def test_threads_are_made_and_processes_are_not(machine: str) -> None:
    program, column = filter_program(machine), MACHINES[machine].column
    assert verdict(program, machine, CLONE[column], THREAD) == ALLOWED
    assert verdict(program, machine, CLONE[column], FORK) == errno.EPERM
    assert verdict(program, machine, CLONE3[column]) == errno.ENOSYS


@machines
def test_limits_of_other_processes_are_out_of_reach(machine: str) -> None:
    program, column = filter_program(machine), MACHINES[machine].column
    assert verdict(program, machine, PRLIMIT64[column], 0) == ALLOWED
    assert verdict(program, machine, PRLIMIT64[column], 4711) == errno.EPERM


@machines
def test_the_signals_of_limits_keep_their_meaning(machine: str) -> None:
    program, column = filter_program(machine), MACHINES[machine].column
    told = {number: verdict(program, machine, RT_SIGACTION[column], number) for number in range(1, 65)}
    assert {number for number, answer in told.items() if answer == errno.EPERM} == {24, 25}
    assert set(told.values()) == {errno.EPERM, ALLOWED}


@machines
def test_calls_by_another_interface_end_the_process(machine: str) -> None:
    i386 = 0x40000003
    assert verdict(filter_program(machine), machine, 3, architecture=i386) == KILLED


def test_calls_of_x32_end_the_process() -> None:
    assert verdict(filter_program("x86_64"), "x86_64", 0x40000000 + 41) == KILLED


@machines
def test_only_the_launchers_own_path_is_executed(machine: str) -> None:
    address = 0x7F12_3456_7890
    number = execve_number(machine)
    program = execve_only_of(number, address) + filter_program(machine)
    assert verdict(program, machine, number, address) == ALLOWED
    for other in (0, address + 1, address + 2**32, address & 0xFFFFFFFF):
        assert verdict(program, machine, number, other) == KILLED
    assert verdict(program, machine, REFUSED["ptrace"][MACHINES[machine].column] or 0, address) == errno.EPERM


@machines
def test_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"the numbers of {machine} are not compared: no {header} here")
    defined = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text(), re.MULTILINE)
    numbers = {name: int(number) for name, number in defined}
    ours = {
        **REFUSED,
        "clone": CLONE,
        "clone3": CLONE3,
        "execve": EXECVE,
        "prlimit64": PRLIMIT64,
        "rt_sigaction": RT_SIGACTION,
    }
    column = MACHINES[machine].column
    known = {name: pair[column] for name, pair in ours.items() if name in numbers}
    assert len(known) > 90
    assert known == {name: numbers[name] for name in known}

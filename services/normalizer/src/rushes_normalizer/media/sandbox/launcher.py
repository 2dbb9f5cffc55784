"""Confines a child before it starts: runs as a program of its own, then becomes ffmpeg or ffprobe.

A program rather than a hook between fork and exec, because such a hook runs Python in a copy of a process with
threads, where a lock that another thread held stays held for ever. It imports little: each child pays for it. (The
module `signal` alone would cost 7 ms, more than all that is done here.)

Arguments: the parent's process id; bytes of address space; bytes of the largest file; CPU seconds; the descriptor of
a Landlock ruleset, or -1; the number of `execve` and a seccomp filter in hexadecimal, or 0 and nothing; the command.
"""

import ctypes
import os
import resource
import struct
import sys

# Exit code of a child that never became its program; ffmpeg's own codes are 1 and 256 less an error number.
FAILED = 125

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_RESTRICT_SELF = 446  # landlock_restrict_self, the same on every machine
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h
_SIGKILL = 9
_SIGPIPE = 13
_SIGXFSZ = 25

_SECONDS_TO_END = 5
_OPEN_FILES = 256
# Counts all processes and threads of the user, in other programs too, so it can be no bound on one child: it keeps a
# child that makes threads without end from taking the whole machine's process ids.
_TASKS_OF_USER = 16_384


def main() -> None:
    parent, memory, file_size, cpu_seconds, ruleset, execve = (int(argument) for argument in sys.argv[1:7])
    syscall_filter, command = bytes.fromhex(sys.argv[7]), sys.argv[8:]
    libc = ctypes.CDLL(None, use_errno=True)
    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, _TASKS_OF_USER),
        (resource.RLIMIT_CORE, 0),
    ):
        _bound(what, limit, limit)
    # At the first bound the child is told, at the second it is killed.
    _bound(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + _SECONDS_TO_END)
    # Python ignores both; with the default, passing RLIMIT_FSIZE ends the child at once.
    for signal in (_SIGPIPE, _SIGXFSZ):
        libc.signal(signal, None)
    path = ctypes.create_string_buffer(os.fsencode(command[0]))
    if sys.platform == "linux":
        # A worker that is killed leaves no ffmpeg behind. The parent may have died before the call took effect.
        libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != parent:
            _fail("the parent is gone")
        _renounce(libc)
        if ruleset >= 0:
            _check(libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_long(ruleset), ctypes.c_long(0)), "Landlock")
            os.close(ruleset)
        if syscall_filter:
            _filter(libc, execve_only_of(execve, ctypes.addressof(path)) + syscall_filter)
    arguments = (ctypes.c_char_p * (len(command) + 1))(*map(os.fsencode, command), None)
    environment = [os.fsencode(f"{name}={value}") for name, value in os.environ.items()]
    libc.execve(path, arguments, (ctypes.c_char_p * (len(environment) + 1))(*environment, None))
    _check(-1, command[0])


def _bound(what: int, soft: int, hard: int) -> None:
    inherited = resource.getrlimit(what)[1]
    if inherited != resource.RLIM_INFINITY:
        soft, hard = min(soft, inherited), min(hard, inherited)
    resource.setrlimit(what, (soft, hard))


def _renounce(libc: ctypes.CDLL) -> None:
    """Give up what a set-user-id program would add, and root's capabilities."""
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(value) for value in (1, 0, 0, 0))), "no_new_privs")
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _check(libc.capset(header, bytes(24)), "capabilities")


def execve_only_of(number: int, address: int) -> bytes:
    """The beginning of a filter: `execve` of the path at this very address, or death.

    Only the launcher has that path in its memory: the program it becomes gets a new, empty one, does not know the
    address, and has one guess.
    """
    return b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),  # load the call's number
            (0x15, 0, 5, number),  # another call: on to the rest of the filter
            (0x20, 0, 0, 16),  # load the lower half of the first argument
            (0x15, 0, 2, address & 0xFFFFFFFF),
            (0x20, 0, 0, 20),  # load the upper half
            (0x15, 1, 0, address >> 32),
            (0x06, 0, 0, 0x80000000),  # kill the process
        )
    )


def _filter(libc: ctypes.CDLL, program: bytes) -> None:
    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    installed = Program(len(program) // 8, program)
    _check(
        libc.prctl(
            _PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(installed), *[ctypes.c_ulong()] * 2
        ),
        "seccomp",
    )


def _check(answer: int, doing: str) -> None:
    if answer < 0:
        _fail(f"{doing}: {os.strerror(ctypes.get_errno())}")


def _fail(reason: str) -> None:
    sys.stderr.write(f"[launcher] [fatal] {reason}\n")
    sys.stderr.flush()
    os._exit(FAILED)


if __name__ == "__main__":
    main()

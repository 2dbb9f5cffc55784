"""Runs a command on a kernel that lacks a mechanism, as behind a container runtime that refuses it.

Arguments: `landlock` or `seccomp`, then the command. A filter of system calls answers for the kernel, for x86_64 and
aarch64: Landlock's first call fails as if there were none, and so does each further filter.
"""

import ctypes
import os
import platform
import struct
import sys

LANDLOCK_CREATE_RULESET = 444
PRCTL = {"x86_64": 157, "aarch64": 167}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
EINVAL, EOPNOTSUPP = 22, 95

LOAD, IF_EQUAL, RETURN, ALLOW, FAIL_WITH = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000
REFUSALS = {
    "landlock": [
        (LOAD, 0, 0, 0),
        (IF_EQUAL, 0, 1, LANDLOCK_CREATE_RULESET),
        (RETURN, 0, 0, FAIL_WITH | EOPNOTSUPP),
        (RETURN, 0, 0, ALLOW),
    ],
    "seccomp": [
        (LOAD, 0, 0, 0),
        (IF_EQUAL, 0, 3, PRCTL.get(platform.machine(), -1 & 0xFFFFFFFF)),
        (LOAD, 0, 0, 16),
        (IF_EQUAL, 0, 1, PR_SET_SECCOMP),
        (RETURN, 0, 0, FAIL_WITH | EINVAL),
        (RETURN, 0, 0, ALLOW),
    ],
}


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def main() -> None:
    instructions = b"".join(struct.pack("=HBBI", *each) for each in REFUSALS[sys.argv[1]])
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    program = Program(len(instructions) // 8, instructions)
    assert libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()

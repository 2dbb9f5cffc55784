"""Puts a policy into a Landlock ruleset (linux/landlock.h), through ctypes: no library has the calls yet."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from rushes_normalizer.media.sandbox.policy import Policy

# The same on every machine.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_GIVE_VERSION: Final = 1
_PATH_BENEATH: Final = 1

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
REMOVE_FILE: Final = 1 << 5
MAKE_REG: Final = 1 << 8
TRUNCATE: Final = 1 << 14
_RIGHTS_OF_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
# How many rights to files each ABI knows: 2 added linking across folders, 3 truncation, 5 ioctl on devices.
_RIGHTS_BY_ABI: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_MOST_RIGHTS: Final = 16
_TCP: Final = 0b11  # bind and connect, from ABI 4 on
_SCOPES: Final = 0b11  # abstract Unix sockets and signals of processes outside, from ABI 6 on

# Opened by C libraries and by ffmpeg itself.
_DEVICES: Final = ((Path("/dev/null"), READ_FILE | WRITE_FILE), (Path("/dev/urandom"), READ_FILE))


def handled(abi: int) -> tuple[int, int, int]:
    """All rights that a ruleset of an ABI can take away: to files, to the network, to processes outside."""
    files = (1 << _RIGHTS_BY_ABI.get(abi, _MOST_RIGHTS)) - 1
    return files, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0


def rules(policy: Policy) -> list[tuple[Path, int]]:
    """The rights that a policy leaves, path by path."""
    return [
        *((program, READ_FILE | EXECUTE) for program in policy.programs),
        *((path, READ_FILE | READ_DIR) for path in policy.reads),
        *((path, READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE) for path in policy.writes),
        *((device, rights) for device, rights in _DEVICES if device.exists()),
    ]


def kernel_abi() -> int:
    """The kernel's Landlock ABI; 0 where it has none, or where it is switched off or refused."""
    return max(0, _call(_CREATE_RULESET, None, 0, _GIVE_VERSION))


@contextmanager
def ruleset(policy: Policy, abi: int) -> Iterator[int]:
    """The file descriptor of a ruleset, for a child to restrict itself with.

    Raises:
        OSError: a path is not there.
    """
    files, network, scopes = handled(abi)
    attributes = struct.pack("=QQQ", files, network, scopes)
    # An older kernel knows fewer of them, and takes the others if they are zero.
    descriptor = _checked(_call(_CREATE_RULESET, attributes, len(attributes), 0))
    try:
        for path, rights in rules(policy):
            _add(descriptor, path, rights & files)
        yield descriptor
    finally:
        os.close(descriptor)


def _add(descriptor: int, path: Path, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            rights &= _RIGHTS_OF_FILES
        _checked(_call(_ADD_RULE, descriptor, _PATH_BENEATH, struct.pack("=Qi", rights, opened), 0))
    finally:
        os.close(opened)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: int | bytes | None) -> int:
    # Arguments of `syscall` are longs; ctypes passes a bare Python integer as an int.
    passed = (ctypes.c_long(value) if isinstance(value, int) else value for value in arguments)
    answer: int = _libc().syscall(ctypes.c_long(number), *passed)
    return answer


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return answer

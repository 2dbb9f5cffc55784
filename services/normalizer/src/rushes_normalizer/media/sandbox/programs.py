"""Finds what a program needs to start: its loader and its shared libraries."""

from __future__ import annotations

import re
import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_INTERPRETER: Final = 3  # PT_INTERP of elf.h
_LIBRARY_CACHE: Final = Path("/etc/ld.so.cache")
_SECONDS_TO_ANSWER: Final = 30


@dataclass(frozen=True)
class Needs:
    """What a program needs besides itself.

    Attributes:
        loader: its loader; None for a static program.
        reads: the folders of its shared libraries, and the loader's own index of libraries.
    """

    loader: Path | None
    reads: tuple[Path, ...]


@cache
def needs(program: Path) -> Needs:
    """What a program needs to start; asks its loader once."""
    loader = _loader(program)
    if loader is None:
        return Needs(None, ())
    listing = subprocess.run(
        [loader, "--list", program], capture_output=True, check=False, timeout=_SECONDS_TO_ANSWER, env={"LC_ALL": "C"}
    ).stdout.decode(errors="replace")
    folders = {Path(found).parent for found in re.findall(r"=> (/.+) \(0x", listing)}
    index = {_LIBRARY_CACHE} if _LIBRARY_CACHE.exists() else set()
    return Needs(loader, tuple(sorted(folders | index)))


def _loader(program: Path) -> Path | None:
    with program.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":  # 64 bits, little-endian: all machines that we know
            return None
        (at,) = struct.unpack_from("<Q", head, 0x20)
        size, count = struct.unpack_from("<HH", head, 0x36)
        file.seek(at)
        segments = file.read(size * count)
        for number in range(count):
            kind, _flags, start, _virtual, _physical, length = struct.unpack_from("<IIQQQQ", segments, number * size)
            if kind == _INTERPRETER:
                file.seek(start)
                return Path(file.read(length).rstrip(b"\0").decode())
    return None

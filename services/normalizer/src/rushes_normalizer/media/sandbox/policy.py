"""What a child may touch. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Policy:
    """Everything that is not named here is refused. Folders are meant with all that lies in them.

    Attributes:
        programs: files that may be executed: the program, and its loader.
        reads: files and folders that may be read.
        writes: folders in which files may be read, written, made and removed.
    """

    programs: tuple[Path, ...]
    reads: tuple[Path, ...]
    writes: tuple[Path, ...]


@dataclass(frozen=True)
class Bounds:
    """What a child may use.

    Attributes:
        memory: bytes of address space.
        file_size: bytes of one file that it writes.
        cpu_seconds: of all its threads together.
    """

    memory: int
    file_size: int
    cpu_seconds: int

"""The objects of a folder in the order of their keys, a folder at a time in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk(root: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Keys that begin with `prefix`, ordered by their bytes, and what the file system says of each.

    A key's first part is a folder, and so are two parts of what follows its dash: `{first}/{id[0:3]}/{id[3:6]}/{id}`.
    Sorted by `first` and the dash, folders stand as their keys do: a key compares the dash before anything that
    follows. Files that lie elsewhere have no key that leads to them.

    Raises:
        OSError: `root` or a folder below cannot be read.
    """
    for first in _sorted(root, suffix="-"):
        begins = f"{first}-"
        if not (begins.startswith(prefix) or prefix.startswith(begins)) or not first:
            continue
        rest = prefix[len(begins) :]
        for second in _sorted(root / first):
            if len(second) != 3 or not _agree(second, rest):
                continue
            for third in _sorted(root / first / second):
                both = second + third
                if not 1 <= len(third) <= 3 or not _agree(both, rest):
                    continue
                for key, stat in _files(root / first / second / third, both, begins):
                    if key.startswith(prefix):
                        yield key, stat


def _files(folder: Path, both: str, begins: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                (entry for entry in entries if entry.name[:6] == both and _is_text(entry.name)),
                key=lambda entry: entry.name,
            )
    except (FileNotFoundError, NotADirectoryError):  # gone since its parent was read; or no folder of ours
        return
    for entry in found:
        try:
            if entry.is_file():
                yield begins + entry.name, entry.stat()
        except FileNotFoundError:
            continue


def _sorted(folder: Path, suffix: str = "") -> list[str]:
    """Names in a folder; those that are not UTF-8 are no part of a key."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((name for name in names if _is_text(name)), key=lambda name: name + suffix)


def _agree(name: str, rest: str) -> bool:
    return name.startswith(rest) or rest.startswith(name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

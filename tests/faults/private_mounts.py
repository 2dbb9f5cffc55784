"""A small disk that can be full: a tmpfs in a mount namespace of this process's own, gone when it is. Needs root."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path
from typing import Final

_CLONE_NEWNS: Final = 0x20000
_DISK_MEGABYTES: Final = 24


def may_mount() -> str | None:
    """None if this process may mount, or else why not. If it may, it has mounts of its own afterwards."""
    if os.geteuid() != 0:
        return "only root may mount a small disk"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        return f"no mount namespace: {os.strerror(ctypes.get_errno())}"
    made = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, text=True, check=False)
    return None if made.returncode == 0 else made.stderr.strip()


def mount_small_disk(folder: Path) -> None:
    """Mount a small disk at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_MEGABYTES}m", "rushes-small", folder], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk that a folder is on; the file that does it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            return ballast

"""Disks that can be full, away or read-only, in mounts of this process's own, gone when it is. Needs root."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.pace import pace

_CLONE_NEWNS: Final = 0x20000
_DISK_MEGABYTES: Final = 48
_PATIENCE: Final = 10.0 * pace()  # seconds until no file of a disk is being written


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


class MountedFolder:
    """A folder that is mounted somewhere, and for a while is not, or may only be read."""

    def __init__(self, disk: Path, place: Path) -> None:
        self._disk = disk
        self._place = place
        self._turn = asyncio.Lock()

    async def mount(self) -> None:
        """Mount it."""
        for folder in (self._disk, self._place):
            folder.mkdir(exist_ok=True)
        assert await _call("mount", "--bind", self._disk, self._place) == 0

    async def unmount(self) -> None:
        """Unmount it; files that are open stay so."""
        assert await _call("umount", "--lazy", self._place) == 0

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Not mounted while the block runs."""
        async with self._turn:
            await self.unmount()
            try:
                yield
            finally:
                await self.mount()

    @asynccontextmanager
    async def read_only(self) -> AsyncIterator[None]:
        """Read-only while the block runs."""
        async with self._turn:
            await self._made_read_only()
            try:
                yield
            finally:
                assert await _call("mount", "-o", "remount,bind,rw", self._place) == 0

    async def _made_read_only(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while await _call("mount", "-o", "remount,bind,ro", self._place):
            assert time.monotonic() < deadline, "files are being written all the time"
            await asyncio.sleep(0.05)


async def _call(*command: str | Path) -> int:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()

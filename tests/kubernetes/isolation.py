"""Namespaces of one's own: a network, mounts, and processes that cannot outlive the first of them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_SECONDS_TO_DIE: Final = 20
# Fixed paths that a kubelet and a container runtime write to: in the namespace they are empty memory.
_PRIVATE: Final = ("/run/netns", "/var/lib/kubelet", "/var/log/containers")


def run_isolated(command: Sequence[str | Path], cgroup: str) -> int:
    """Run a command in namespaces of its own; its exit code.

    Whatever it starts, pods included, is killed by the kernel as soon as it has ended or was killed itself. Its mounts
    and its network go too, and the folders below `cgroup`.
    """
    namespaces = ("--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
    # A shell as the first process buries the orphans of the others.
    shell = ("sh", "-c", '"$@"; exit $?', "sh")
    try:
        # The kernel kills `unshare` when we are killed, `unshare` its child, and that the rest.
        leashed = ("setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, *shell, *command)
        return subprocess.run(leashed, check=False).returncode
    finally:
        _remove_cgroups(cgroup)


def prepare_namespaces() -> None:
    """What the first process inside does: loopback, and memory over fixed paths."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for path in _PRIVATE:
        Path(path).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)


def cgroup_hierarchies() -> list[Path]:
    """The roots of all cgroup hierarchies: one of version 2, or one for each controller of version 1."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [path for path in _CGROUPS.iterdir() if path.is_dir() and not path.is_symlink() and path.name != "unified"]


def _remove_cgroups(name: str) -> None:
    deadline = time.monotonic() + _SECONDS_TO_DIE
    for path in _CGROUPS.glob(name if (_CGROUPS / "cgroup.controllers").exists() else f"*/{name}"):
        for folder, _, _ in os.walk(path, topdown=False):
            while not _removed(folder):
                if time.monotonic() > deadline:
                    print(f"{folder} is still in use", file=sys.stderr)
                    return
                time.sleep(0.1)


def _removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except OSError as error:
        # What was in it is killed, but not yet gone.
        if error.errno != errno.EBUSY:
            raise
        return False
    return True

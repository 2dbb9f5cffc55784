"""A machine that systemd runs: this one's files, in namespaces of its own, gone when the test is."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rushes_embedded.leash import Leash, log_tail

_BOOT: Final = Path(__file__).with_name("boot.sh")
_CGROUPS: Final = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
_PROGRAMS: Final = (
    "unshare",
    "nsenter",
    "systemd-analyze",
    "runuser",
    "openssl",
    "java",
    "pg_createcluster",
    "pg_dump",
)
_SECONDS_TO_BOOT: Final = 180.0
_SECONDS_TO_END: Final = 10.0
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_machine() -> str | None:
    """None if a machine can be booted here, or else what is missing, in words."""
    if os.geteuid() != 0:
        return "only root may boot one"
    if missing := [name for name in _PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:{_PATH}") is None]:
        return f"not there: {', '.join(missing)}"
    if not Path("/lib/systemd/systemd").exists():
        return "no systemd"
    if not any((folder / "cgroup.procs").exists() for folder in _CGROUPS):
        return "no control groups of version 2"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return tried.stderr.strip() or None


class Machine:
    """Boots on entry, ends on exit. Its network is a loopback of its own, so every port is free."""

    def __init__(self, folder: Path, *, source: Path, target: str) -> None:
        """The folder `source` of this machine is shown at `target`, to read."""
        self._folder = folder / "machine"
        self._folder.mkdir(parents=True)
        self._log = folder / "machine.log"
        above = next(each for each in _CGROUPS if (each / "cgroup.procs").exists())
        self._cgroup = above / f"rushes-vm-{os.getpid()}"
        command: list[str | Path] = [_BOOT, self._folder, self._cgroup, source, target]
        self._leash = Leash(command, log=self._log, cwd=Path("/"), grace_seconds=1)
        self._first = 0

    def __enter__(self) -> Self:
        self._cgroup.mkdir()
        try:
            self._leash.start()
            self._wait_until_up()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, script: str, *, folder: str = "/", patience: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run a script as root in the machine, whatever its exit code; killed after `patience` seconds."""
        namespaces = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--net"]
        shell = ["/bin/bash", "-euo", "pipefail", "-c", f"cd {folder}\n{script}"]
        return subprocess.run(
            ["nsenter", "--target", str(self._first), *namespaces, *shell],
            env={**os.environ, "PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )

    def do(self, script: str, *, folder: str = "/", patience: float = 300.0) -> str:
        """The same for a script that must succeed; what it printed on stdout."""
        done = self.run(script, folder=folder, patience=patience)
        if done.returncode:
            failed = self.run("systemctl --failed --no-legend --plain; journalctl --no-pager --lines=40")
            words = f"{script}\nended with {done.returncode}:\n{done.stdout}{done.stderr}\n{failed.stdout}"
            raise AssertionError(words)
        return done.stdout

    def put(self, path: str, content: bytes) -> None:
        """Write a file in the machine."""
        (Path(f"/proc/{self._first}/root") / path.lstrip("/")).write_bytes(content)

    def eventually(self, script: str, wanted: str, *, patience: float = 180.0) -> None:
        """Look again and again until a script prints what is wanted."""
        deadline = time.monotonic() + patience
        while (said := self.run(script).stdout.strip()) != wanted:
            assert time.monotonic() < deadline, f"{script}: still {said!r}\n" + self.do("journalctl --no-pager -n 40")
            time.sleep(0.2)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + _SECONDS_TO_BOOT
        while time.monotonic() < deadline:
            assert self._leash.poll() is None, log_tail(self._log)
            children = Path(f"/proc/{self._leash.pid}/task/{self._leash.pid}/children").read_text().split()
            if children and "systemd" in os.readlink(f"/proc/{children[0]}/exe"):
                self._first = int(children[0])
                if self.run("systemctl is-system-running").stdout.strip() == "running":
                    return
            time.sleep(0.1)
        raise AssertionError(f"systemd is not up after {_SECONDS_TO_BOOT:.0f} s:\n{log_tail(self._log)}")

    def _end(self) -> None:
        self._leash.stop()
        # Its processes are gone once systemd's groups are empty; then the groups can be removed, from below.
        deadline = time.monotonic() + _SECONDS_TO_END
        while self._cgroup.exists() and time.monotonic() < deadline:
            for folder in [*sorted(self._cgroup.rglob("*/"), reverse=True), self._cgroup]:
                with suppress(OSError):
                    folder.rmdir()
            time.sleep(0.05)
        shutil.rmtree(self._folder, ignore_errors=True)

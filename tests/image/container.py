"""Runs a command in the image by runc, as strictly as a cluster does: a number, no root to write to, no network."""

from __future__ import annotations

import json
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SECONDS: Final = 300
USER: Final = 54321


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Container:
    """What the image unpacks to, under `bundle/rootfs`, and its environment."""

    bundle: Path
    environment: tuple[str, ...]

    def run(self, *command: str) -> Ended:
        """Run a command; /tmp is empty, writable memory."""
        name = f"rushes-test-{uuid.uuid4().hex[:12]}"
        (self.bundle / "config.json").write_text(json.dumps(self._specification(command)))
        ran = subprocess.run(
            ["runc", "run", "--bundle", str(self.bundle), name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        return Ended(ran.returncode, ran.stdout, ran.stderr)

    def _specification(self, command: tuple[str, ...]) -> dict[str, object]:
        private = ["nosuid", "nodev"]
        return {
            "ociVersion": "1.0.2",
            "process": {
                # Another one than the image's own: clusters such as OpenShift choose it.
                "user": {"uid": USER, "gid": USER},
                "args": list(command),
                "env": [*self.environment, "HOME=/tmp"],
                "cwd": "/tmp",
                "noNewPrivileges": True,
            },
            "root": {"path": "rootfs", "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": [*private, "mode=1777"]},
            ],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
        }

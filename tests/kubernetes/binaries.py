"""The programs of a Kubernetes node, built once from their Go modules into the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from rushes_embedded.cache import cache_folder, made_once

_MODULES: Final = Path(__file__).with_name("modules")
_KUBERNETES: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
# Debian's packages containerd, runc, containernetworking-plugins and iproute2.
_OF_THE_SYSTEM: Final = ("containerd", "ctr", "runc", "ip", "unshare", "setpriv", "gcc", "openssl")
CNI_PLUGINS: Final = Path("/usr/lib/cni")


def find_kubernetes() -> str | None:
    """None when a node can be run here, or else what is missing, in words."""
    if os.geteuid() != 0:
        return "a node needs root"
    missing = [name for name in _OF_THE_SYSTEM if shutil.which(name) is None]
    if not (CNI_PLUGINS / "bridge").exists():
        missing.append(str(CNI_PLUGINS / "bridge"))
    if not _place().exists() and shutil.which("go") is None:
        missing.append("go")
    return f"not there: {', '.join(missing)}" if missing else None


def kubernetes_binaries() -> Path:
    """The folder of the programs; the first call on a machine builds them, in 6 minutes on two cores.

    Raises:
        subprocess.CalledProcessError: Go could not build them, and has said why on stderr.
    """
    return made_once(_place(), _build)


def _place() -> Path:
    sources = b"".join(path.read_bytes() for path in sorted(_MODULES.rglob("*")) if path.is_file())
    return cache_folder() / f"kubernetes-{_version()}-{hashlib.sha256(sources).hexdigest()[:12]}"


def _version() -> str:
    found = re.search(r"k8s.io/kubernetes v(\S+)", (_MODULES / "kubernetes" / "go.mod").read_text())
    assert found
    return found[1]


def _build(folder: Path) -> None:
    folder.mkdir()
    major, minor, _ = _version().split(".")
    told = {"gitVersion": f"v{_version()}", "gitMajor": major, "gitMinor": minor}
    stamps = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in told.items())
    programs = [f"k8s.io/kubernetes/cmd/{name}" for name in _KUBERNETES]
    _go(_MODULES / "kubernetes", "-ldflags", f"-s -w {stamps}", "-o", f"{folder}/", *programs)
    _go(_MODULES / "etcd", "-ldflags", "-s -w", "-o", f"{folder}/etcd", ".")
    subprocess.run(["gcc", "-static", "-O2", "-o", folder / "pause", _MODULES / "pause.c"], check=True)


def _go(module: Path, *arguments: str) -> None:
    command = ["nice", "go", "build", "-mod=readonly", "-trimpath", *arguments]
    subprocess.run(command, cwd=module, env={**os.environ, "CGO_ENABLED": "0"}, check=True)


def write_pause_image(program: Path, archive: Path) -> None:
    """Write a docker-archive, `localhost/pause:1`, that holds this one program."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["tar", "-C", program.parent, "-cf", folder / "layer.tar", program.name], check=True)
        digest = hashlib.sha256((folder / "layer.tar").read_bytes()).hexdigest()
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
        manifest = [{"Config": "config.json", "RepoTags": ["localhost/pause:1"], "Layers": ["layer.tar"]}]
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "manifest.json").write_text(json.dumps(manifest))
        files = ["config.json", "layer.tar", "manifest.json"]
        subprocess.run(["tar", "-C", folder, "-cf", archive, *files], check=True)

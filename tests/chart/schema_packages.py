"""Packages with Kubernetes' schemas and models of custom resources, installed once into the user's cache.

They stand apart from the development environment: one of them brings a pytest plugin that would be loaded everywhere.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.chart.helm_binaries import ROOT

_LOCK: Final = ROOT / "helm" / "requirements.lock"


def schema_packages() -> Path:
    """The folder to import them from; they are installed (60 MB) if they are not there.

    Raises:
        subprocess.CalledProcessError: pip could not install them, and has said why on stderr.
    """
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rushes"
    lock = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]
    place = cached / f"chart-schemas-{lock}-python{sys.version_info[0]}.{sys.version_info[1]}"
    if not place.exists():
        cached.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="chart-schemas.", dir=cached) as folder:
            partial = Path(folder) / "packages"
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            command = [*pip, "--require-hashes", "--target", str(partial), "-r", str(_LOCK)]
            subprocess.run(command, check=True, stdout=sys.stderr)
            partial.rename(place)
    return place

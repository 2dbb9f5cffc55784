"""Packages with Kubernetes' schemas and models of custom resources, installed once into the user's cache.

They stand apart from the development environment: one of them brings a pytest plugin that would be loaded everywhere.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.chart.cache import cache, place_of
from tests.chart.helm_binaries import ROOT

_LOCK: Final = ROOT / "helm" / "requirements.lock"


def schema_packages() -> Path:
    """The folder to import them from; they are installed (60 MB) if they are not there.

    Raises:
        subprocess.CalledProcessError: pip could not install them, and has said why on stderr.
    """
    place = place_of("chart-schemas", _LOCK)
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix="chart-schemas.", dir=cache()) as folder:
            partial = Path(folder) / "packages"
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            command = [*pip, "--require-hashes", "--target", str(partial), "-r", str(_LOCK)]
            subprocess.run(command, check=True, stdout=sys.stderr)
            partial.rename(place)
    return place

"""Packages with Kubernetes' schemas and models of custom resources, installed once into the user's cache.

They stand apart from the development environment: one of them brings a pytest plugin that would be loaded everywhere.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from rushes_embedded.cache import made_once

from tests.cache import place_of
from tests.chart.helm_binaries import ROOT

_LOCK: Final = ROOT / "helm" / "requirements.lock"


def schema_packages() -> Path:
    """The folder to import them from; they are installed (60 MB) if they are not there.

    Raises:
        subprocess.CalledProcessError: pip could not install them, and has said why on stderr.
    """

    def install(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command = [*pip, "--require-hashes", "--target", str(folder), "-r", str(_LOCK)]
        subprocess.run(command, check=True, stdout=sys.stderr)

    return made_once(place_of("chart-schemas", _LOCK), install)

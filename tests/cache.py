"""Programs that tests need beside the development environment, installed once into the user's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

from rushes_embedded.cache import cache_folder, made_once
from rushes_embedded.leash import StartError


def place_of(name: str, lock: Path) -> Path:
    """The place for what is installed from a lock file: apart for each lock and Python."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    return cache_folder() / f"{name}-{digest}-python{sys.version_info[0]}.{sys.version_info[1]}"


def programs_of(name: str, lock: Path) -> Path:
    """The folder of programs of an environment of its own; installed if it is not there.

    Raises:
        subprocess.CalledProcessError: pip could not install it, and has said why on stderr.
    """
    place = place_of(name, lock)
    if not (place / "complete").exists():  # made in its place, for its programs name it
        venv.create(place, clear=True, with_pip=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # A lock names all that is needed; older pips take a package with an extra for one that it doesn't name.
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(lock)], check=True, stdout=sys.stderr)
        (place / "complete").touch()
    return place / "bin"


def installed_by_go(module: str, place: Path) -> Path:
    """The folder of a module's programs, built when it is not there.

    Args:
        module: a package with its version, as `go install` takes it.

    Raises:
        StartError: Go could not build it; with what it said.
    """

    def build(folder: Path) -> None:
        environment = {**os.environ, "GOBIN": str(folder)}
        built = subprocess.run(["go", "install", module], env=environment, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            raise StartError(f"{module} cannot be built:\n{built.stderr}")

    return made_once(place, build)

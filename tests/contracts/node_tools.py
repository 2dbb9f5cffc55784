"""The official AsyncAPI parser and the TypeScript compiler, installed once into the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from rushes_embedded.cache import made_once
from rushes_embedded.leash import StartError

from tests.cache import place_of

NODE: Final = Path(__file__).parent / "node"
LACKING: Final = next((f"no {name} on the PATH" for name in ("node", "npm") if not shutil.which(name)), None)
needs_node: Final = pytest.mark.skipif(LACKING is not None, reason=LACKING or "")


def installed_by_npm(name: str, folder: Path) -> Path:
    """A folder with what `folder`'s lock file names in its `node_modules`; no package's script is run.

    Raises:
        StartError: npm cannot install it; with what it said.
    """

    def install(place: Path) -> None:
        place.mkdir()
        for each in ("package.json", "package-lock.json"):
            shutil.copy(folder / each, place)
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        ran = subprocess.run(npm, cwd=place, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise StartError(f"npm cannot install {folder}:\n{ran.stdout}{ran.stderr}")

    return made_once(place_of(name, folder / "package-lock.json"), install)


def run_node(script: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script of `node/` with `text` as its standard input."""
    modules = installed_by_npm("contracts-node", NODE) / "node_modules"
    environment = {**os.environ, "NODE_PATH": str(modules)}
    command = ["node", str(NODE / script)]
    return subprocess.run(command, input=text, env=environment, capture_output=True, text=True, check=True)

"""Zou and the photographs, in a virtual environment of their own that is kept between runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from rushes_embedded.cache import cache_folder

from tests.bench.saying import say

ZOU: Final = "zou==1.0.97"
# `zou.utils.movie` imports nothing but ffmpeg-python; the server's other sixty packages are of no use here. The wheel
# of scikit-image brings photographs that are free to use (CC0 or public domain).
PACKAGES: Final = (ZOU, "ffmpeg-python==0.2.0", "future==1.0.0", "scikit-image==0.26.0")


def peer_python() -> Path:
    """The environment's python, installed when it is not there (20 MB).

    Raises:
        subprocess.CalledProcessError: pip could not install it, and has said why on stderr.
    """
    folder = _folder()
    complete = folder / "complete"
    python = folder / "bin" / "python"
    if not complete.exists():
        say(f"installing {', '.join(PACKAGES)} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--no-deps", "--only-binary", ":all:", *PACKAGES])
        complete.touch()
    return python


def photographs(names: tuple[str, ...]) -> list[Path]:
    """Paths of scikit-image's photographs, such as `coffee.png`."""
    folder = peer_python().parents[1]
    (data,) = folder.glob("lib/python*/site-packages/skimage/data")
    return [data / name for name in names]


def _folder() -> Path:
    return cache_folder() / f"bench-media-{ZOU.replace('==', '-')}-python{sys.version_info[0]}.{sys.version_info[1]}"


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)

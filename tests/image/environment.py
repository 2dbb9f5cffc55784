"""hadolint and CycloneDX's validator, in an environment of their own in the user's cache."""

from __future__ import annotations

import functools
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from tests.chart.cache import place_of

_LOCK: Final = Path(__file__).with_name("requirements.lock")


@functools.cache
def environment() -> Path:
    """The environment's folder of programs; installed if it is not there.

    Raises:
        subprocess.CalledProcessError: pip could not install it, and has said why on stderr.
    """
    place = place_of("image-checks", _LOCK)
    if not (place / "complete").exists():
        venv.create(place, clear=True, with_pip=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(_LOCK)], check=True, stdout=sys.stderr)
        (place / "complete").touch()
    return place / "bin"

"""Where what the chart's tests fetch is kept: in the user's cache, apart for each lock and Python."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path


def cache() -> Path:
    """The folder; it is there."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rushes"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def place_of(name: str, lock: Path) -> Path:
    """The place for what is installed from a lock file."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    return cache() / f"{name}-{digest}-python{sys.version_info[0]}.{sys.version_info[1]}"

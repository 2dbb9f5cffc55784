"""The user's cache: what is fetched or built once on a machine, and kept between runs."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rushes"


def made_once(place: Path, make: Callable[[Path], object]) -> Path:
    """A folder that is made when it is not there: whole or not at all, and safe when several ask at once.

    `make` gets the path of a folder that it makes, which is moved to `place` then. Beside that it may write what it
    needs on the way.
    """
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{place.name}.", dir=place.parent) as folder:
        partial = Path(folder) / "made"
        make(partial)
        try:
            partial.rename(place)
        except OSError:
            if not place.exists():  # otherwise somebody else was faster
                raise
    return place

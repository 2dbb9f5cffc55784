"""hadolint and CycloneDX's validator, in an environment of their own in the user's cache."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.cache import programs_of

_LOCK: Final = Path(__file__).with_name("requirements.lock")


def environment() -> Path:
    """The environment's folder of programs."""
    return programs_of("image-checks", _LOCK)

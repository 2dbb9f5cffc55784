"""The console script: imports next to nothing before it starts, so that `start` sees all of the rest come."""

from __future__ import annotations

from rushes_runtime.start import start


def main() -> None:
    """The console script."""
    start("rushes_normalizer.command_line")

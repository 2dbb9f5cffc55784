"""The console script: imports little before it starts, so that `start` sees all of the rest come."""

from __future__ import annotations

from rushes_runtime.start import start


def main() -> None:
    """The console script."""
    start("rushes_kitsu.cli")


if __name__ == "__main__":
    main()

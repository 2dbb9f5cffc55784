"""Progress on stderr: stdout is for the figures."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)

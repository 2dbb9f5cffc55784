"""Prometheus' own tools, from Debian's package `prometheus`."""

from __future__ import annotations

import shutil
import subprocess

import pytest

PROMTOOL = shutil.which("promtool")
PROMETHEUS = shutil.which("prometheus")
LACKING = "" if PROMTOOL and PROMETHEUS else "Prometheus is not there (apt-get install prometheus)"
needs_prometheus = pytest.mark.skipif(bool(LACKING), reason=LACKING)


def promtool(*arguments: str, given: str | None = None) -> str:
    """What promtool says; fails if it finds something.

    Args:
        given: on its standard input.
    """
    assert PROMTOOL
    ran = subprocess.run([PROMTOOL, *arguments], input=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout

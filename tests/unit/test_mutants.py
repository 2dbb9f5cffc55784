"""Each mutant fits the product as it is now: what it replaces is there, and takes what the product hands it."""

from __future__ import annotations

import subprocess
import sys

_SWITCH_ON_EACH = """
import os, sys
from tests.faults.mutants import MUTANTS
for mutant in MUTANTS.values():
    child = os.fork()
    if not child:
        mutant.switch_on()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{mutant.name} does not fit")
"""


def test_every_mutant_can_be_switched_on() -> None:
    ran = subprocess.run([sys.executable, "-c", _SWITCH_ON_EACH], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr

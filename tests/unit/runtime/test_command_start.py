"""What a command finds when its imports are done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND_LINE = """
import gc

was_on = gc.isenabled()

def app():
    print(was_on, gc.isenabled(), gc.get_freeze_count() > 0)
"""


def test_the_garbage_collector_rests_during_imports_and_no_longer(tmp_path: Path) -> None:
    (tmp_path / "command_line.py").write_text(COMMAND_LINE)
    said = subprocess.run(
        [sys.executable, "-c", "from rushes_runtime.start import start; start('command_line')"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["False", "True", "True"]

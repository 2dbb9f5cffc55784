"""What a line of the log says to a program."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
from datetime import UTC, datetime
import structlog
from rushes_runtime.logs import configure_logs

configure_logs("info", "json")
structlog.get_logger("test").info("waits", until=datetime(2026, 1, 31, 9, 30, tzinfo=UTC))
"""


def test_a_time_in_a_json_log_is_written_as_a_time() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stderr
    assert json.loads(said)["until"] == "2026-01-31 09:30:00+00:00"

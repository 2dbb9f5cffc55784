"""Python programs in the sandbox, and marks for what a kernel may lack.

The marks ask the kernel itself, not the product: a launcher that confines nothing must fail tests, not skip them.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.process import ChildLog, run
from rushes_normalizer.media.sandbox.landlock import kernel_abi
from rushes_normalizer.media.sandbox.syscalls import MACHINES

INTERPRETER = (Path(sys.prefix), Path(sys.base_prefix))

_STATUS = Path("/proc/self/status")
FILTERS = platform.machine() in MACHINES and _STATUS.exists() and "\nSeccomp:" in _STATUS.read_text()

needs_landlock = pytest.mark.skipif(
    not kernel_abi(), reason="this kernel has no Landlock: no file is out of a child's reach here"
)
needs_seccomp = pytest.mark.skipif(
    not FILTERS, reason="this kernel filters no system calls: no call is out of a child's reach here"
)


async def run_python(
    code: str,
    scratch: Path,
    *,
    reads: Sequence[Path] = (),
    limits: Limits | None = None,
    lines: list[str] | None = None,
) -> ChildLog:
    """Run Python in the sandbox, where it may read what `reads` names and itself; its stdout goes to `lines`."""
    return await run(
        [sys.executable, "-I", "-c", code],
        scratch=scratch,
        limits=limits or Limits(),
        reads=[*INTERPRETER, *reads],
        on_line=None if lines is None else lines.append,
    )

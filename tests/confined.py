"""Python programs in the sandbox, and marks for what a kernel may lack."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.process import ChildLog, run
from rushes_normalizer.media.sandbox.mechanisms import mechanisms

INTERPRETER = (Path(sys.prefix), Path(sys.base_prefix))

needs_landlock = pytest.mark.skipif(
    not mechanisms().landlock_abi, reason="this kernel has no Landlock: no file is out of a child's reach here"
)
needs_seccomp = pytest.mark.skipif(
    not mechanisms().seccomp, reason="this kernel filters no system calls: no call is out of a child's reach here"
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

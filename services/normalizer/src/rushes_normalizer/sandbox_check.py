"""Says at a worker's start how well its children are confined, and refuses what is not good enough."""

from __future__ import annotations

import tempfile
from pathlib import Path

import structlog

from rushes_normalizer import metrics
from rushes_normalizer.media.blame import gist
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.process import ChildError, run
from rushes_normalizer.media.sandbox.confinement import Mechanisms
from rushes_normalizer.media.sandbox.mechanisms import mechanisms
from rushes_normalizer.media.tools import Tools, ToolsError

log = structlog.get_logger(__name__)


class SandboxError(Exception):
    """The kernel lacks what the settings require; the message names it."""


async def check_sandbox(tools: Tools, limits: Limits, *, required: bool) -> None:
    """Start both programs in the sandbox once, and publish what confines them.

    Raises:
        SandboxError: a mechanism is lacking, and all are required.
        ToolsError: a program that runs outside of the sandbox cannot be started in it.
    """
    there = mechanisms()
    publish(there)
    refuse_without(there, required=required)
    if there.lacking:
        log.warning("sandbox_incomplete", lacking=there.lacking)
    else:
        log.info("sandbox", landlock_abi=there.landlock_abi, seccomp=there.seccomp)
    for program in (tools.ffmpeg, tools.ffprobe):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                await run([str(program), "-version"], scratch=Path(scratch), limits=limits)
            except ChildError as failed:
                said = "; ".join(gist(failed.log))
                msg = f"{program} cannot be started in the sandbox; it or the launcher said: {said}"
                raise ToolsError(msg) from failed


def publish(there: Mechanisms) -> None:
    """Set the metric."""
    metrics.SANDBOX_ENFORCED.labels("landlock").set(there.landlock_abi > 0)
    metrics.SANDBOX_ENFORCED.labels("seccomp").set(there.seccomp)


def refuse_without(there: Mechanisms, *, required: bool) -> None:
    """Refuse a machine that lacks a mechanism if all are required.

    Raises:
        SandboxError: it does.
    """
    if required and there.lacking:
        msg = (
            f"REQUIRE_SANDBOX is true, but this machine lacks {' and '.join(there.lacking)}: "
            "ffmpeg would read uploads unconfined. Run on a Linux kernel that has both, under a container runtime that "
            "lets them through, or set REQUIRE_SANDBOX=false"
        )
        raise SandboxError(msg)

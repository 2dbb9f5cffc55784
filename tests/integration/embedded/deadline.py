"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable

import psutil


def until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Return once `condition` holds. Raises `TimeoutError` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds} s")
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether no such process runs (one that nobody reaped does not run)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True

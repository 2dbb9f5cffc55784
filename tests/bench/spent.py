"""What this process and its children have cost so far."""

from __future__ import annotations

import resource


def cpu_seconds() -> float:
    """User and system time of this process, all its threads, and its children that ended."""
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def peak_child_bytes() -> int:
    """Peak resident memory of the largest child that ended (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024

"""How slow this machine is now, so that what tests wait for, and what they let expire, grows with it."""

from __future__ import annotations

import os
import random
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Final

_VARIABLE: Final = "RUSHES_TEST_PACE"
_REFERENCE: Final = 0.75  # seconds that the pieces take on two quiet cores of a server of 2024
_ROUNDS: Final = 6


def _work(text: bytes) -> None:
    for _ in range(_ROUNDS):
        zlib.compress(text)  # in C, without the interpreter's lock


def _measure() -> float:
    cores = len(os.sched_getaffinity(0))
    text = random.Random(1).randbytes(1 << 20).translate(b"abcdefgh" * 32)
    begun = time.monotonic()
    with ThreadPoolExecutor(cores) as threads:  # a limit for all cores together shows only when all are busy
        list(threads.map(_work, [text] * cores))
    return max(1.0, (time.monotonic() - begun) / _REFERENCE)


def pace() -> float:
    """How many times as long as on a quiet core a piece of work takes here; at least 1.

    It is measured once a run: processes of the run inherit it.
    """
    if _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = f"{_measure():.2f}"
    return float(os.environ[_VARIABLE])

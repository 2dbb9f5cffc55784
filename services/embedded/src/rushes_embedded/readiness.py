"""Waiting until a server answers."""

import time
from collections.abc import Callable

from rushes_embedded.leash import Leash, StartError, log_tail

_POLL_SECONDS = 0.03


def wait_until_ready(name: str, leash: Leash, probe: Callable[[], str | None], *, timeout: float) -> None:
    """Call `probe` until it gives None, which means "ready"; a text says what is still missing.

    Stops the server and raises `StartError`, with the end of its log, when it ends before that or `timeout` seconds
    have passed.
    """
    try:
        _wait(name, leash, probe, timeout)
    except BaseException:
        leash.stop()
        raise


def _wait(name: str, leash: Leash, probe: Callable[[], str | None], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while (missing := probe()) is not None:
        code = leash.poll()
        if code is not None:
            trouble = f"ended with code {code} before it answered"
        elif time.monotonic() > deadline:
            trouble = f"does not answer after {timeout:.0f} s ({missing})"
        else:
            time.sleep(_POLL_SECONDS)
            continue
        raise StartError(f"{name} {trouble}. The end of {leash.log}:\n{log_tail(leash.log)}")

"""Free loopback ports for servers that must be told their port."""

import os
import socket
import threading
from itertools import count

LOOPBACK = "127.0.0.1"

# Below the ranges from which Linux (32768) and macOS (49152) give ports to clients and to `bind(0)`: a port that was
# free when probed is not taken by somebody's connection before its server binds it.
_FIRST = 10_000
_COUNT = 20_000

# Each process walks from a place of its own, so that two stacks that start at once do not probe the same ports, and
# none comes to ports where another's server was stopped to be started again. Processes that start together have ids
# that follow one another: by the golden ratio of the range their places are far apart.
_steps = count(os.getpid() * 12_361)
_steps_lock = threading.Lock()


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on at `LOOPBACK`, never one that this process was given before (until all were).

    Raises `OSError` when the range has no such ports left.
    """
    found: list[int] = []
    for _ in range(_COUNT):
        if len(found) == number:
            return found
        with _steps_lock:
            port = _FIRST + next(_steps) % _COUNT
        if _is_free(port):
            found.append(port)
    raise OSError(f"no {number} free ports between {_FIRST} and {_FIRST + _COUNT - 1} on {LOOPBACK}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True

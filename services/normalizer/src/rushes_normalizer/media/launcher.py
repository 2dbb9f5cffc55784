"""Confines a child before it starts: runs as a program of its own, then becomes ffmpeg or ffprobe.

A program rather than a hook between fork and exec, because such a hook runs Python in a copy of a process with
threads, where a lock that another thread held stays held for ever. Starting it costs about 15 ms.

Arguments: the parent's process id, bytes of address space, bytes of the largest file, then the command.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent, memory, file_size = (int(argument) for argument in sys.argv[1:4])
    if sys.platform == "linux":
        # A worker that is killed leaves no ffmpeg behind. The parent may have died before the call took effect.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent is gone")
    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (bound, bound))
    # Python ignores this one; with the default, passing RLIMIT_FSIZE ends the child at once.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606 - a list of arguments, no shell


if __name__ == "__main__":
    main()

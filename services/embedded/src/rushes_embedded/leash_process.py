"""The process between us and a server: runs one command, and ends it when we are gone.

Run as a script, `python -I -S leash_process.py STOP_SIGNAL GRACE_SECONDS UID GID COMMAND...`, with little imported, so
that it starts in 10 ms. UID and GID are -1 to stay who we are. Its descriptors are its interface:

- 0, a pipe from the owner: its end, however the owner ended, means "stop the command";
- 1, a pipe to the owner: one line, the command's pid, or `!` and why it could not be started;
- 2, the log: the command's output and errors.

It leaves with the command's exit code (128 + n after signal n, as shells do).
"""

import os
import select
import signal
import sys
import time
from contextlib import suppress


def _spawn(command: list[str], uid: int, gid: int) -> int:
    """Start `command` as the leader of a new session; `OSError` with its reason when it cannot be executed."""
    failure_read, failure_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            if uid != -1:
                os.setgroups([])
                os.setgid(gid)
                os.setuid(uid)
            os.execvp(command[0], command)  # noqa: S606 - our caller's list of arguments
        except OSError as error:
            os.write(failure_write, str(error).encode())
        finally:
            os._exit(127)
    os.close(failure_write)
    with os.fdopen(failure_read, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(pid, 0)
        raise OSError(failure.decode())
    return pid


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # gone; macOS says "permission" of a group of zombies
        os.killpg(pid, number)


def _watch(pid: int, stop_signal: int, grace_seconds: float, wake: int, owner: int) -> int:
    """Wait for the command, or stop it when the owner is gone; gives its exit code (negative for a signal)."""
    kill_at: float | None = None
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            _signal_group(pid, signal.SIGKILL)  # what it started and left behind
            return os.waitstatus_to_exitcode(status)
        if kill_at is None:
            ready, _, _ = select.select([0, wake], [], [], 1.0)
            # A forked copy of the owner holds the pipe too, so its end alone is not enough to trust.
            if (0 in ready and not os.read(0, 1)) or os.getppid() != owner:
                kill_at = time.monotonic() + grace_seconds
                _signal_group(pid, stop_signal)
        else:
            patience = kill_at - time.monotonic()
            if patience <= 0:
                _signal_group(pid, signal.SIGKILL)
            ready, _, _ = select.select([wake], [], [], patience if patience > 0 else 1.0)
        if wake in ready:
            os.read(wake, 4096)


def main(arguments: list[str]) -> int:
    stop_signal, grace_seconds, uid, gid = int(arguments[0]), float(arguments[1]), int(arguments[2]), int(arguments[3])
    owner = os.getppid()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    # Only the owner's end ends us: a stray SIGTERM must not leave the command alone.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        pid = _spawn(arguments[4:], uid, gid)
    except OSError as error:
        os.write(1, f"!{error}\n".encode())
        return 127
    with suppress(BrokenPipeError):  # the owner is gone already, which `_watch` sees too
        os.write(1, f"{pid}\n".encode())
    os.close(1)
    code = _watch(pid, stop_signal, grace_seconds, wake_read, owner)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

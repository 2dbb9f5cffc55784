"""A server that can never outlive us, even if we are killed with SIGKILL."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LEASH_PROCESS = Path(__file__).with_name("leash_process.py")
_POLL_SECONDS = 0.02


class StartError(RuntimeError):
    """A server could not be started; the text says why, with the end of its log."""


@dataclass(frozen=True)
class Account:
    """The user that a server runs as. Only root can give one."""

    uid: int
    gid: int


class Leash:
    """One command, its output in `log`, stopped when we stop it or when we are gone.

    Between us and the command stands a small process (`leash_process`) that holds a pipe from us. The command leads a
    session of its own: Ctrl-C in a terminal does not reach it. Stopping it means `stop_signal` to its process group,
    then SIGKILL after `grace_seconds`.

    The command holds a lock on its log for as long as any process of it lives, so a command that writes to the same
    log starts only when the one before, perhaps of a killed owner, is gone.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 10.0,
    ) -> None:
        self._command = [str(part) for part in command]
        self._log = log
        self._cwd = cwd
        self._env = env
        self._account = account or Account(-1, -1)
        self._stop_signal = stop_signal
        self._grace_seconds = grace_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    @property
    def pid(self) -> int:
        """The command's own process id (also its process group's). Raises `StartError` before `start`."""
        if self._pid is None:
            raise StartError(f"{self._command[0]} was not started")
        return self._pid

    @property
    def log(self) -> Path:
        return self._log

    def start(self) -> None:
        """Start the command; returns once it runs. Raises `StartError` when it cannot be executed."""
        if self._process is not None:
            raise StartError(f"{self._command[0]} was started already")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            _lock_log(log.fileno(), self._log, timeout=self._grace_seconds + 5)
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(_LEASH_PROCESS),
                    str(int(self._stop_signal)),
                    str(self._grace_seconds),
                    str(self._account.uid),
                    str(self._account.gid),
                    *self._command,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._cwd,
                env=self._env,
                start_new_session=True,
            )
        assert process.stdout is not None
        with process.stdout as answers:
            answer = answers.readline().decode().strip()
        if not answer.isdecimal():
            _close_pipe(process)
            process.wait()
            raise StartError(f"cannot run {self._command[0]}: {answer.removeprefix('!') or log_tail(self._log)}")
        self._process, self._pid = process, int(answer)

    def poll(self) -> int | None:
        """None while the command runs, then its exit code (128 + n after signal n)."""
        return None if self._process is None else self._process.poll()

    def wait(self) -> int:
        """Wait for the command's own end; its exit code, as `poll` gives it."""
        process, self._process = self._process, None
        if process is None:
            raise StartError(f"{self._command[0]} was not started")
        code = process.wait()
        _close_pipe(process)
        return code

    def stop(self, timeout: float | None = None) -> int | None:
        """Stop the command and wait for its end; its exit code, or None if it was not running.

        `timeout`: seconds after which it is killed, if that is sooner than its grace time.
        """
        process, self._process = self._process, None
        if process is None:
            return None
        _close_pipe(process)
        patience = self._grace_seconds + 5
        try:
            code = process.wait(patience if timeout is None else min(timeout, patience))
        except subprocess.TimeoutExpired:
            self._kill_group()
            try:
                code = process.wait(5)
            except subprocess.TimeoutExpired:  # the leash itself hangs (stopped by a debugger, say)
                process.kill()
                code = process.wait()
        if code < 0:  # somebody killed the leash, so nobody watched the command
            self._kill_group()
        return code

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def log_tail(log: Path, *, lines: int = 15) -> str:
    """The last lines of a server's log, for an error message."""
    try:
        text = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text[-lines:]) or "(its log is empty)"


def wait_until_unused(log: Path, *, timeout: float) -> None:
    """Wait until no process of an earlier owner writes to `log`. Raises `StartError` after `timeout` seconds."""
    with suppress(FileNotFoundError), log.open("rb") as file:
        _lock_log(file.fileno(), log, timeout=timeout)


def _lock_log(descriptor: int, log: Path, *, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StartError(f"a server that was started earlier still runs and writes to {log}") from None
            time.sleep(_POLL_SECONDS)
        else:
            return


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()

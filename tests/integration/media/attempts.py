"""Tries what a child must not do, and prints what each try came to; runs inside of the sandbox and outside.

Arguments: a folder that is not the scratch folder, a port that listens, the parent's process id.
"""

import ctypes
import errno
import json
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

ELSEWHERE, PORT, PARENT = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
LIBC = ctypes.CDLL(None, use_errno=True)


def checked(answer: int) -> None:
    if answer < 0:
        raise OSError(ctypes.get_errno(), "")


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)
    os.wait()


def fork_again_and_again() -> None:
    for _ in range(50):
        fork()


def vfork_and_exec() -> None:
    os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}), 0)


def connect() -> None:
    # Without `socket`, whose refusal would hide that of `connect`: on a descriptor that is none.
    checked(LIBC.connect(1, bytes(16), 16))


def reach_a_server() -> None:
    socket.create_connection(("127.0.0.1", PORT)).close()


def make_a_thread() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def write(path: Path, flags: int) -> None:
    os.close(os.open(path, flags, 0o600))


ATTEMPTS: dict[str, Callable[[], object]] = {
    # What Landlock refuses.
    "read /etc/passwd": Path("/etc/passwd").read_bytes,
    "read a file elsewhere": (ELSEWHERE / "secret").read_bytes,
    "read it by a way round": Path(f"../{ELSEWHERE.name}/secret").read_bytes,
    "read the parent's memory": Path(f"/proc/{PARENT}/maps").read_bytes,
    "list a folder elsewhere": lambda: os.listdir(ELSEWHERE),
    "write a file elsewhere": lambda: write(ELSEWHERE / "secret", os.O_WRONLY),
    "make a file elsewhere": lambda: write(ELSEWHERE / "new", os.O_WRONLY | os.O_CREAT),
    "remove a file elsewhere": (ELSEWHERE / "victim").unlink,
    "write its input": lambda: write(ELSEWHERE / "input", os.O_WRONLY),
    "make a link in scratch": lambda: os.symlink("/etc/passwd", "link"),
    "signal the parent by its thread": lambda: checked(LIBC.tgkill(PARENT, PARENT, 0)),
    # What the filter of system calls refuses.
    "open a socket": lambda: socket.socket().close(),
    "open a Unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "reach a server": reach_a_server,
    "connect": connect,
    "fork": fork,
    "fork again and again": fork_again_and_again,
    "start a program": vfork_and_exec,
    "signal the parent": lambda: os.kill(PARENT, 0),
    "look at the parent's limits": lambda: resource.prlimit(PARENT, resource.RLIMIT_NOFILE),
    "be traced": lambda: checked(LIBC.ptrace(0, 0, 0, 0)),
    "make shared memory": lambda: checked(LIBC.shmget(0, 4096, 0o600)),
    "change a mode elsewhere": lambda: (ELSEWHERE / "secret").chmod(0o600),
    "cut a file elsewhere": lambda: os.truncate(ELSEWHERE / "victim", 0),
    "change a time elsewhere": lambda: os.utime(ELSEWHERE / "secret"),
    "mount": lambda: checked(LIBC.mount(None, None, None, 0, None)),
    "leave a namespace": lambda: checked(LIBC.unshare(0)),
    # What a decoder needs.
    "read its input": (ELSEWHERE / "input").read_bytes,
    "write in scratch": lambda: Path("output").write_bytes(b"made"),
    "read back": lambda: Path("output").read_bytes(),
    "remove what it made": lambda: Path("output").unlink(),
    "make a thread": make_a_thread,
    "write to /dev/null": lambda: Path("/dev/null").write_bytes(b"0"),
    "read its own limits": lambda: resource.prlimit(0, resource.RLIMIT_NOFILE),
}


def main() -> None:
    came_to = {}
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
            came_to[name] = "done"
        except OSError as error:
            came_to[name] = errno.errorcode.get(error.errno or 0, str(error))
    sys.stdout.write(json.dumps(came_to) + "\n")


if __name__ == "__main__":
    main()

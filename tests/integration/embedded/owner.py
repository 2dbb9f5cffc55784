"""Python programs that own servers, as processes of their own, so that a test can kill them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def running_owner(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `program`, alone in its process group; its first lines come through `stdout`."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as owner:
        try:
            yield owner
        finally:
            owner.kill()


def answer(owner: subprocess.Popen[str]) -> str:
    """The next line that `owner` prints."""
    assert owner.stdout is not None
    return owner.stdout.readline().strip()

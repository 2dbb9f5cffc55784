"""What a child of the media engine cannot do, tried by a program that has taken it over."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rushes_normalizer.media.blame import blame
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.process import ChildError
from rushes_normalizer.media.sandbox import launcher
from rushes_normalizer.media.sandbox.confinement import confined, policy_for
from rushes_normalizer.media.sandbox.landlock import kernel_abi
from rushes_normalizer.media.sandbox.mechanisms import mechanisms
from rushes_normalizer.media.sandbox.policy import Bounds
from rushes_schemas.failures import FailureCode

from tests.confined import needs_landlock, needs_seccomp, run_python

ATTEMPTS = Path(__file__).with_name("attempts.py")
REFUSED_BY_LANDLOCK = (
    "read /etc/passwd",
    "read a file elsewhere",
    "read it by a way round",
    "read the parent's memory",
    "list a folder elsewhere",
    "write a file elsewhere",
    "make a file elsewhere",
    "remove a file elsewhere",
    "write its input",
    "make a link in scratch",
)
REFUSED_BY_SECCOMP = (
    "open a socket",
    "open a Unix socket",
    "reach a server",
    "connect",
    "fork",
    "fork again and again",
    "start a program",
    "signal the parent",
    "look at the parent's limits",
    "be traced",
    "make shared memory",
    "change a mode elsewhere",
    "cut a file elsewhere",
    "change a time elsewhere",
    "mount",
    "leave a namespace",
)
LEFT = (
    "read its input",
    "write in scratch",
    "read back",
    "remove what it made",
    "make a thread",
    "write to /dev/null",
    "read its own limits",
)
MEBIBYTE = 1024**2


def folders(root: Path) -> tuple[Path, Path]:
    elsewhere, scratch = root / "elsewhere", root / "scratch"
    for folder in (elsewhere, scratch):
        folder.mkdir()
    for name in ("secret", "victim", "input"):
        (elsewhere / name).write_text(name)
    return elsewhere, scratch


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory, listener: socket.socket) -> dict[str, str]:
    """What each attempt comes to in the sandbox."""
    elsewhere, scratch = folders(tmp_path_factory.mktemp("inside"))
    lines: list[str] = []
    port = listener.getsockname()[1]
    code = f"import sys; sys.argv[1:] = {[str(elsewhere), str(port), str(os.getpid())]!r}\n{ATTEMPTS.read_text()}"
    asyncio.run(run_python(code, scratch, reads=[elsewhere / "input"], lines=lines))
    (answer,) = lines
    told: dict[str, str] = json.loads(answer)
    return told


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each attempt comes to without the sandbox."""
    elsewhere, scratch = folders(tmp_path_factory.mktemp("outside"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run(
            [sys.executable, ATTEMPTS, elsewhere, str(port), str(os.getpid())],
            cwd=scratch,
            capture_output=True,
            check=True,
        )
    told: dict[str, str] = json.loads(done.stdout)
    return told


@needs_landlock
@pytest.mark.parametrize("attempt", REFUSED_BY_LANDLOCK)
def test_no_file_is_in_reach_but_the_input_and_scratch(
    attempt: str, inside: dict[str, str], outside: dict[str, str]
) -> None:
    assert inside[attempt] == "EACCES"
    assert outside[attempt] == "done"


@needs_seccomp
@pytest.mark.parametrize("attempt", REFUSED_BY_SECCOMP)
def test_no_network_no_process_and_nothing_of_others_is_in_reach(
    attempt: str, inside: dict[str, str], outside: dict[str, str]
) -> None:
    assert inside[attempt] == "EPERM"
    if attempt != "mount" or os.geteuid() == 0:  # the kernel itself refuses it to all but root
        assert outside[attempt] != "EPERM"


@pytest.mark.skipif(kernel_abi() < 6, reason="Landlock confines signals from its ABI 6 on")
def test_no_signal_leaves_the_sandbox(inside: dict[str, str], outside: dict[str, str]) -> None:
    assert inside["signal the parent by its thread"] == "EPERM"
    assert outside["signal the parent by its thread"] == "done"


@pytest.mark.parametrize("attempt", LEFT)
def test_a_decoder_can_work(attempt: str, inside: dict[str, str]) -> None:
    assert inside[attempt] == "done"


@needs_seccomp
def test_nothing_connects(inside: dict[str, str], listener: socket.socket) -> None:
    assert inside["reach a server"] == "EPERM"
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_every_attempt_is_looked_at(outside: dict[str, str]) -> None:
    named = {*REFUSED_BY_LANDLOCK, *REFUSED_BY_SECCOMP, *LEFT, "signal the parent by its thread"}
    assert set(outside) == named


@needs_seccomp
async def test_a_child_that_becomes_another_program_is_killed(tmp_path: Path) -> None:
    with pytest.raises(ChildError) as caught:
        await run_python(f"import os; os.execv({sys.executable!r}, ['python', '-c', ''])", tmp_path)
    error = blame(caught.value, "the encode")
    assert error.code is FailureCode.CORRUPT
    assert "SIGSYS" in error.message


async def test_a_child_has_no_capability_and_gains_none(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "print(*(line for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNewPrivs'))), sep='')"
    await run_python(code, tmp_path, reads=[Path("/proc")], lines=lines)
    status = dict(line.split(":\t") for line in lines if line)
    assert status["NoNewPrivs"] == "1"
    assert (int(status["CapPrm"], 16), int(status["CapEff"], 16)) == (0, 0)


async def test_the_environment_is_empty_but_for_what_ffmpeg_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE__SECRET_ACCESS_KEY", "secret")
    lines: list[str] = []
    await run_python("import os; print(*os.environ)", tmp_path, lines=lines)
    assert set(lines[0].split()) == {"LC_ALL", "AV_LOG_FORCE_NOCOLOR", "MALLOC_ARENA_MAX"}


async def refusal(code: str, scratch: Path, limits: Limits) -> tuple[FailureCode, str]:
    with pytest.raises(ChildError) as caught:
        await run_python(code, scratch, limits=limits)
    error = blame(caught.value, "the encode")
    return error.code, error.message


async def test_a_full_disk_is_not_in_reach(tmp_path: Path) -> None:
    endless = "file = open('endless', 'wb', buffering=0)\nwhile True: file.write(bytes(65536))"
    code, message = await refusal(endless, tmp_path, Limits(max_output_bytes=MEBIBYTE))
    assert code is FailureCode.LIMITS_EXCEEDED
    assert "a file larger than the limit of 1048576 bytes" in message
    assert (tmp_path / "endless").stat().st_size <= MEBIBYTE


async def test_memory_ends_at_the_limit(tmp_path: Path) -> None:
    lines: list[str] = []
    greedy = f"""
try:
    bytearray({512 * MEBIBYTE})
except MemoryError:
    print('no memory')
"""
    await run_python(greedy, tmp_path, limits=Limits(max_memory_bytes=512 * MEBIBYTE), lines=lines)
    assert lines == ["no memory"]
    lines.clear()
    await run_python(greedy, tmp_path, lines=lines)
    assert lines == []


async def test_a_child_that_spins_for_ever_is_ended(tmp_path: Path) -> None:
    code, message = await refusal("while True: pass", tmp_path, Limits(max_cpu_seconds=1))
    assert code is FailureCode.LIMITS_EXCEEDED
    assert "more processor time than the limit of 1 s" in message


@needs_seccomp
@pytest.mark.parametrize("signal", ["SIGXCPU", "SIGXFSZ"])
async def test_a_child_cannot_make_itself_deaf_to_a_limit(tmp_path: Path, signal: str) -> None:
    with pytest.raises(ChildError) as caught:
        await run_python(f"import signal; signal.signal(signal.{signal}, signal.SIG_IGN)", tmp_path)
    assert any("PermissionError" in line for line in caught.value.log.last)


async def test_a_child_that_waits_for_ever_is_ended(tmp_path: Path) -> None:
    forever = "import threading; threading.Event().wait()"
    code, message = await refusal(forever, tmp_path, Limits(timeout_floor_seconds=0.5))
    assert (code, "took longer than its limit of 0.5 s" in message) == (FailureCode.TIMEOUT, True)


async def test_open_files_end_at_the_limit(tmp_path: Path) -> None:
    lines: list[str] = []
    greedy = """
import os
opened = 0
try:
    while True:
        os.dup(0)
        opened += 1
except OSError as error:
    print(error.errno, opened < 256)
"""
    await run_python(greedy, tmp_path, lines=lines)
    assert lines == [f"{errno.EMFILE} True"]


def test_a_program_that_cannot_start_blames_no_movie(tmp_path: Path) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text("no program at all")
    policy = policy_for(script, [], tmp_path)
    with confined([str(script)], policy, Bounds(2**33, 2**20, 10), mechanisms()) as launch:
        done = subprocess.run(launch.command, pass_fds=launch.descriptors, capture_output=True, check=False)
    assert done.returncode == launcher.FAILED
    assert done.stderr.startswith(b"[launcher] [fatal]")

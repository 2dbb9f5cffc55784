"""What a worker does about a kernel that cannot confine its children, and about programs that cannot be confined."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.sandbox import launcher
from rushes_normalizer.media.sandbox.confinement import Mechanisms, confined, policy_for
from rushes_normalizer.media.sandbox.landlock import kernel_abi
from rushes_normalizer.media.sandbox.mechanisms import mechanisms
from rushes_normalizer.media.sandbox.policy import Bounds
from rushes_normalizer.media.tools import ToolsError
from rushes_normalizer.sandbox_check import check_sandbox

from tests.confined import needs_landlock, needs_seccomp
from tests.movies import tools
from tests.world import PATIENCE

LACKING = Path(__file__).with_name("lacking.py")
NOBODY = 65534
TELL = "from rushes_normalizer.media.sandbox.mechanisms import mechanisms; print(mechanisms())"
RUN = "from rushes_normalizer.cli import main; main()"
# Its servers are not there: a worker that starts would wait for them.
SETTINGS = {
    "DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/nothing",
    "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "STORE__KIND": "local",
    "LOG_FORMAT": "json",
    "OPERATIONS_PORT": "0",
}


@contextmanager
def on_a_kernel_without(mechanism: str, *arguments: str | Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Our Python on such a kernel, its stderr in its stdout; killed if it still runs at the end."""
    with subprocess.Popen(
        [sys.executable, LACKING, mechanism, sys.executable, *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@needs_landlock
@needs_seccomp
@pytest.mark.parametrize(
    ("mechanism", "left"),
    [
        ("landlock", Mechanisms(landlock_abi=0, seccomp=True)),
        ("seccomp", Mechanisms(kernel_abi(), seccomp=False)),
    ],
)
def test_a_mechanism_that_the_kernel_refuses_is_found_lacking(mechanism: str, left: Mechanisms) -> None:
    with on_a_kernel_without(mechanism, "-c", TELL) as asking:
        said, _ = asking.communicate(timeout=PATIENCE)
    assert said.strip() == str(left)


@needs_seccomp
@pytest.mark.parametrize("roles", ["worker", "intake,worker"])
def test_a_worker_that_requires_the_sandbox_does_not_start_without(tmp_path: Path, roles: str) -> None:
    service = ("-c", RUN, "run", "--roles", roles)
    settings = {**SETTINGS, "REQUIRE_SANDBOX": "true", "STORE__ROOT": str(tmp_path), "SCRATCH": str(tmp_path)}
    with on_a_kernel_without("landlock", *service, **settings) as running:
        said, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 2
    assert said.splitlines()[-1].startswith("REQUIRE_SANDBOX is true, but this machine lacks Landlock: ffmpeg would")


@needs_seccomp
@pytest.mark.parametrize(
    ("roles", "required", "word"),
    [("worker", "false", "sandbox_incomplete"), ("intake", "true", "operations_served")],
)
def test_without_it_a_worker_warns_and_other_roles_do_not_mind(
    tmp_path: Path, roles: str, required: str, word: str
) -> None:
    service = ("-c", RUN, "run", "--roles", roles)
    settings = {**SETTINGS, "REQUIRE_SANDBOX": required, "STORE__ROOT": str(tmp_path), "SCRATCH": str(tmp_path)}
    with on_a_kernel_without("landlock", *service, **settings) as running:
        assert running.stdout is not None
        line = next((line for line in running.stdout if word in line), None)
    assert line is not None
    if roles == "worker":
        assert '"lacking": ["Landlock"]' in line
        assert '"level": "warning"' in line


async def test_programs_that_start_in_the_sandbox_are_accepted() -> None:
    await check_sandbox(tools(), Limits(), required=False)


@needs_landlock
async def test_a_program_that_cannot_start_in_the_sandbox_is_refused_by_name(tmp_path: Path) -> None:
    wrapper = tmp_path / "ffmpeg"
    wrapper.write_text(f'#!/bin/sh\nexec {tools().ffmpeg} "$@"\n')
    wrapper.chmod(0o755)
    with pytest.raises(ToolsError, match=f"{wrapper} cannot be started in the sandbox; .*Permission denied"):
        await check_sandbox(replace(tools(), ffmpeg=wrapper), Limits(), required=False)


@needs_landlock
@needs_seccomp
@pytest.mark.skipif(os.geteuid() != 0, reason="this run is without root already")
def test_it_confines_without_root_too() -> None:
    python = Path("/usr/bin/python3").resolve()
    if not python.exists():
        pytest.skip("no Python here that somebody without root can run")
    folder = Path("/var/tmp") / f"rushes-sandbox-{os.getpid()}"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    shutil.copy(launcher.__file__, folder / "launcher.py")
    try_all = """
import os
def attempt(what, *arguments):
    try: what(*arguments)
    except PermissionError as error: return error.errno
print(os.getuid(), attempt(open, "/etc/passwd"), attempt(os.fork), attempt(open, "made", "w"))
"""
    libraries = [Path("/usr/lib"), Path("/usr/local/lib")]
    command = [str(python), "-I", "-S", "-c", try_all]
    policy = policy_for(python, libraries, folder)
    try:
        with confined(command, policy, Bounds(2**33, 2**20, 60), mechanisms()) as launch:
            _our_python, *isolated, _launcher = launch.command[:4]
            done = subprocess.run(
                [python, *isolated, folder / "launcher.py", *launch.command[4:]],
                pass_fds=launch.descriptors,
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
    finally:
        shutil.rmtree(folder)
    assert done.stderr == ""
    assert done.stdout.split() == [str(NOBODY), "13", "1", "None"]

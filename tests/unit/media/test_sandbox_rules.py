"""A policy in Landlock's terms, and what is said of a machine that cannot enforce it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from rushes_normalizer.media.sandbox.confinement import Mechanisms, policy_for
from rushes_normalizer.media.sandbox.landlock import (
    EXECUTE,
    MAKE_REG,
    READ_DIR,
    READ_FILE,
    REMOVE_FILE,
    TRUNCATE,
    WRITE_FILE,
    handled,
    rules,
)
from rushes_normalizer.media.sandbox.policy import Policy
from rushes_normalizer.media.sandbox.programs import needs
from rushes_normalizer.sandbox_check import SandboxError, publish, refuse_without

POLICY = Policy(programs=(Path("/bin/ffmpeg"),), reads=(Path("/in/source"),), writes=(Path("/scratch"),))


def test_each_path_has_the_rights_of_its_use_and_no_others() -> None:
    given = dict(rules(POLICY))
    assert given[Path("/bin/ffmpeg")] == READ_FILE | EXECUTE
    assert given[Path("/in/source")] == READ_FILE | READ_DIR
    assert given[Path("/scratch")] == READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE
    assert set(given) - {Path("/dev/null"), Path("/dev/urandom")} == {*POLICY.programs, *POLICY.reads, *POLICY.writes}


@pytest.mark.parametrize(
    ("abi", "files", "network", "scopes"),
    [(1, 13, 0, 0), (2, 14, 0, 0), (3, 15, 0, 0), (4, 15, 3, 0), (5, 16, 3, 0), (6, 16, 3, 3), (99, 16, 3, 3)],
)
def test_everything_that_an_abi_can_refuse_is_refused(abi: int, files: int, network: int, scopes: int) -> None:
    assert handled(abi) == (2**files - 1, network, scopes)


def test_a_program_may_reach_its_loader_and_libraries() -> None:
    policy = policy_for(Path(sys.executable), [], Path("/scratch"))
    wanted = needs(Path(sys.executable))
    assert wanted.loader is not None
    assert policy.programs == (Path(sys.executable), wanted.loader)
    assert any(list(folder.glob("libc.so*")) for folder in policy.reads if folder.is_dir())


def test_a_script_needs_no_loader(tmp_path: Path) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\n" + "exec ffmpeg\n" * 10)
    assert needs(script).loader is None


@pytest.mark.parametrize(
    ("there", "lacking"),
    [
        (Mechanisms(0, seccomp=True), "lacks Landlock:"),
        (Mechanisms(4, seccomp=False), "lacks seccomp:"),
        (Mechanisms(0, seccomp=False), "lacks Landlock and seccomp:"),
    ],
)
def test_a_required_sandbox_is_refused_by_the_name_of_what_is_lacking(there: Mechanisms, lacking: str) -> None:
    refuse_without(there, required=False)
    with pytest.raises(SandboxError, match=lacking):
        refuse_without(there, required=True)


def test_a_whole_sandbox_is_never_refused() -> None:
    refuse_without(Mechanisms(1, seccomp=True), required=True)


def test_the_metric_tells_each_mechanism_apart() -> None:
    publish(Mechanisms(0, seccomp=True))
    told = {
        name: REGISTRY.get_sample_value("rushes_sandbox_enforced", {"mechanism": name})
        for name in ("landlock", "seccomp")
    }
    assert told == {"landlock": 0.0, "seccomp": 1.0}

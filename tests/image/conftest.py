"""The image under test: the archive that `make test-image` has just built."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.image.archive import Archive
from tests.image.container import Container

_IMAGE: Final = Path(__file__).parents[2] / "dist" / "rushes.tar"


@pytest.fixture(scope="session")
def archive() -> Archive:
    """The image as a file."""
    return Archive.read(_IMAGE)


@pytest.fixture(scope="session")
def container(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Container:
    """The image unpacked, to run commands in."""
    bundle = tmp_path_factory.mktemp("bundle")
    archive.unpack(bundle / "rootfs")
    return Container(bundle, tuple(archive.config["config"]["Env"]))


@pytest.fixture(scope="session")
def root(container: Container) -> Path:
    """The image's files."""
    return container.bundle / "rootfs"

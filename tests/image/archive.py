"""Reads an image as `docker save` writes it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: its file in the archive.
        digest: SHA-256 of that file.
        size: bytes of its files, as `docker image ls` counts them.
    """

    name: str
    digest: str
    size: int


@dataclass(frozen=True)
class Archive:
    """One image.

    Attributes:
        path: the docker-archive.
        config: the image's configuration: user, environment, labels, history.
        layers: the first one first.
    """

    path: Path
    config: dict[str, Any]
    layers: tuple[Layer, ...]

    @classmethod
    def read(cls, path: Path) -> Archive:
        """Read what the archive says of itself."""
        with tarfile.open(path) as archive:
            (manifest,) = json.loads(_bytes(archive, "manifest.json"))
            config = json.loads(_bytes(archive, manifest["Config"]))
            layers = [_layer(name, _bytes(archive, name)) for name in manifest["Layers"]]
        return cls(path, config, tuple(layers))

    def unpack(self, folder: Path) -> None:
        """Lay the layers over one another, with their owners and modes; none of ours deletes files of another."""
        with tarfile.open(self.path) as archive:
            for each in self.layers:
                with tarfile.open(fileobj=archive.extractfile(each.name)) as layer:
                    layer.extractall(folder, numeric_owner=True, filter="fully_trusted")


def _layer(name: str, content: bytes) -> Layer:
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        size = sum(file.size for file in files)
    return Layer(name, hashlib.sha256(content).hexdigest(), size)


def _bytes(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file, name
    return file.read()

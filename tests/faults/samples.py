"""What artists upload: a few tiny movies and pictures, good ones and broken ones, each with its truth."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.movies import movie

_MOVIES = 6
# The last is so large that it goes to S3 in parts.
_PICTURES = ((36, 64), (36, 64), (36, 64), (1300, 1400))
# What a broken sample may be called; none of these is true of a good one.
BROKEN_CODES = frozenset({"not_a_movie", "corrupt", "unsupported_codec", "source_empty"})


@dataclass(frozen=True)
class Sample:
    """A file and the truth about it; `frames` is None if nothing can be made of it."""

    name: str
    extension: str
    path: Path
    sha256: str
    frames: int | None


def make_samples(folder: Path) -> dict[str, Sample]:
    """All samples by name: `movie-0` …, `picture-0` …, `broken-0` …."""
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, tuple[Path, int | None]] = {}
    for number in range(_MOVIES):
        frames = 12 + number
        path = movie(folder / f"movie-{number}.mp4", frames=frames, width=64, height=36)
        made[f"movie-{number}"] = path, frames
    for number, size in enumerate(_PICTURES):
        path = folder / f"picture-{number}.png"
        noise = np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(noise).save(path)
        made[f"picture-{number}"] = path, 1
    whole = made["movie-0"][0].read_bytes()
    for number, content in enumerate((whole[: len(whole) // 2], b"this is a letter, no movie\n" * 40)):
        path = folder / f"broken-{number}.mp4"
        path.write_bytes(content)
        made[f"broken-{number}"] = path, None
    return {
        name: Sample(name, path.suffix[1:], path, hashlib.sha256(path.read_bytes()).hexdigest(), frames)
        for name, (path, frames) in made.items()
    }

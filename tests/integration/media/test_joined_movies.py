"""Movies joined one behind the other: every frame of each, in their order, with its sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rushes_normalizer.media.joining import Part, are_alike, join, look_at_part
from rushes_normalizer.media.limits import Limits

from tests.movies import ffmpeg, movie, numbers, tools

_RATE = 8000
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-c:a", "aac")


async def _parts(folder: Path, *movies: Path) -> list[Part]:
    return [await look_at_part(tools(), each, folder, Limits()) for each in movies]


def _picture(path: Path) -> list[str]:
    """A hash of each coded frame, in the order of the file."""
    bare = ffmpeg("-i", path, "-map", "0:v:0", "-c", "copy", "-f", "framehash", "-hash", "md5", "-").decode()
    return [line.rpartition(",")[2].strip() for line in bare.splitlines() if not line.startswith("#")]


async def test_movies_that_are_coded_alike_are_joined_without_a_frame_coded_anew(tmp_path: Path) -> None:
    first = movie(tmp_path / "first.mp4", *X264, frames=30, sound=SOUND)
    second = movie(tmp_path / "second.mp4", *X264, frames=47, sound=SOUND)
    parts = await _parts(tmp_path, first, second, first)
    assert are_alike(parts)
    alive: list[None] = []
    joined = await join(tools(), parts, tmp_path, "joined.mp4", Limits(), alive=lambda: alive.append(None))
    assert numbers(joined) == [*range(30), *range(47), *range(30)]
    assert _picture(joined) == [*_picture(first), *_picture(second), *_picture(first)]
    assert alive
    (whole,) = await _parts(tmp_path, joined)
    assert (whole.frame_count, whole.rate, whole.constant) == (107, Fraction(25), True)


async def test_sound_stays_with_the_picture_over_many_seams(tmp_path: Path) -> None:
    # A beep in the first 0.2 s of each of 20 movies that last no whole number of AAC frames.
    beep = ("-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000,volume='lt(t,0.2)*8':eval=frame")
    part = movie(tmp_path / "part.mp4", *X264, frames=17, sound=beep)
    parts = await _parts(tmp_path, part)
    joined = await join(tools(), parts * 20, tmp_path, "joined.mp4", Limits(), alive=lambda: None)
    raw = ffmpeg("-i", joined, "-map", "0:a:0", "-ac", "1", "-ar", str(_RATE), "-f", "s16le", "-")
    loud = np.flatnonzero(np.abs(np.frombuffer(raw, np.int16).astype(int)) > 2000)
    begins = loud[np.flatnonzero(np.diff(loud, prepend=-_RATE) > 0.2 * _RATE)] / _RATE
    assert len(begins) == 20
    late = [float(begin) - number * 17 / 25 for number, begin in enumerate(begins)]
    assert max(abs(each) for each in late) < 0.03, late  # less than a frame


@pytest.mark.parametrize(
    "other",
    [
        ("-c:v", "libx264", "-preset", "slow", "-bf", "2", "-c:a", "aac"),
        ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-c:a", "aac", "-ar", "44100"),
        ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-an"),
        ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-s", "160x90", "-c:a", "aac"),
    ],
    ids=["parameter sets", "sample rate", "no sound", "size"],
)
async def test_what_is_coded_otherwise_is_told_apart(tmp_path: Path, other: tuple[str, ...]) -> None:
    first = movie(tmp_path / "first.mp4", *X264, frames=5, sound=SOUND)
    second = movie(tmp_path / "second.mp4", *other, frames=5, sound=SOUND)
    assert not are_alike(await _parts(tmp_path, first, second))

"""Output frame n shows source frame n: sources whose every frame carries its number as black and white blocks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.make import Made, make_movie
from rushes_normalizer.media.tools import find_tools
from rushes_schemas import Encoding, FailureCode, ObjectKind

WIDTH, HEIGHT, BITS = 320, 180, 8
BLOCK = WIDTH // BITS
BIT = f"mod(floor(N/pow(2,floor(X/{BLOCK}))),2)"
NUMBERED = f"geq=lum='16+219*{BIT}':cb=128:cr=128"


def _ffmpeg(*arguments: str | Path) -> bytes:
    done = subprocess.run([find_tools().ffmpeg, "-v", "error", "-y", *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _source(path: Path, rate: str, frames: int, *codec: str) -> Path:
    picture = f"color=black:size={WIDTH}x{HEIGHT}:rate={rate},format=yuv420p,{NUMBERED},trim=end_frame={frames}"
    _ffmpeg("-f", "lavfi", "-i", picture, *codec, path)
    return path


def _numbers(movie: Path, *before: str) -> list[int]:
    """The number that each frame of a movie shows."""
    raw = _ffmpeg(*before, "-i", movie, "-vf", f"scale={WIDTH}:{HEIGHT}", "-pix_fmt", "gray", "-f", "rawvideo", "-")
    frames = np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH)
    blocks = frames[:, HEIGHT // 2, BLOCK // 2 :: BLOCK] > 127
    return [int(sum(1 << bit for bit in range(BITS) if frame[bit])) for frame in blocks]


async def _make(source: Path, scratch: Path, encoding: Encoding | None = None) -> Made:
    scratch.mkdir()
    return await make_movie(
        find_tools(),
        source,
        scratch,
        encoding=encoding or Encoding(),
        defaults=EncodingDefaults(height=HEIGHT),
        limits=Limits(),
        progress=lambda _stage, _fraction: None,
    )


def _of(made: Made, kind: ObjectKind) -> Path:
    (path,) = [output.path for output in made.outputs if output.kind is kind]
    return path


@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "30000/1001", "50", "60"])
async def test_a_silent_movie_with_b_frames_keeps_every_frame_in_its_place(tmp_path: Path, rate: str) -> None:
    codec = ("-c:v", "libx264", "-bf", "3", "-g", "50", "-crf", "10")
    made = await _make(_source(tmp_path / "silent.mp4", rate, 120, *codec), tmp_path / "scratch")
    for kind in (ObjectKind.HIGH_DEFINITION, ObjectKind.LOW_DEFINITION):
        assert _numbers(_of(made, kind)) == list(range(120))
    assert (made.facts.frame_count, made.facts.frames_duplicated, made.facts.frames_dropped) == (120, 0, 0)
    assert made.facts.fps == (rate if "/" in rate else f"{rate}/1")


async def test_a_video_that_starts_late_begins_with_its_first_frame_once(tmp_path: Path) -> None:
    early = _source(tmp_path / "early.mp4", "25", 50, "-c:v", "libx264", "-crf", "10")
    late = tmp_path / "late.mp4"
    shifted = ("-itsoffset", "0.5", "-i", str(early), "-f", "lavfi", "-i", "sine=duration=2.5")
    _ffmpeg(*shifted, "-c:v", "copy", "-c:a", "aac", "-map", "0:v", "-map", "1:a", late)
    made = await _make(late, tmp_path / "scratch")
    assert _numbers(_of(made, ObjectKind.LOW_DEFINITION)) == list(range(50))


async def test_a_conversion_of_the_rate_says_what_it_doubled(tmp_path: Path) -> None:
    source = _source(tmp_path / "film.mp4", "24", 48, "-c:v", "libx264", "-crf", "10")
    made = await _make(source, tmp_path / "scratch", Encoding(fps="30"))
    shown = _numbers(_of(made, ObjectKind.LOW_DEFINITION))
    assert len(shown) == made.facts.frame_count == 60
    assert shown == sorted(shown)
    assert (made.facts.source_fps, made.facts.frames_duplicated) == ("24/1", 60 - len(set(shown)))


async def test_the_contact_sheet_shows_frame_n_in_cell_n(tmp_path: Path) -> None:
    source = _source(tmp_path / "tiled.mp4", "25", 20, "-c:v", "libx264", "-bf", "3", "-crf", "10")
    made = await _make(source, tmp_path / "scratch")
    tile = _of(made, ObjectKind.TILE)
    raw = _ffmpeg("-i", tile, "-pix_fmt", "gray", "-f", "rawvideo", "-")
    cell = -(-100 * WIDTH // HEIGHT)
    sheet = np.frombuffer(raw, np.uint8).reshape(300, 8 * cell)
    for number in range(20):
        top, left = number // 8 * 100, number % 8 * cell
        row = sheet[top + 50, left : left + cell]
        bits = [int(row[int((bit + 0.5) * cell / BITS)] > 127) for bit in range(BITS)]
        assert sum(value << bit for bit, value in enumerate(bits)) == number


async def test_alpha_lies_over_black(tmp_path: Path) -> None:
    source = tmp_path / "alpha.mov"
    _ffmpeg(
        "-f", "lavfi", "-i", "color=white@0.0:size=320x180:rate=25:duration=0.4,format=argb", "-c:v", "qtrle", source
    )
    made = await _make(source, tmp_path / "scratch")
    raw = _ffmpeg("-i", _of(made, ObjectKind.HIGH_DEFINITION), "-pix_fmt", "gray", "-f", "rawvideo", "-")
    assert np.frombuffer(raw, np.uint8).max() < 24


async def test_a_truncated_movie_is_corrupt_not_short(tmp_path: Path) -> None:
    whole = _source(tmp_path / "whole.mp4", "25", 100, "-c:v", "libx264", "-movflags", "+faststart").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(MediaError) as refused:
        await _make(cut, tmp_path / "scratch")
    assert refused.value.code is FailureCode.CORRUPT


@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile /etc/passwd\n"],
    ids=["hls", "concat"],
)
async def test_a_playlist_named_mp4_is_no_movie(tmp_path: Path, text: str) -> None:
    source = tmp_path / "list.mp4"
    source.write_text(text)
    with pytest.raises(MediaError) as refused:
        await _make(source, tmp_path / "scratch")
    assert refused.value.code is FailureCode.NOT_A_MOVIE

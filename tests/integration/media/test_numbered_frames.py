"""Output frame n shows source frame n: sources whose every frame carries its number as black and white blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.errors import MediaError
from rushes_schemas import Encoding, FailureCode, ObjectKind

from tests.movies import BITS, ffmpeg, make, movie, numbers, of

WIDTH, HEIGHT = 320, 180
DEFAULTS = EncodingDefaults(height=HEIGHT)


@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "30000/1001", "50", "60"])
async def test_a_silent_movie_with_b_frames_keeps_every_frame_in_its_place(tmp_path: Path, rate: str) -> None:
    codec = ("-c:v", "libx264", "-bf", "3", "-g", "50", "-crf", "10")
    made = await make(movie(tmp_path / "silent.mp4", *codec, frames=120, rate=rate), defaults=DEFAULTS)
    for kind in (ObjectKind.HIGH_DEFINITION, ObjectKind.LOW_DEFINITION):
        assert numbers(of(made, kind)) == list(range(120))
    assert (made.facts.frame_count, made.facts.frames_duplicated, made.facts.frames_dropped) == (120, 0, 0)
    assert made.facts.fps == (rate if "/" in rate else f"{rate}/1")


async def test_a_video_that_starts_late_begins_with_its_first_frame_once(tmp_path: Path) -> None:
    early = movie(tmp_path / "early.mp4", "-c:v", "libx264", "-crf", "10", frames=50, rate="25")
    late = tmp_path / "late.mp4"
    shifted = ("-itsoffset", "0.5", "-i", str(early), "-f", "lavfi", "-i", "sine=duration=2.5")
    ffmpeg(*shifted, "-c:v", "copy", "-c:a", "aac", "-map", "0:v", "-map", "1:a", late)
    made = await make(late, defaults=DEFAULTS)
    assert numbers(of(made, ObjectKind.LOW_DEFINITION)) == list(range(50))


async def test_a_conversion_of_the_rate_says_what_it_doubled(tmp_path: Path) -> None:
    source = movie(tmp_path / "film.mp4", "-c:v", "libx264", "-crf", "10", frames=48, rate="24")
    made = await make(source, encoding=Encoding(fps="30"), defaults=DEFAULTS)
    shown = numbers(of(made, ObjectKind.LOW_DEFINITION))
    assert len(shown) == made.facts.frame_count == 60
    assert shown == sorted(shown)
    assert (made.facts.source_fps, made.facts.frames_duplicated) == ("24/1", 60 - len(set(shown)))


async def test_the_contact_sheet_shows_frame_n_in_cell_n(tmp_path: Path) -> None:
    source = movie(tmp_path / "tiled.mp4", "-c:v", "libx264", "-bf", "3", "-crf", "10", frames=20, rate="25")
    made = await make(source, defaults=DEFAULTS)
    tile = of(made, ObjectKind.TILE)
    raw = ffmpeg("-i", tile, "-pix_fmt", "gray", "-f", "rawvideo", "-")
    cell = -(-100 * WIDTH // HEIGHT)
    sheet = np.frombuffer(raw, np.uint8).reshape(300, 8 * cell)
    for number in range(20):
        top, left = number // 8 * 100, number % 8 * cell
        row = sheet[top + 50, left : left + cell]
        bits = [int(row[int((bit + 0.5) * cell / BITS)] > 127) for bit in range(BITS)]
        assert sum(value << bit for bit, value in enumerate(bits)) == number


async def test_alpha_lies_over_black(tmp_path: Path) -> None:
    source = tmp_path / "alpha.mov"
    ffmpeg(
        "-f", "lavfi", "-i", "color=white@0.0:size=320x180:rate=25:duration=0.4,format=argb", "-c:v", "qtrle", source
    )
    made = await make(source, defaults=DEFAULTS)
    raw = ffmpeg("-i", of(made, ObjectKind.HIGH_DEFINITION), "-pix_fmt", "gray", "-f", "rawvideo", "-")
    assert np.frombuffer(raw, np.uint8).max() < 24


async def test_a_truncated_movie_is_corrupt_not_short(tmp_path: Path) -> None:
    whole = movie(
        tmp_path / "whole.mp4", "-c:v", "libx264", "-movflags", "+faststart", frames=100, rate="25"
    ).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(MediaError) as refused:
        await make(cut, defaults=DEFAULTS)
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
        await make(source, defaults=DEFAULTS)
    assert refused.value.code is FailureCode.NOT_A_MOVIE

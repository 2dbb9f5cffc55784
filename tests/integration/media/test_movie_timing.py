"""Every rate, every start: whatever a container does with time, frame n of the movie is frame n of the source."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rushes_schemas.outputs import ObjectKind

from tests.movies import BITS, Pixels, ffmpeg, frame, make, movie, numbers, of, probe

HIGH, LOW, TILE = ObjectKind.HIGH_DEFINITION, ObjectKind.LOW_DEFINITION, ObjectKind.TILE
X264 = ("-c:v", "libx264", "-crf", "12")
OPEN_GOP = "open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:scenecut=0"
OPEN = {
    "h264": ("-c:v", "libx264", "-crf", "12", "-x264-params", OPEN_GOP),
    "hevc": ("-c:v", "libx265", "-crf", "12", "-x265-params", f"{OPEN_GOP}:log-level=none"),
}


def cells(sheet: Pixels, frames: int) -> list[int]:
    """The number that each cell of a contact sheet shows: 8 columns of 178 x 100."""
    shown = []
    for number in range(frames):
        row, column = divmod(number, 8)
        cell = sheet[100 * row : 100 * row + 100, 178 * column : 178 * column + 178, 0]
        blocks = cell[50, [round((bit + 0.5) * 178 / BITS) for bit in range(BITS)]]
        shown.append(sum(1 << bit for bit in range(BITS) if blocks[bit] > 127))
    return shown


@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60"])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
async def test_every_standard_rate_is_kept_and_every_frame_in_its_place(
    tmp_path: Path, rate: str, container: str
) -> None:
    made = await make(movie(tmp_path / f"a.{container}", *X264, "-bf", "2", frames=30, rate=rate))
    facts = made.facts
    assert Fraction(facts.fps) == Fraction(facts.source_fps) == Fraction(rate)
    assert (facts.frames_duplicated, facts.frames_dropped) == (0, 0)
    assert Fraction(probe(of(made, HIGH), "stream=r_frame_rate")[0]) == Fraction(rate)
    assert numbers(of(made, HIGH)) == numbers(of(made, LOW)) == cells(frame(of(made, TILE)), 30) == list(range(30))


async def test_a_rate_above_60_is_halved_and_says_so(tmp_path: Path) -> None:
    made = await make(movie(tmp_path / "a.mp4", *X264, frames=40, rate="120"))
    facts = made.facts
    assert (facts.source_fps, facts.fps, facts.frame_count) == ("120/1", "60/1", 20)
    assert (facts.frames_duplicated, facts.frames_dropped) == (0, 20)
    assert numbers(of(made, HIGH)) == numbers(of(made, LOW)) == list(range(0, 40, 2))


@pytest.mark.parametrize("codec", OPEN)
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
async def test_open_groups_of_pictures_keep_every_frame(tmp_path: Path, codec: str, container: str) -> None:
    made = await make(movie(tmp_path / f"a.{container}", *OPEN[codec], frames=40))
    assert numbers(of(made, HIGH)) == numbers(of(made, LOW)) == list(range(40))


@pytest.mark.parametrize("codec", OPEN)
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
async def test_a_movie_cut_at_an_open_group_starts_with_the_first_frame_that_can_be_shown(
    tmp_path: Path, codec: str, container: str
) -> None:
    # The frames that lead its first keyframe refer to frames that were cut away: no player shows them.
    movie(tmp_path / "whole.ts", *OPEN[codec], frames=40)
    ffmpeg("-ss", "0.41", "-i", tmp_path / "whole.ts", "-c", "copy", tmp_path / "cut.ts")
    ffmpeg("-i", tmp_path / "cut.ts", "-c", "copy", tmp_path / f"begins-open.{container}")
    made = await make(tmp_path / f"begins-open.{container}")
    shown = numbers(of(made, HIGH))
    assert shown == numbers(of(made, LOW)) == list(range(shown[0], 40))
    assert made.facts.frame_count == len(shown)
    assert 10 <= shown[0] <= 13


@pytest.mark.parametrize(
    ("container", "seconds"),
    [(container, seconds) for container in ("mov", "mkv", "ts") for seconds in ("-0.32", "0.32", "7")],
)
async def test_wherever_timestamps_begin_the_first_frame_is_the_first(
    tmp_path: Path, seconds: str, container: str
) -> None:
    movie(tmp_path / "whole.mov", *X264, "-bf", "2")
    moved = ("-avoid_negative_ts", "disabled", "-copyts")
    ffmpeg("-itsoffset", seconds, "-i", tmp_path / "whole.mov", "-c", "copy", *moved, tmp_path / f"moved.{container}")
    made = await make(tmp_path / f"moved.{container}")
    first = 8 if (container, seconds) == ("mov", "-0.32") else 0  # its edit list hides what comes before 0
    assert numbers(of(made, HIGH)) == numbers(of(made, LOW)) == list(range(first, 20))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
async def test_each_rotation_of_the_display_matrix_is_applied(tmp_path: Path, degrees: int) -> None:
    movie(tmp_path / "flat.mp4", *X264, "-vf", "drawbox=w=iw/2:h=ih/2:c=white:t=fill", frames=1)
    ffmpeg("-display_rotation", str(degrees), "-i", tmp_path / "flat.mp4", "-c", "copy", tmp_path / "turned.mp4")
    made = await make(tmp_path / "turned.mp4")
    picture = frame(of(made, HIGH))[:, :, 0]
    height, width = picture.shape
    quarters = {
        (top, left): picture[
            height * (1 + 2 * top) // 4 - 2 : height * (1 + 2 * top) // 4 + 2,
            width * (1 + 2 * left) // 4 - 2 : width * (1 + 2 * left) // 4 + 2,
        ].mean()
        for top in (0, 1)
        for left in (0, 1)
    }
    # The white quarter is top left, and turns counter-clockwise.
    white = {0: (0, 0), 90: (1, 0), 180: (1, 1), 270: (0, 1)}[degrees]
    assert [place for place, brightness in quarters.items() if brightness > 200] == [white]
    assert (height > width) == (degrees in {90, 270})


async def test_timecode_data_and_subtitle_tracks_are_no_picture(tmp_path: Path) -> None:
    (tmp_path / "words.srt").write_text("1\n00:00:00,000 --> 00:00:00,500\nwords\n\n", encoding="utf-8")
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=0.8", "-i", tmp_path / "words.srt")
    source = movie(
        tmp_path / "a.mov",
        *("-map", "2:s", "-map", "1:a", "-map", "0:v", *X264, "-bf", "2", "-c:a", "pcm_s16le", "-c:s", "mov_text"),
        *("-timecode", "01:00:00:00"),
        inputs=tone,
    )
    assert set(probe(source, "stream=codec_type", "d")[0].split()) == {"data"}
    made = await make(source)
    assert numbers(of(made, HIGH)) == numbers(of(made, LOW)) == list(range(20))
    for stream, many in (("v", 1), ("a", 1), ("s", 0), ("d", 0)):
        assert len(probe(of(made, HIGH), "stream=index", stream)[0].split()) == many


@pytest.mark.parametrize(("layout", "channels"), [("5.1", 6), ("7.1", 8)])
async def test_surround_sound_becomes_stereo_and_every_speaker_is_heard(
    tmp_path: Path, layout: str, channels: int
) -> None:
    # Each speaker but the subwoofer beeps in its own tenth of a second.
    beeps = [f"0.5*sin(2*PI*500*t)*between(t\\,{n / 10 + 0.02}\\,{n / 10 + 0.08})" for n in range(channels)]
    tone = ("-f", "lavfi", "-i", f"aevalsrc=exprs={'|'.join(beeps)}:c={layout}:d=1")
    made = await make(movie(tmp_path / "a.mov", *X264, "-c:a", "pcm_s16le", inputs=tone, frames=25))
    raw = ffmpeg("-i", of(made, HIGH), "-map", "0:a:0", "-ar", "8000", "-f", "f32le", "-")
    left_right = np.abs(np.frombuffer(raw, np.float32).reshape(-1, 2))
    heard = {n: left_right[800 * n + 200 : 800 * n + 600].max(axis=0) > 0.05 for n in range(channels)}
    left_only, right_only = (True, False), (False, True)
    wanted = {0: left_only, 1: right_only, 2: (True, True), 4: left_only, 5: right_only, 6: left_only, 7: right_only}
    assert {n: tuple(each) for n, each in heard.items() if n != 3} == {n: wanted[n] for n in heard if n != 3}


def _click(path: Path) -> float:
    """When the sound jumps up, seconds of the movie's own clock."""
    raw = ffmpeg(
        "-i", path, "-map", "0:a:0", "-af", "aresample=48000:async=1:first_pts=0", "-ac", "1", "-f", "f32le", "-"
    )
    return float(np.argmax(np.abs(np.frombuffer(raw, np.float32)) > 0.25)) / 48000


@pytest.mark.parametrize(("container", "codec"), [("mov", "pcm_s16le"), ("mp4", "aac"), ("mkv", "flac")])
@pytest.mark.parametrize("ahead", ["0", "0.3", "-0.3"])
async def test_sound_is_within_10_ms_of_its_picture(tmp_path: Path, container: str, codec: str, ahead: str) -> None:
    # Frame 15, 0.6 s into the picture, is when the sound jumps up.
    tone = ("-f", "lavfi", "-i", f"aevalsrc=exprs='0.8*sin(2*PI*1000*t)*gte(t\\,{0.6 + float(ahead)})':d=2:s=48000")
    movie(tmp_path / "picture.mkv", *X264, "-bf", "2", frames=40)
    ffmpeg(
        *("-itsoffset", "1", "-i", tmp_path / "picture.mkv", "-itsoffset", str(1 - float(ahead)), *tone),
        *("-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", codec, tmp_path / f"a.{container}"),
    )
    made = await make(tmp_path / f"a.{container}")
    assert numbers(of(made, HIGH)) == list(range(40))
    for kind in (HIGH, LOW):
        assert _click(of(made, kind)) == pytest.approx(0.6, abs=0.010)

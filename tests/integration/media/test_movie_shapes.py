"""Sources of every shape and timing become movies that show each frame once, upright and undistorted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_schemas.encoding import Encoding
from rushes_schemas.outputs import ObjectKind

from tests.movies import SMALL, ffmpeg, frame, make, movie, numbers, of, probe

HIGH, LOW, TILE = ObjectKind.HIGH_DEFINITION, ObjectKind.LOW_DEFINITION, ObjectKind.TILE
X264 = ("-c:v", "libx264", "-crf", "12")


def loudness(path: Path) -> list[float]:
    """The loudest sample of each tenth of a second."""
    raw = ffmpeg("-i", path, "-map", "0:a:0", "-ac", "1", "-ar", "8000", "-f", "f32le", "-")
    samples = np.abs(np.frombuffer(raw, np.float32))
    return [float(part.max()) for part in np.array_split(samples, max(1, len(samples) // 800))]


async def test_an_ordinary_movie_with_sound_gives_all_seven_outputs(tmp_path: Path) -> None:
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1")
    source = movie(tmp_path / "a.mp4", *X264, "-c:a", "aac", inputs=tone, frames=25)
    made = await make(source, defaults=EncodingDefaults())
    assert {output.kind for output in made.outputs} == {
        HIGH,
        LOW,
        TILE,
        ObjectKind.ORIGINAL,
        ObjectKind.THUMBNAIL,
        ObjectKind.SQUARE_THUMBNAIL,
        ObjectKind.PREVIEW_PICTURE,
    }
    assert probe(of(made, HIGH), "stream=width,height") == ["1920", "1080"]
    assert probe(of(made, LOW), "stream=width,height") == ["1280", "720"]
    assert (made.facts.width, made.facts.height, made.facts.duration_seconds) == (1920, 1080, 1.0)
    assert numbers(of(made, HIGH)) == numbers(of(made, LOW)) == list(range(25))
    assert min(loudness(of(made, LOW))[1:-1]) > 0.05


@pytest.mark.parametrize("kind", [HIGH, LOW])
async def test_a_movie_can_be_stepped_through_and_starts_at_once(tmp_path: Path, kind: ObjectKind) -> None:
    made = await make(movie(tmp_path / "a.mp4", *X264))
    path = of(made, kind)
    flags = probe(path, "packet=flags")[0].split()
    assert [flag.startswith("K") for flag in flags] == [n % 2 == 0 for n in range(20)]
    head = path.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")
    assert probe(path, "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries") == [
        "yuv420p",
        "tv",
        "bt709",
        "bt709",
        "bt709",
    ]


async def test_a_movie_without_sound_gets_silence_of_its_length(tmp_path: Path) -> None:
    made = await make(movie(tmp_path / "a.mp4", *X264, frames=30))
    assert max(loudness(of(made, LOW))) == 0
    assert float(probe(of(made, LOW), "stream=duration", "a:0")[0]) == pytest.approx(1.2, abs=0.025)


async def test_short_sound_is_filled_with_silence(tmp_path: Path) -> None:
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=0.4")
    made = await make(movie(tmp_path / "a.mov", *X264, "-c:a", "pcm_s16le", inputs=tone, frames=30))
    heard = loudness(of(made, HIGH))
    assert min(heard[1:3]) > 0.05
    assert max(heard[6:]) < 0.01
    assert float(probe(of(made, HIGH), "stream=duration", "a:0")[0]) == pytest.approx(1.2, abs=0.025)


async def test_sound_stays_with_its_picture_when_the_video_starts_late(tmp_path: Path) -> None:
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=0.5")
    movie(tmp_path / "video.mkv", *X264, frames=25)
    ffmpeg("-itsoffset", "0.5", "-i", tmp_path / "video.mkv", *tone, "-map", "0:v", "-map", "1:a", "-c:v", "copy",
           "-c:a", "pcm_s16le", tmp_path / "late.mkv")  # fmt: skip
    made = await make(tmp_path / "late.mkv")
    assert numbers(of(made, HIGH)) == list(range(25))
    assert max(loudness(of(made, HIGH))[1:]) < 0.01  # the tone was over before the first frame


async def test_sixteen_channels_without_speakers_become_stereo(tmp_path: Path) -> None:
    tone = ("-f", "lavfi", "-i", "aevalsrc=exprs=" + "|".join(["0.5*sin(880*PI*t)"] * 16) + ":d=0.8")
    made = await make(movie(tmp_path / "a.mov", *X264, "-c:a", "pcm_s16le", inputs=tone))
    assert probe(of(made, LOW), "stream=channels", "a:0") == ["2"]
    assert min(loudness(of(made, LOW))[1:-1]) > 0.2


@pytest.mark.parametrize("degrees", [90, -90])
async def test_a_movie_that_plays_rotated_gets_an_upright_canvas(tmp_path: Path, degrees: int) -> None:
    movie(tmp_path / "flat.mp4", *X264)
    ffmpeg("-display_rotation", str(degrees), "-i", tmp_path / "flat.mp4", "-c", "copy", tmp_path / "turned.mp4")
    made = await make(tmp_path / "turned.mp4")
    assert probe(of(made, HIGH), "stream=width,height") == ["102", "180"]  # 180 x 9 / 16, made even
    shown = numbers(of(made, HIGH), turned=True)
    upward = [int(f"{n:08b}"[::-1], 2) for n in range(20)]
    assert shown == (list(range(20)) if degrees == -90 else upward)
    assert frame(of(made, HIGH), 19)[:, 0].max() > 200  # no bars at the sides


async def test_an_anamorphic_movie_is_widened(tmp_path: Path) -> None:
    source = movie(tmp_path / "wide.mp4", *X264, "-vf", "setsar=2", width=160, height=180)
    made = await make(source)
    assert probe(of(made, HIGH), "stream=width,height,sample_aspect_ratio") == ["320", "180", "1:1"]
    assert numbers(of(made, HIGH)) == list(range(20))


async def test_odd_sides_are_made_even(tmp_path: Path) -> None:
    source = movie(tmp_path / "odd.mov", "-c:v", "png", "-pix_fmt", "rgb24", width=333, height=187, frames=5)
    made = await make(source)
    assert probe(of(made, HIGH), "stream=width,height") == ["320", "180"]
    assert numbers(of(made, HIGH)) == list(range(5))


async def test_a_canvas_of_another_ratio_gets_black_bars(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", *X264, "-vf", "negate")
    made = await make(source, encoding=Encoding(width=200, height=200))
    picture = frame(of(made, HIGH))
    assert picture.shape == (200, 200, 3)
    assert picture[:40].max() < 24
    assert picture[-40:].max() < 24
    assert picture[50:150].min() > 200


async def test_one_frame_is_a_movie(tmp_path: Path) -> None:
    made = await make(movie(tmp_path / "one.mp4", *X264, frames=1))
    assert numbers(of(made, HIGH)) == numbers(of(made, LOW)) == [0]
    assert made.facts.duration_seconds == 0.04
    assert frame(of(made, TILE)).shape == (100, 8 * 178, 3)


async def test_a_variable_rate_becomes_the_standard_one_above_its_average(tmp_path: Path) -> None:
    # 1/30 s and 1/15 s in turn, in Matroska's milliseconds.
    uneven = "settb=1/1000,setpts=floor(N/2)*100+mod(N\\,2)*33"
    source = movie(tmp_path / "phone.mkv", *X264, "-vf", uneven, "-fps_mode", "passthrough")
    made = await make(source)
    shown = numbers(of(made, HIGH))
    facts = made.facts
    assert facts.fps == "24/1"
    assert shown == numbers(of(made, LOW)) == sorted(shown)
    assert (shown[0], shown[-1]) == (0, 19)
    assert facts.frame_count == len(shown)
    assert facts.frames_duplicated == len(shown) - len(set(shown)) > 0
    assert facts.frames_dropped == 20 - len(set(shown)) > 0


async def test_a_variable_rate_that_starts_late_keeps_its_ends(tmp_path: Path) -> None:
    uneven = "settb=1/1000,setpts=7000+floor(N/2)*100+mod(N\\,2)*40"
    source = movie(tmp_path / "late.mkv", *X264, "-vf", uneven, "-fps_mode", "passthrough", "-copyts")
    made = await make(source, encoding=Encoding(fps="50"))
    shown = numbers(of(made, HIGH))
    assert len(shown) == made.facts.frame_count
    assert sorted(set(shown)) == list(range(20))
    assert shown[:5] == [0, 0, 1, 1, 1]  # 40 and 60 ms at 20 ms a frame
    assert made.facts.frames_duplicated == len(shown) - 20


async def test_a_slower_rate_says_what_it_dropped(tmp_path: Path) -> None:
    made = await make(movie(tmp_path / "fast.mp4", *X264, rate="50"), encoding=Encoding(fps="25"))
    assert numbers(of(made, HIGH)) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    facts = made.facts
    assert (facts.source_fps, facts.fps, facts.frame_count) == ("50/1", "25/1", 10)
    assert (facts.frames_duplicated, facts.frames_dropped) == (0, 10)


async def test_an_edit_list_hides_what_it_cuts(tmp_path: Path) -> None:
    movie(tmp_path / "whole.mp4", *X264, "-bf", "2", frames=25)
    ffmpeg("-ss", "0.4", "-i", tmp_path / "whole.mp4", "-c", "copy", tmp_path / "cut.mp4")
    made = await make(tmp_path / "cut.mp4")
    assert numbers(of(made, HIGH)) == list(range(10, 25))


async def test_only_the_first_real_video_is_used(tmp_path: Path) -> None:
    cover = tmp_path / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", cover)
    movie(tmp_path / "main.mp4", *X264)
    second = ("-f", "lavfi", "-i", "color=white:size=320x180:rate=25:duration=0.8")
    ffmpeg("-i", cover, "-i", tmp_path / "main.mp4", *second, "-map", "0", "-map", "1", "-map", "2",
           "-c:v:0", "png", "-c:v:1", "copy", "-c:v:2", "libx264", "-disposition:v:0", "attached_pic",
           tmp_path / "three.mp4")  # fmt: skip
    made = await make(tmp_path / "three.mp4")
    assert numbers(of(made, HIGH)) == list(range(20))
    assert probe(of(made, HIGH), "stream=codec_type", "v") == ["video"]


async def test_interlaced_fields_are_woven_into_as_many_frames(tmp_path: Path) -> None:
    # An edge that moves 4 pixels a field: left as it is, each frame would show it in two places, line by line.
    moving = "geq=lum='if(lt(X,4*N),235,16)':cb=128:cr=128,interlace=scan=tff:lowpass=0"
    source = movie(tmp_path / "tv.mov", "-vf", moving, "-c:v", "prores_ks", "-flags", "+ildct", frames=40, rate="50")
    assert probe(source, "stream=field_order")[0] in ("tt", "tb")
    made = await make(source)
    assert made.facts.frame_count == 20
    combing = [
        np.abs(np.diff(frame(path, 10, "L")[20:160, :, 0].astype(int), axis=0)).mean()
        for path in (source, of(made, HIGH))
    ]
    assert combing[0] > 2
    assert combing[1] < combing[0] / 4


async def test_without_high_definition_the_pictures_are_those_of_low_definition(tmp_path: Path) -> None:
    made = await make(movie(tmp_path / "a.mp4", *X264), encoding=Encoding(skip_highdef=True))
    assert HIGH not in {output.kind for output in made.outputs}
    assert numbers(of(made, LOW)) == list(range(20))
    assert frame(of(made, ObjectKind.ORIGINAL)).shape == (180, 320, 3)


async def test_without_normalization_the_source_is_the_high_definition(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", *X264, "-vf", "negate", width=400, height=200)
    made = await make(source, encoding=Encoding(skip_normalization=True))
    assert of(made, HIGH) == source
    assert LOW not in {output.kind for output in made.outputs}
    assert (made.facts.width, made.facts.height, made.facts.frame_count) == (400, 200, 20)
    assert frame(of(made, ObjectKind.ORIGINAL)).shape == (200, 400, 3)
    assert frame(of(made, ObjectKind.ORIGINAL)).min() > 200
    assert frame(of(made, TILE)).shape == (300, 8 * 200, 3)


async def test_a_preset_that_was_asked_for_is_used_plainly(tmp_path: Path) -> None:
    made = await make(movie(tmp_path / "a.mp4", *X264), encoding=Encoding(preset="medium"))
    settings = of(made, LOW).read_bytes()
    assert b"keyint=2" in settings
    assert b"aq=1" in settings
    assert numbers(of(made, LOW)) == list(range(20))
    assert SMALL.preset is None

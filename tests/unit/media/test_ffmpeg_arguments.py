"""The arguments of ffmpeg: what the guarantees of an encode look like as words."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from rushes_normalizer.media.command import movie_command
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.facts import SourceFacts
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.plan import Size, plan_movie
from rushes_normalizer.media.stills import picture_sizes
from rushes_schemas.encoding import Encoding
from rushes_schemas.outputs import ObjectKind

from tests.unit.media.source_facts import STEREO, source

PATH = Path("/in/a movie.mov")


def arguments(facts: SourceFacts, encoding: Encoding | None = None) -> tuple[str, ...]:
    plan = plan_movie(facts, encoding or Encoding(), EncodingDefaults(), Limits())
    return movie_command(plan, PATH, Limits())


def graph(facts: SourceFacts, encoding: Encoding | None = None) -> str:
    said = arguments(facts, encoding)
    return said[said.index("-filter_complex") + 1]


def test_one_pass_makes_everything() -> None:
    said = arguments(source())
    assert said.count("-i") == 1
    assert [word for word in said if word.endswith((".mp4", ".png"))] == [
        "high_definition.mp4",
        "low_definition.mp4",
        "original.png",
        "thumbnail.png",
        "square_thumbnail.png",
        "preview_picture.png",
        "tile.png",
    ]


def test_the_source_is_one_local_file_of_a_known_format() -> None:
    said = arguments(source())
    before = said[: said.index("-i")]
    assert said[said.index("-i") + 1] == f"file:{PATH}"
    assert before[before.index("-protocol_whitelist") + 1] == "file"
    formats = before[before.index("-format_whitelist") + 1].split(",")
    assert not {"hls", "dash", "concat", "sdp", "image2", "tty", "rtsp"} & set(formats)
    assert "-max_pixels" in before
    assert "-nostdin" in before


def test_a_constant_rate_ignores_timestamps_and_a_variable_one_follows_them() -> None:
    ntsc = graph(source(rate=Fraction(24000, 1001)))
    assert "settb=1001/24000,setpts=N,fps=24000/1001" in ntsc
    uneven = replace(source().video.cadence, constant=False, shown_at=tuple(range(0, 6000, 60)), end=6060)
    assert "[0:0]setpts=PTS-STARTPTS,fps=" in graph(source(cadence=replace(uneven, tick=Fraction(1, 1000))))


def test_the_length_is_cut_at_the_planned_frame_after_the_sources_end() -> None:
    assert "tpad=stop=-1:stop_mode=clone,trim=end_frame=120" in graph(source(), Encoding(fps="30"))


def test_only_the_chosen_streams_are_read() -> None:
    words = graph(source(index=3, audio=replace(STEREO, index=5)))
    assert words.startswith("[0:3]")
    assert "[0:5]" in words
    assert "anullsrc" not in words


def test_silence_is_made_in_the_same_encode() -> None:
    assert "anullsrc=r=48000:cl=stereo,atrim=end=4.000000,asplit=2[a0][a1]" in graph(source(audio=None))


def test_sound_is_filled_and_cut_to_the_video() -> None:
    assert "apad,atrim=end=4.000000" in graph(source())


def test_interlaced_frames_are_woven_before_they_are_timed() -> None:
    assert graph(source(interlaced=True)).startswith("[0:0]bwdif=mode=send_frame:parity=auto:deint=interlaced,settb")
    assert "bwdif" not in graph(source())


def test_alpha_lies_over_black_before_anything_is_scaled() -> None:
    words = graph(source(pixel_format="rgba"))
    assert words.index("premultiply=inplace=1") < words.index("scale=1920:1080")
    assert "premultiply" not in graph(source())


def test_bars_come_only_where_the_ratio_differs() -> None:
    assert "format=yuv420p,pad=" not in graph(source())
    assert "pad=1000:1000:-1:-1:color=black" in graph(source(), Encoding(width=1000, height=1000))


def test_outputs_are_tagged_seekable_and_start_at_once() -> None:
    said = arguments(source())
    assert said.count("+faststart") == 2
    assert said.count("-map_metadata") == 2
    assert all("keyint=2:scenecut=0" in said[n + 1] for n, word in enumerate(said) if word == "-x264-params")
    for option in ("-colorspace", "-color_primaries", "-color_trc"):
        assert [said[n + 1] for n, word in enumerate(said) if word == option] == ["bt709", "bt709"]


def test_without_movies_the_pass_counts_frames_and_makes_the_pictures() -> None:
    said = arguments(source(), Encoding(skip_normalization=True))
    assert "libx264" not in said
    assert said.index("null") < said.index("original.png") < said.index("tile.png")


def test_the_pictures_show_the_best_movies_first_frame() -> None:
    assert "split=3[v0][less][still]" in graph(source())
    lowdef = graph(source(), Encoding(skip_highdef=True))
    assert "scale=1280:720:flags=bicubic,setsar=1,split=3[v0][cells][still]" in lowdef
    assert "[still]trim=end_frame=1," in lowdef


def test_a_strip_is_not_widened_to_1200() -> None:
    sizes = picture_sizes(Size(10, 10_000), Limits(), keep_original=True)
    assert sizes[ObjectKind.PREVIEW_PICTURE] == Size(16, 16384)
    assert ObjectKind.ORIGINAL not in sizes

"""What of an upload is read: by the same lists in every look, and by name where it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rushes_normalizer.media.allowlists import CODECS, CONTAINERS, DECODERS
from rushes_normalizer.media.command import movie_command
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.plan import plan_movie
from rushes_normalizer.media.probe import check_streams, parse_header
from rushes_schemas.encoding import Encoding
from rushes_schemas.failures import FailureCode

from tests.unit.media.source_facts import source

VIDEO: dict[str, Any] = {"index": 0, "codec_type": "video", "codec_name": "h264", "width": 320, "height": 180}
SOUND: dict[str, Any] = {"index": 1, "codec_type": "audio", "codec_name": "aac", "channels": 2}
EVERYTHING = frozenset({"h264", "aac", "magicyuv", "shorten"})


def movie_arguments() -> tuple[str, ...]:
    plan = plan_movie(source(), Encoding(), EncodingDefaults(), Limits())
    return movie_command(plan, Path("/in/a.mov"), Limits())


def test_the_input_is_confined_to_the_lists() -> None:
    arguments = movie_arguments()
    before = arguments[: arguments.index("-i")]
    given = {option: before[before.index(option) + 1] for option in before if option.endswith("_whitelist")}
    assert given == {
        "-protocol_whitelist": "file",
        "-format_whitelist": ",".join(CONTAINERS),
        "-codec_whitelist": ",".join(DECODERS),
    }


def test_no_list_holds_what_reads_other_files_or_is_known_to_be_unsafe() -> None:
    formats = {name for names in CONTAINERS for name in names.split(",")}
    lists = {"hls", "dash", "webm_dash_manifest", "imf", "concat", "sdp", "rtsp", "image2"}
    assert not formats & (lists | {"lavfi", "svg_pipe", "tty"})
    assert not {"magicyuv", "svg", "librsvg", "ansi"} & set(DECODERS)
    assert set(DECODERS) >= CODECS


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ([{**VIDEO, "codec_name": "magicyuv"}], "the video codec magicyuv is not one of those that are read"),
        ([VIDEO, {**SOUND, "codec_name": "shorten"}], "the audio codec shorten is not one of those that are read"),
        ([{**VIDEO, "codec_name": "prores"}], "ffmpeg has no decoder for the video codec prores"),
    ],
)
def test_a_codec_that_is_not_read_is_named(streams: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(MediaError) as caught:
        parse_header({"streams": streams}, EVERYTHING)
    assert (caught.value.code, caught.value.message) == (FailureCode.UNSUPPORTED_CODEC, message)


def test_sound_that_is_not_read_gives_way_to_sound_that_is() -> None:
    streams = [VIDEO, {**SOUND, "codec_name": "shorten"}, {**SOUND, "index": 2}]
    chosen = parse_header({"streams": streams}, EVERYTHING).audio
    assert chosen is not None
    assert chosen.index == 2


def test_streams_are_counted_up_to_the_limit() -> None:
    answer = {"streams": [VIDEO] * 3}
    check_streams(answer, Limits(max_streams=3))
    with pytest.raises(MediaError) as caught:
        check_streams(answer, Limits(max_streams=2))
    assert caught.value.message == "the source's number of streams is 3; the limit is 2"

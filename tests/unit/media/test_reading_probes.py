"""ffprobe's and ffmpeg's words, read: streams chosen, packets counted, failures named."""

from __future__ import annotations

import signal
from fractions import Fraction
from typing import Any

import pytest
from rushes_normalizer.media.blame import blame, clean, gist, was_cut_off
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.probe import Packets, assemble, parse_header
from rushes_normalizer.media.process import ChildError, ChildLog
from rushes_normalizer.media.signature import looks_like_movie
from rushes_normalizer.media.tools import parse_decoders, parse_version
from rushes_normalizer.media.verify import decoded_frames
from rushes_schemas.failures import FailureCode

DECODERS = frozenset({"h264", "aac", "png", "pcm_s16le"})


def video(index: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "index": index,
        "codec_type": "video",
        "codec_name": "h264",
        "width": 320,
        "height": 180,
        "sample_aspect_ratio": "1:1",
        "pix_fmt": "yuv420p",
        "field_order": "progressive",
        "r_frame_rate": "25/1",
        "avg_frame_rate": "25/1",
        "time_base": "1/12800",
        "disposition": {"default": 1, "attached_pic": 0},
        **more,
    }


def audio(index: int, default: int = 0, codec: str = "aac") -> dict[str, Any]:
    return {
        "index": index,
        "codec_type": "audio",
        "codec_name": codec,
        "channels": 2,
        "sample_rate": "48000",
        "channel_layout": "stereo",
        "disposition": {"default": default},
    }


def answer(*streams: dict[str, Any], container: str = "mov,mp4,m4a,3gp,3g2,mj2") -> dict[str, Any]:
    return {"format": {"format_name": container}, "streams": list(streams)}


def log(*lines: str) -> ChildLog:
    kept = ChildLog()
    for line in lines:
        kept.add(line)
    return kept


def test_a_cover_is_no_video() -> None:
    cover = video(0, disposition={"attached_pic": 1}, codec_name="png")
    assert parse_header(answer(cover, video(1), video(2)), DECODERS).index == 1


def test_the_default_audio_is_chosen_else_the_first_that_can_be_decoded() -> None:
    chosen = parse_header(answer(video(), audio(1), audio(2, default=1)), DECODERS).audio
    assert chosen is not None
    assert chosen.index == 2
    readable = parse_header(answer(video(), audio(1, codec="apac"), audio(2)), DECODERS).audio
    assert readable is not None
    assert readable.index == 2
    assert parse_header(answer(video()), DECODERS).audio is None


@pytest.mark.parametrize(
    ("streams", "code"),
    [
        ([], FailureCode.NOT_A_MOVIE),
        ([audio(0)], FailureCode.NOT_A_MOVIE),
        ([video(codec_name="av2")], FailureCode.UNSUPPORTED_CODEC),
        ([video(), audio(1, codec="apac")], FailureCode.UNSUPPORTED_CODEC),
        ([video(width=0)], FailureCode.CORRUPT),
    ],
)
def test_streams_that_cannot_be_used_are_refused(streams: list[dict[str, Any]], code: FailureCode) -> None:
    with pytest.raises(MediaError) as caught:
        parse_header(answer(*streams), DECODERS)
    assert caught.value.code is code


@pytest.mark.parametrize(("angle", "rotation"), [(-90, 90), (90, 270), (180, 180), (-180, 180), (0, 0)])
def test_the_display_matrix_turns_clockwise(angle: int, rotation: int) -> None:
    side = [{"side_data_type": "Display Matrix", "rotation": angle}]
    assert parse_header(answer(video(side_data_list=side)), DECODERS).rotation == rotation


def test_tags_that_say_nothing_are_none() -> None:
    header = parse_header(
        answer(video(pix_fmt="unknown", color_space="unknown", sample_aspect_ratio="0:1", color_range="tv")), DECODERS
    )
    assert (header.pixel_format, header.colour.matrix, header.colour.range) == (None, None, "tv")
    assert header.sample_aspect == 1


def test_packets_that_no_player_shows_are_not_counted() -> None:
    packets = Packets(max_frames=10)
    packets.add("pts=-512|dts=-1024|duration=512|size=900|flags=KD_")
    packets.add("pts=0|dts=-512|duration=512|size=900|flags=K__")
    packets.add("pts=1024|dts=0|duration=256|size=900|flags=___")
    packets.add("pts=512|dts=512|duration=512|size=900|flags=___")
    packets.add("pts=1536|dts=1536|duration=512|size=0|flags=___")
    assert packets.timestamps == [0, 1024, 512]
    assert packets.last_duration == 256
    packets.add("pts=N/A|dts=N/A|duration=N/A|size=10|flags=___")
    assert (packets.count, packets.untimed) == (4, 1)


def test_counting_stops_at_the_limit() -> None:
    packets = Packets(max_frames=1)
    packets.add("pts=0|size=1|flags=K__")
    with pytest.raises(MediaError) as caught:
        packets.add("pts=1|size=1|flags=K__")
    assert caught.value.code is FailureCode.LIMITS_EXCEEDED


def packets_of(count: int) -> Packets:
    packets = Packets(max_frames=1000)
    for number in range(count):
        packets.add(f"pts={number * 512}|duration=512|size=1|flags=K__")
    return packets


def test_both_looks_make_the_facts() -> None:
    facts = assemble(parse_header(answer(video()), DECODERS), packets_of(50), 1000)
    assert facts.video.cadence.rate == 25
    assert facts.video.cadence.frame_count == 50
    assert facts.video.display_ratio == Fraction(16, 9)


@pytest.mark.parametrize(("count", "declared"), [(0, None), (33, "50")])
def test_missing_frames_are_corrupt(count: int, declared: str | None) -> None:
    header = parse_header(answer(video(nb_frames=declared), container="avi"), DECODERS)
    with pytest.raises(MediaError) as caught:
        assemble(header, packets_of(count), 1000)
    assert caught.value.code is FailureCode.CORRUPT


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("[out#0/mp4 @ 0x1] [error] Error writing trailer: No space left on device", FailureCode.OUT_OF_DISK),
        ("[error] Error while filtering: Cannot allocate memory", FailureCode.LIMITS_EXCEEDED),
        ("[h264 @ 0x1] [error] Picture size 9x9 exceeds specified max pixel count 1, see", FailureCode.LIMITS_EXCEEDED),
        ("[in#0 @ 0x1] [error] Error opening input: Invalid data found when processing input", FailureCode.CORRUPT),
        ("[vist#0:0/png @ 0x1] [dec:png @ 0x1] [error] Decode error rate 0.9 exceeds maximum 0.7", FailureCode.CORRUPT),
        ("[out#0/mp4 @ 0x1] [error] Nothing was written, one of its streams received no packets.", FailureCode.CORRUPT),
        ("[info]     title : No space left on device", FailureCode.INTERNAL),
        ("[info]     title : [error] No space left on device", FailureCode.INTERNAL),
    ],
)
def test_a_failure_is_named_by_what_ffmpeg_says_not_by_what_a_source_says(line: str, code: FailureCode) -> None:
    assert blame(ChildError(1, log(line)), "the encode").code is code


def test_the_machines_troubles_come_before_the_complaints_that_follow() -> None:
    lines = ["[error] Invalid data found when processing input", "[error] write: No space left on device"]
    assert blame(ChildError(1, log(*lines)), "the encode").code is FailureCode.OUT_OF_DISK


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGSEGV, FailureCode.CORRUPT),
        (signal.SIGKILL, FailureCode.INTERNAL),
        (signal.SIGXFSZ, FailureCode.LIMITS_EXCEEDED),
    ],
)
def test_a_signal_is_named(number: signal.Signals, code: FailureCode) -> None:
    assert blame(ChildError(-number, log()), "the encode").code is code


def test_a_long_log_is_told_by_its_beginning_and_its_end() -> None:
    lines = [f"[error] {number}" for number in range(30)]
    assert gist(log(*lines)) == [*lines[:5], *lines[-5:]]
    assert gist(log(*lines[:3], "[error] Conversion failed!")) == lines[:3]


def test_quotes_hold_no_folders_and_no_addresses() -> None:
    assert clean("[mov @ 0x55a1] [error] file:/scratch/7/source.mov: moov atom not found") == (
        "source.mov: moov atom not found"
    )


def test_a_log_is_bounded_and_keeps_its_first_errors() -> None:
    kept = log("[error] the cause", *(f"[error] echo {n}" for n in range(5000)), "[error] " + "x" * 10**6)
    assert kept.errors[0] == "[error] the cause"
    assert len(kept.complaints) < 300
    assert max(map(len, kept.complaints)) <= 500


def test_a_demuxer_that_meets_the_end_too_early_is_heard() -> None:
    assert was_cut_off(log("[matroska,webm @ 0x1] [error] File ended prematurely"))
    assert not was_cut_off(log("[error] something else"))


def test_decoded_frames_are_those_of_the_stream() -> None:
    verbose = "[in#0/mov @ 0x1] [verbose]   Input stream"
    said = log(
        f"{verbose} #0:0 (video): 9 packets read (1 bytes); 8 frames decoded; 1 decode errors;",
        f"{verbose} #0:2 (video): 5 packets read (1 bytes); 5 frames decoded; 0 decode errors;",
    )
    assert (decoded_frames(said, 0), decoded_frames(said, 2), decoded_frames(said, 1)) == (8, 5, None)


@pytest.mark.parametrize(
    ("head", "movie"),
    [
        (b"\x00\x00\x00\x18ftypmp42", True),
        (b"\x1a\x45\xdf\xa3", True),
        (b"RIFF\x00\x00\x00\x00AVI LIST", True),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", False),
        (b"#EXTM3U\n", False),
        (b"PK\x03\x04", False),
    ],
)
def test_movies_are_known_by_their_first_bytes(head: bytes, movie: bool) -> None:
    assert looks_like_movie(head) is movie


@pytest.mark.parametrize(
    ("banner", "major"),
    [
        ("ffmpeg version 6.1.1-3ubuntu5 Copyright", 6),
        ("ffmpeg version n9.0.2-17-g2a571b6068 Copyright", 9),
        ("ffmpeg version N-117000-gabc Copyright", None),
    ],
)
def test_versions_are_read(banner: str, major: int | None) -> None:
    assert parse_version(banner)[1] == major


def test_decoders_are_those_marked_so() -> None:
    assert parse_decoders("Codecs:\n D..... = Decoding supported\n DEV.LS h264   H.264\n .EVIL. a64  A64\n") >= {"h264"}

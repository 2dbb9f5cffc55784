"""Asks ffprobe what a source movie is. Parsing is pure; `probe` runs the two looks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from rushes_schemas.failures import FailureCode

from rushes_normalizer.media.allowlists import CODECS, CONFINED
from rushes_normalizer.media.blame import blame, ends_early, gist, unsupported_codec, was_cut_off
from rushes_normalizer.media.cadence import cadence, untimed_cadence
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.facts import AudioFacts, Cadence, ColourTags, SourceFacts, VideoFacts
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.process import ChildError, run
from rushes_normalizer.media.signature import looks_like_movie
from rushes_normalizer.media.source_length import check_length
from rushes_normalizer.media.tools import Tools

_HEADER_ENTRIES: Final = ":".join(
    (
        "format=format_name,duration",
        "stream=index,codec_type,codec_name,width,height,sample_aspect_ratio,pix_fmt,field_order,"
        "color_range,color_space,color_transfer,color_primaries,r_frame_rate,avg_frame_rate,time_base,nb_frames,"
        "duration,channels,sample_rate,channel_layout",
        "stream_disposition=default,attached_pic,timed_thumbnails",
        "stream_side_data=side_data_type,rotation",
    )
)

_TRANSPORT_SYNC: Final = 0x47
_REORDERED: Final = 64  # packets after which the first frame has come out of any decoder; H.264 and HEVC hold 16


async def probe(
    tools: Tools, path: Path, scratch: Path, limits: Limits, *, on_frame: Callable[[], None] = lambda: None
) -> SourceFacts:
    """Look at a source movie: its header, then the timestamps of all its frames.

    Args:
        on_frame: called for each frame that was found; a large file on a slow disk takes its time.

    Raises:
        MediaError: `source_empty`, `not_a_movie`, `unsupported_codec`, `corrupt` or `limits_exceeded`.
    """
    size = check_length(path, limits)
    base = [str(tools.ffprobe), "-loglevel", "level+error", *CONFINED]
    lines: list[str] = []
    argv = [*base, "-show_entries", _HEADER_ENTRIES, "-of", "json", f"file:{path}"]
    try:
        await run(argv, scratch=scratch, limits=limits, reads=[path], on_line=lines.append)
    except ChildError as failed:
        raise _unreadable(failed, path) from failed
    answer = json.loads("\n".join(lines))
    check_streams(answer, limits)
    header = parse_header(answer, tools.decoders)
    check_size(header, limits)

    packets = Packets(limits.max_frames)

    def on_line(line: str) -> None:
        packets.add(line)
        on_frame()

    argv = [*base, "-select_streams", str(header.index), "-show_entries", "packet=pts,dts,duration,size,flags"]
    try:
        log = await run(
            [*argv, "-of", "compact=p=0", f"file:{path}"],
            scratch=scratch,
            limits=limits,
            reads=[path],
            duration=header.duration,
            on_line=on_line,
        )
    except ChildError as failed:
        raise blame(failed, "reading the source", otherwise=FailureCode.CORRUPT) from failed
    if was_cut_off(log):
        raise ends_early("its demuxer met the end of the file", max(1, packets.count), said=gist(log))
    if packets.leading:
        first_shown = await _first_shown(base, header.index, packets.leading, path, scratch, limits)
        packets.leave_out_leading(first_shown)
    if header.container == "mpegts":
        _refuse_half_packet(path, size, packets.count)
    return assemble(header, packets, size)


async def _first_shown(
    base: list[str], stream: int, leading: int, path: Path, scratch: Path, limits: Limits
) -> list[int | None]:
    """Timestamps of the first frames that a decoder shows, in their order, beyond the first keyframe."""
    lines: list[str] = []
    begin = ("-read_intervals", f"%+#{leading + _REORDERED}")
    argv = [*base, "-select_streams", str(stream), *begin, "-show_entries", "frame=pts", "-of", "csv=p=0"]
    try:
        await run([*argv, f"file:{path}"], scratch=scratch, limits=limits, reads=[path], on_line=lines.append)
    except ChildError as failed:
        raise blame(failed, "decoding the source's first frames", otherwise=FailureCode.CORRUPT) from failed
    return [_integer(line.partition(",")[0]) for line in lines if line]


def _unreadable(failed: ChildError, path: Path) -> MediaError:
    error = blame(failed, "reading the source's header", otherwise=FailureCode.NOT_A_MOVIE)
    if error.code is not FailureCode.CORRUPT:
        return error
    with path.open("rb") as file:
        known = looks_like_movie(file.read(4096))
    if not known:
        return MediaError(FailureCode.NOT_A_MOVIE, f"the source is no movie; {error.message}", said=error.said)
    if any("moov atom not found" in line for line in failed.log.complaints):  # most write it last
        for_artist = "The end of the file is missing: was the upload interrupted?"
        return MediaError(FailureCode.CORRUPT, "the source has no index", for_artist=for_artist, said=error.said)
    return error


@dataclass(frozen=True)
class Header:
    """What a container says of its streams before its frames are read."""

    container: str
    index: int
    codec: str
    width: int
    height: int
    sample_aspect: Fraction
    rotation: int
    pixel_format: str | None
    colour: ColourTags
    interlaced: bool
    rates: tuple[Fraction, ...]
    tick: Fraction
    frame_count: int | None
    duration: Fraction | None
    audio: AudioFacts | None


def parse_header(answer: dict[str, Any], decoders: frozenset[str]) -> Header:
    """Choose the streams and read what the container says of them.

    Args:
        answer: ffprobe's JSON of format and streams.
        decoders: the codecs that ffmpeg can decode.

    Raises:
        MediaError: `not_a_movie` without a video stream, `unsupported_codec` without an allowed decoder for what was
            chosen, `corrupt` where the stream has no size.
    """
    streams: list[dict[str, Any]] = answer.get("streams", [])
    video = next((stream for stream in streams if _is_video(stream)), None)
    if video is None:
        raise MediaError(FailureCode.NOT_A_MOVIE, "the source has no video stream")
    codec = video.get("codec_name", "unknown")
    if not _is_read(codec, decoders):
        raise _unsupported("video", codec)
    width, height = int(video.get("width", 0)), int(video.get("height", 0))
    if width < 1 or height < 1:
        raise MediaError(FailureCode.CORRUPT, f"the video stream says it is {width}x{height}")
    rates = [rate for name in ("avg_frame_rate", "r_frame_rate") if (rate := _ratio(video.get(name))) is not None]
    return Header(
        container=answer.get("format", {}).get("format_name", ""),
        index=int(video["index"]),
        codec=codec,
        width=width,
        height=height,
        sample_aspect=_ratio(video.get("sample_aspect_ratio")) or Fraction(1),
        rotation=_rotation(video),
        pixel_format=_known(video.get("pix_fmt")),
        colour=ColourTags(
            matrix=_known(video.get("color_space")),
            primaries=_known(video.get("color_primaries")),
            transfer=_known(video.get("color_transfer")),
            range=_known(video.get("color_range")),
        ),
        interlaced=video.get("field_order") in ("tt", "bb", "tb", "bt"),
        rates=tuple(rates),
        tick=_ratio(video.get("time_base")) or Fraction(1, 90000),
        frame_count=int(video["nb_frames"]) if str(video.get("nb_frames", "")).isdigit() else None,
        duration=_seconds(video.get("duration")) or _seconds(answer.get("format", {}).get("duration")),
        audio=_choose_audio(streams, decoders),
    )


def check_streams(answer: dict[str, Any], limits: Limits) -> None:
    """Refuse a file of more streams than a movie has: each costs memory in every look.

    Raises:
        MediaError: `limits_exceeded`.
    """
    streams = len(answer.get("streams", []))
    if streams > limits.max_streams:
        raise _exceeded("the source's number of streams", streams, limits.max_streams)


def check_size(header: Header, limits: Limits) -> None:
    """Refuse frames that would take too much memory, before any is decoded.

    Raises:
        MediaError: `limits_exceeded`.
    """
    size = f"{header.width}x{header.height}"
    if header.width * header.height > limits.max_pixels:
        raise _exceeded(f"a frame of {size}, in pixels,", header.width * header.height, limits.max_pixels)
    if max(header.width, header.height) > limits.max_side:
        raise _exceeded(f"a side of {size}", max(header.width, header.height), limits.max_side)


@dataclass
class Packets:
    """Timestamps of the frames that are shown, gathered line by line from ffprobe's `compact` writer."""

    max_frames: int
    timestamps: list[int] = field(default_factory=list)
    untimed: int = 0
    last: int | None = None
    last_duration: int | None = None
    opening: int | None = None  # of the first packet, if it is a keyframe
    _seen: bool = False

    def add(self, line: str) -> None:
        """Take one packet: `pts=512|dts=0|duration=512|size=1820|flags=K__`.

        Raises:
            MediaError: `limits_exceeded`, as soon as there are too many.
        """
        values = dict(part.split("=", 1) for part in line.split("|") if "=" in part)
        if not self._seen:
            self._seen = True
            self.opening = _integer(values.get("pts")) if values.get("flags", "").startswith("K_") else None
        if "D" in values.get("flags", "") or values.get("size") == "0":
            return  # cut away by an edit list; or AVI's "as before", which no decoder answers
        timestamp = _integer(values.get("pts"))
        if timestamp is None:
            timestamp = _integer(values.get("dts"))
        if timestamp is None:
            self.untimed += 1
        else:
            self.timestamps.append(timestamp)
            if self.last is None or timestamp >= self.last:
                self.last, self.last_duration = timestamp, _integer(values.get("duration"))
        if self.count > self.max_frames:
            raise _exceeded("the source's number of frames", self.count, self.max_frames)

    @property
    def count(self) -> int:
        """Frames that are shown."""
        return len(self.timestamps) + self.untimed

    @property
    def leading(self) -> int:
        """How many frames are shown before the keyframe that the file begins with.

        In an open group of pictures these frames may refer to the group before. Where the file begins with the group
        nothing can show them, and no player does. Matroska gives those before its clock's zero no time at all.
        """
        if self.opening is None:
            return 0
        return self.untimed + sum(timestamp < self.opening for timestamp in self.timestamps)

    def leave_out_leading(self, first_shown: Sequence[int | None]) -> None:
        """Leave out the leading frames that no decoder shows.

        Args:
            first_shown: timestamps in the order of a decoder, up to the opening keyframe at least.
        """
        assert self.opening is not None
        before = first_shown[: first_shown.index(self.opening)] if self.opening in first_shown else first_shown
        self.timestamps = [each for each in self.timestamps if each >= self.opening or each in before]
        self.untimed = min(self.untimed, sum(each is None for each in before))


def assemble(header: Header, packets: Packets, size_bytes: int) -> SourceFacts:
    """Facts out of both looks.

    Raises:
        MediaError: `corrupt` where there are no frames, or fewer than the container says.
    """
    if packets.count == 0:
        raise MediaError(FailureCode.CORRUPT, "the video stream has no frames")
    when = _cadence(header, packets)
    _refuse_early_end(header, packets, when)
    return SourceFacts(
        container=header.container,
        size_bytes=size_bytes,
        video=VideoFacts(
            index=header.index,
            codec=header.codec,
            width=header.width,
            height=header.height,
            sample_aspect=header.sample_aspect,
            rotation=header.rotation,
            pixel_format=header.pixel_format,
            colour=header.colour,
            interlaced=header.interlaced,
            hidden_packets=header.codec == "vp8",
            cadence=when,
        ),
        audio=header.audio,
    )


def _cadence(header: Header, packets: Packets) -> Cadence:
    if packets.untimed:
        return untimed_cadence(packets.count, header.rates)
    return cadence(packets.timestamps, last_duration=packets.last_duration, tick=header.tick, declared=header.rates)


def _refuse_half_packet(path: Path, size: int, frames: int) -> None:
    """A transport stream says nowhere how long it is, but it is made of packets of one length."""
    with path.open("rb") as file:
        head = file.read(1024)
    for offset, length in ((0, 188), (4, 192), (0, 204)):  # plain, with a time code before, with a checksum after
        if set(head[offset::length][:4]) == {_TRANSPORT_SYNC} and size % length:
            raise ends_early("it has half a transport packet at its end", frames)


def _refuse_early_end(header: Header, packets: Packets, when: Cadence) -> None:
    """A file that was cut off has fewer frames than its header says, where the header says it.

    Not so for MOV, whose demuxer speaks up by itself (`cut_off`) and whose count includes what edit lists hide.
    """
    if header.container in ("avi", "mxf", "gxf", "flv") and header.frame_count and packets.count < header.frame_count:
        raise ends_early(f"{packets.count} of {header.frame_count} frames are there", packets.count)
    if header.container == "mxf" and header.duration and when.duration + 2 / when.rate < header.duration:
        lasts = f"{float(when.duration):.2f} of {float(header.duration):.2f} s are there"
        raise ends_early(lasts, packets.count)


def _is_video(stream: dict[str, Any]) -> bool:
    disposition = stream.get("disposition", {})
    return (
        stream.get("codec_type") == "video"
        and not disposition.get("attached_pic")
        and not disposition.get("timed_thumbnails")
    )


def _choose_audio(streams: Iterable[dict[str, Any]], decoders: frozenset[str]) -> AudioFacts | None:
    """The default audio stream, else the first, among those that can be decoded."""
    audio = [stream for stream in streams if stream.get("codec_type") == "audio"]
    readable = [
        stream for stream in audio if _is_read(stream.get("codec_name", ""), decoders) and stream.get("channels")
    ]
    if audio and not readable:
        raise _unsupported("audio", audio[0].get("codec_name", "unknown"))
    if not readable:
        return None
    chosen = next((stream for stream in readable if stream.get("disposition", {}).get("default")), readable[0])
    return AudioFacts(
        index=int(chosen["index"]),
        codec=str(chosen["codec_name"]),
        channels=int(chosen["channels"]),
        sample_rate=int(chosen.get("sample_rate", 48000)),
        layout=_known(chosen.get("channel_layout")),
    )


def _is_read(codec: str, decoders: frozenset[str]) -> bool:
    return codec in CODECS and codec in decoders


def _unsupported(kind: str, codec: str) -> MediaError:
    if codec not in CODECS:
        return unsupported_codec(codec, f"the {kind} codec {codec} is not one of those that are read")
    return unsupported_codec(codec, f"ffmpeg has no decoder for the {kind} codec {codec}")


def _rotation(stream: dict[str, Any]) -> int:
    """Clockwise degrees; ffprobe gives the display matrix's angle counter-clockwise."""
    for data in stream.get("side_data_list", []):
        if "rotation" in data:
            return round(-float(data["rotation"]) / 90) * 90 % 360
    return 0


def _ratio(text: str | None) -> Fraction | None:
    try:
        value = Fraction((text or "").replace(":", "/"))
    except (ValueError, ZeroDivisionError):
        return None
    return value if value > 0 else None


def _seconds(text: str | None) -> Fraction | None:
    try:
        return Fraction(text) if text else None
    except ValueError:
        return None


def _integer(text: str | None) -> int | None:
    return None if text in (None, "N/A") else int(text or 0)


def _known(value: str | None) -> str | None:
    return None if value in (None, "", "unknown", "unspecified", "reserved") else value


def _exceeded(what: str, value: int, limit: int) -> MediaError:
    return MediaError(FailureCode.LIMITS_EXCEEDED, f"{what} is {value}; the limit is {limit}")

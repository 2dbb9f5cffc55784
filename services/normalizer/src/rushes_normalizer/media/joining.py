"""Joins movies one behind the other: their frames are copied where all are coded alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from rushes_schemas.failures import FailureCode

from rushes_normalizer.media.allowlists import CONTAINERS, DECODERS
from rushes_normalizer.media.blame import blame
from rushes_normalizer.media.command import AAC
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.probe import probe
from rushes_normalizer.media.process import ChildError, run
from rushes_normalizer.media.tools import Tools

# What must be the same for the frames of two movies to stand in one stream: an mp4 says these once for all of it.
# The hash is that of the decoder's configuration (of H.264: its parameter sets).
_ENTRIES: Final = (
    "stream=codec_type,codec_name,profile,width,height,sample_aspect_ratio,pix_fmt,color_range,color_space,"
    "color_transfer,color_primaries,time_base,sample_rate,channels,channel_layout,extradata_hash"
)
# The list is our own; what it names is read as one file of these formats each, as everywhere.
_CONFINED: Final = (
    *("-protocol_whitelist", "file"),
    *("-format_whitelist", ",".join(("concat", *CONTAINERS))),
    *("-codec_whitelist", ",".join(DECODERS)),
)
_LIST: Final = "movies.txt"


@dataclass(frozen=True)
class Part:
    """A movie that is to be joined: what its frames are coded by, and how many there are of what rate."""

    path: Path
    coding: str
    width: int
    height: int
    frame_count: int
    rate: Fraction
    constant: bool

    @property
    def seconds(self) -> Fraction:
        """How long it plays."""
        return self.frame_count / self.rate


def are_alike(parts: Sequence[Part]) -> bool:
    """Whether the frames of all can stand in one stream as they are."""
    return all(part.constant and (part.coding, part.rate) == (parts[0].coding, parts[0].rate) for part in parts)


async def look_at_part(
    tools: Tools, path: Path, scratch: Path, limits: Limits, *, alive: Callable[[], None] = lambda: None
) -> Part:
    """What matters of a movie for joining it.

    Args:
        alive: called while frames are found.

    Raises:
        MediaError: it cannot be read.
    """
    facts = await probe(tools, path, scratch, limits, on_frame=alive)
    lines: list[str] = []
    argv = [str(tools.ffprobe), "-loglevel", "level+error", "-show_data_hash", "SHA256", "-show_entries", _ENTRIES]
    try:
        await run(
            [*argv, "-of", "json", f"file:{path}"], scratch=scratch, limits=limits, reads=[path], on_line=lines.append
        )
    except ChildError as failed:
        raise blame(failed, "looking at a movie to be joined") from failed
    streams = json.loads("\n".join(lines))["streams"]
    known = [each for each in streams if each.get("codec_type") in {"video", "audio"}]
    # A movie without sound, or with a second stream, is like none, not even like its own kind.
    plain = [each["codec_type"] for each in known] == ["video", "audio"]
    coding = json.dumps(known, sort_keys=True) if plain else f"{path}"
    when = facts.video.cadence
    return Part(path, coding, facts.video.width, facts.video.height, when.frame_count, when.rate, when.constant)


async def join(
    tools: Tools, parts: Sequence[Part], scratch: Path, name: str, limits: Limits, *, alive: Callable[[], None]
) -> Path:
    """One movie of all frames of all parts, in their order, which must be alike.

    Frames are copied as they are. The sound is coded anew, so that it stays with the picture over each seam: coded
    sound comes in pieces that begin before, and end behind, the frames that they belong to.

    Args:
        parts: below `scratch`.
        name: of the file in `scratch`.
        alive: called some times a second while it gets on.

    Raises:
        MediaError: `verification_failed` when the joined movie has other frames than its parts.
    """
    assert are_alike(parts)
    listed = scratch / _LIST
    listed.write_text("".join(_line(part, scratch) for part in parts))
    total = sum(part.frame_count for part in parts)
    seconds = sum((part.seconds for part in parts), Fraction(0))
    sound = f"aresample=async=1:min_hard_comp=0.01:first_pts=0,apad,atrim=end={float(seconds):.9f}"
    argv = [
        *(str(tools.ffmpeg), "-hide_banner", "-nostdin", "-nostats", "-y", "-loglevel", "level+warning"),
        *(*_CONFINED, "-f", "concat", "-safe", "1", "-auto_convert", "0", "-i", _LIST),
        *("-map", "0:v:0", "-map", "0:a:0", "-c:v", "copy", *AAC, "-af", sound),
        *("-movflags", "+faststart", "-progress", "pipe:1", "-stats_period", "0.5", "-f", "mp4", name),
    ]
    try:
        await run(
            argv,
            scratch=scratch,
            limits=limits,
            reads=[listed, *(part.path for part in parts)],
            duration=seconds,
            on_line=lambda _line: alive(),
        )
    except ChildError as failed:
        raise blame(failed, "the joining of movies") from failed
    joined = await probe(tools, scratch / name, scratch, limits, on_frame=alive)
    when = joined.video.cadence
    if not (when.constant and when.frame_count == total and when.rate == parts[0].rate):
        raise MediaError(
            FailureCode.VERIFICATION_FAILED,
            f"the joined movie has {when.frame_count} frames at {when.rate}, its parts {total} at {parts[0].rate}",
        )
    return scratch / name


def _line(part: Part, scratch: Path) -> str:
    return f"file '{part.path.relative_to(scratch)}'\nduration {float(part.seconds):.9f}\n"

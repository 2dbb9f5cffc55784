"""Proves that outputs are what was planned. Nothing is published that was not read back."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from rushes_schemas.failures import FailureCode

from rushes_normalizer.media.blame import blame, gist
from rushes_normalizer.media.command import COUNTING
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.plan import MoviePlan, Size
from rushes_normalizer.media.png import DamagedPngError, check_png
from rushes_normalizer.media.process import ChildError, ChildLog, run
from rushes_normalizer.media.tools import Tools

_DECODED: Final = re.compile(r"Input stream #0:(\d+) \(video\): .*?(\d+) frames decoded")
_ENTRIES: Final = "stream=codec_type,width,height,pix_fmt,r_frame_rate,nb_read_packets,duration"
# AAC codes 1024 samples at a time, so audio may pass the video's end by less than one such frame at 48 kHz.
_AUDIO_SLACK: Final = Fraction(1024, 48000) + Fraction(1, 1000)


def decoded_frames(log: ChildLog, stream: int) -> int | None:
    """How many frames ffmpeg says it has decoded of a video stream of its first input."""
    for line in reversed(log.last):
        match = _DECODED.search(line)
        if match and int(match.group(1)) == stream:
            return int(match.group(2))
    return None


def check_decoded(log: ChildLog, plan: MoviePlan) -> None:
    """All frames that the container promises were decoded, each whole: an end that comes early is no shorter movie.

    Raises:
        MediaError: `corrupt`, or `internal` for an ffmpeg that does not tell.
    """
    if plan.video.hidden_packets:
        return
    decoded, expected = decoded_frames(log, plan.video.index), plan.video.cadence.frame_count
    if decoded is None:
        raise MediaError(FailureCode.INTERNAL, "ffmpeg did not say how many frames it decoded")
    if decoded != expected:
        raise MediaError(
            FailureCode.CORRUPT,
            f"{decoded} of the source's {expected} frames could be decoded",
            for_artist=f"Only {decoded} of the movie's {expected} frames can be read: was the upload interrupted?",
            said=gist(log),
        )
    if log.damaged:
        raise MediaError(
            FailureCode.CORRUPT,
            "a frame of the source is damaged",
            for_artist="Some frames of the movie are damaged: was the upload interrupted?",
            said=log.damaged,
        )


async def verify_movie(tools: Tools, path: Path, size: Size, plan: MoviePlan, scratch: Path, limits: Limits) -> None:
    """An output movie has the planned size, frames, rate and duration, and audio as long.

    Raises:
        MediaError: `verification_failed`.
    """
    lines: list[str] = []
    argv = [str(tools.ffprobe), "-loglevel", "level+error", "-count_packets", "-show_entries", _ENTRIES]
    try:
        await run(
            [*argv, "-of", "json", path.name],
            scratch=scratch,
            limits=limits,
            duration=plan.duration,
            on_line=lines.append,
        )
    except ChildError as failed:
        raise _unverified(failed, f"reading {path.name}") from failed
    differences = compare_movie(json.loads("\n".join(lines)), size, plan)
    if differences:
        raise MediaError(FailureCode.VERIFICATION_FAILED, f"{path.name}: {'; '.join(differences)}")


def compare_movie(answer: dict[str, Any], size: Size, plan: MoviePlan) -> list[str]:
    """What differs between ffprobe's view of an output and the plan, in words."""
    streams: list[dict[str, Any]] = answer.get("streams", [])
    kinds = [stream.get("codec_type") for stream in streams]
    if kinds != ["video", "audio"]:
        return [f"its streams are {kinds}"]
    video, audio = streams
    expected: dict[str, object] = {
        "width": size.width,
        "height": size.height,
        "pix_fmt": "yuv420p",
        "nb_read_packets": str(plan.frame_count),
        "r_frame_rate": f"{plan.rate.numerator}/{plan.rate.denominator}",
    }
    if plan.frame_count == 1:
        del expected["r_frame_rate"]  # one frame has no rate; its duration is looked at
    differences = [
        f"{name} is {video.get(name)}, not {value}" for name, value in expected.items() if video.get(name) != value
    ]
    for name, stream, slack in (("video", video, Fraction(1, 1000)), ("audio", audio, _AUDIO_SLACK)):
        duration = Fraction(stream.get("duration", "0"))
        if abs(duration - plan.duration) > slack:
            differences.append(f"its {name} lasts {float(duration):.3f} s, not {float(plan.duration):.3f} s")
    return differences


async def verify_by_decoding(
    tools: Tools, path: Path, plan: MoviePlan, scratch: Path, limits: Limits, *, on_line: Callable[[str], None]
) -> None:
    """Decode a movie whole: no error, and every planned frame comes out.

    Args:
        on_line: called with the number of each frame, as `command.COUNTING` writes it.

    Raises:
        MediaError: `verification_failed`.
    """
    argv = [str(tools.ffmpeg), "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+verbose", "-xerror"]
    # The loop filter repairs edges and reads nothing: without it decoding finds the same faults in less time.
    argv += [
        "-err_detect",
        "explode",
        "-skip_loop_filter",
        "all",
        "-i",
        path.name,
        "-map",
        "0:v:0",
        *COUNTING,
        "-f",
        "null",
        "-",
    ]
    try:
        log = await run(argv, scratch=scratch, limits=limits, duration=plan.duration, on_line=on_line)
    except ChildError as failed:
        raise _unverified(failed, f"decoding {path.name}") from failed
    decoded = decoded_frames(log, 0)
    if decoded != plan.frame_count:
        msg = f"{path.name} decodes to {decoded} frames, not {plan.frame_count}"
        raise MediaError(FailureCode.VERIFICATION_FAILED, msg)


async def verify_pictures(pictures: Mapping[Path, Size]) -> None:
    """Each PNG has its size and can be read to its end.

    Raises:
        MediaError: `verification_failed`.
    """
    for path, size in pictures.items():
        try:
            found = await asyncio.to_thread(check_png, path)
        except DamagedPngError as damaged:
            raise MediaError(FailureCode.VERIFICATION_FAILED, f"{path.name}: {damaged}") from None
        if found != size:
            msg = f"{path.name} is {found.width}x{found.height}, not {size.width}x{size.height}"
            raise MediaError(FailureCode.VERIFICATION_FAILED, msg)


def _unverified(failed: ChildError, doing: str) -> MediaError:
    """An output that cannot be read is not verified; a machine without room or memory says nothing of the output."""
    error = blame(failed, doing, otherwise=FailureCode.VERIFICATION_FAILED)
    if error.code in (FailureCode.CORRUPT, FailureCode.UNSUPPORTED_CODEC):
        return MediaError(FailureCode.VERIFICATION_FAILED, error.message, said=error.said)
    return error

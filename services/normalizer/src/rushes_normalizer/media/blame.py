"""What a failed ffmpeg or ffprobe says about its source: one table from its words to failure codes."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from typing import Final

from rushes_schemas.failures import FailureCode

from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.process import ChildError, ChildLog
from rushes_normalizer.media.sandbox import launcher

_OUT_OF_MEMORY: Final = (
    "Cannot allocate memory",
    "malloc of size",
    "Resource temporarily unavailable",  # no address space for a thread's stack
    "Error while opening encoder",  # x264 says no more when memory ends
)
# Looked for in this order: the machine's troubles first, because ffmpeg follows them with complaints about data.
_WORDS: Final = (
    ("No space left on device", FailureCode.OUT_OF_DISK),
    ("Disk quota exceeded", FailureCode.OUT_OF_DISK),
    ("exceeds max_streams", FailureCode.LIMITS_EXCEEDED),
    *((words, FailureCode.LIMITS_EXCEEDED) for words in _OUT_OF_MEMORY),
    ("exceeds specified max pixel count", FailureCode.LIMITS_EXCEEDED),
    ("File too large", FailureCode.LIMITS_EXCEEDED),
    ("Decoder not found", FailureCode.UNSUPPORTED_CODEC),
    ("Decoder (codec", FailureCode.UNSUPPORTED_CODEC),  # "Decoder (codec none) not found"
    ("is not implemented", FailureCode.UNSUPPORTED_CODEC),
    ("Invalid data found", FailureCode.CORRUPT),
    ("Error during demuxing", FailureCode.CORRUPT),
    ("Decode error rate", FailureCode.CORRUPT),  # ffmpeg gives up after two bad frames of three
    ("partial file", FailureCode.CORRUPT),
    ("File ended prematurely", FailureCode.CORRUPT),
    ("End of file", FailureCode.CORRUPT),
    ("received no packets", FailureCode.CORRUPT),  # not one frame could be decoded
)
# Lines that say only that something went wrong.
_EMPTY_WORDS: Final = ("Conversion failed", "Error opening input files", "Task finished with error", "Terminating")
_CRASHES: Final = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS}
)
_NOT_ALLOWED: Final = re.compile(r"Codec \(([\w-]+)\) not on whitelist")
# "[mov,mp4 @ 0x55a1] [error] ": who says it, where in memory, how loud.
_PREFIX: Final = re.compile(r"^(\[[^\]]*\] ?)+")
_PATH: Final = re.compile(r"(file:)?/[^\s'\"]*/")

# A demuxer that meets the end of the file in the middle of a frame says one of these, and goes on.
CUT_OFF: Final = ("partial file", "File ended prematurely", "Truncating packet")


def blame(failed: ChildError, doing: str, *, otherwise: FailureCode = FailureCode.INTERNAL) -> MediaError:
    """The error that a failed child stands for.

    Args:
        doing: what the child was for: `"the encode"`.
        otherwise: the code when its words are none that we know.
    """
    error = _stopped(failed, doing)
    if error is not None:
        return error
    said = gist(failed.log)
    if failed.returncode < 0:
        number = -failed.returncode
        code = FailureCode.CORRUPT if number in _CRASHES else FailureCode.INTERNAL
        return MediaError(code, f"{doing} ended by {signal.Signals(number).name}", said=said)
    lines = failed.log.complaints
    refused = next((match.group(1) for line in lines if (match := _NOT_ALLOWED.search(line))), None)
    if refused is not None:
        return unsupported_codec(refused, f"the codec {refused} is not one of those that are read", said=said)
    for words, code in _WORDS:
        if any(words in line for line in lines):
            if words in _OUT_OF_MEMORY:
                doing = f"{doing}, which may use {failed.limits.max_memory_bytes} bytes of memory,"
            return MediaError(code, f"{doing} failed: {words}", said=said)
    return MediaError(otherwise, f"{doing} failed with code {failed.returncode}", said=said)


def unsupported_codec(codec: str, message: str, *, said: Sequence[str] = ()) -> MediaError:
    """The error of a codec that is not read."""
    for_artist = f"The codec {codec} cannot be read here; please export the movie as H.264 or ProRes."
    return MediaError(FailureCode.UNSUPPORTED_CODEC, message, for_artist=for_artist, said=said)


def _stopped(failed: ChildError, doing: str) -> MediaError | None:
    """The error of a child that passed a limit of time or room, or that never became its program."""
    limits = failed.limits
    if failed.timeout is not None:
        return MediaError(FailureCode.TIMEOUT, f"{doing} took longer than its limit of {failed.timeout:g} s")
    if failed.returncode == launcher.FAILED:
        msg = f"{doing} could not be started in the sandbox"
        return MediaError(FailureCode.INTERNAL, msg, said=gist(failed.log))
    if failed.returncode == -signal.SIGXCPU:
        msg = f"{doing} used more processor time than the limit of {limits.max_cpu_seconds} s"
        return MediaError(FailureCode.LIMITS_EXCEEDED, msg)
    if failed.returncode == -signal.SIGXFSZ:
        msg = f"{doing} wrote a file larger than the limit of {limits.max_output_bytes} bytes"
        return MediaError(FailureCode.LIMITS_EXCEEDED, msg)
    return None


def gist(log: ChildLog) -> list[str]:
    """The lines of a log that say something: the first five, which the others follow from, and the last five."""
    candidates = log.complaints or list(log.last)
    lines = list(dict.fromkeys(line for line in candidates if not any(words in line for words in _EMPTY_WORDS)))
    return lines if len(lines) <= 10 else [*lines[:5], *lines[-5:]]


def clean(line: str) -> str:
    """A line without its prefix and without the folders of the files it names, at most 200 characters."""
    return _PATH.sub("", _PREFIX.sub("", line)).strip()[:200]


def was_cut_off(log: ChildLog) -> bool:
    """Whether a demuxer said that the file ended too early."""
    return any(words in line for line in log.complaints for words in CUT_OFF)


def ends_early(message: str, frame: int, *, said: Sequence[str] = ()) -> MediaError:
    """The error of a file whose end is missing.

    Args:
        frame: how many the part that is there holds.
    """
    for_artist = f"The file breaks off near frame {frame}: was the upload interrupted?"
    return MediaError(FailureCode.CORRUPT, f"the source ends too early: {message}", for_artist=for_artist, said=said)

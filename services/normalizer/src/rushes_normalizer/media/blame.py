"""What a failed ffmpeg or ffprobe says about its source: one table from its words to failure codes."""

from __future__ import annotations

import re
import signal
from typing import Final

from rushes_schemas.failures import FailureCode

from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.process import ChildError, ChildLog

# Looked for in this order: the machine's troubles first, because ffmpeg follows them with complaints about data.
_WORDS: Final = (
    ("No space left on device", FailureCode.OUT_OF_DISK),
    ("Disk quota exceeded", FailureCode.OUT_OF_DISK),
    ("Cannot allocate memory", FailureCode.LIMITS_EXCEEDED),
    ("malloc of size", FailureCode.LIMITS_EXCEEDED),
    ("exceeds specified max pixel count", FailureCode.LIMITS_EXCEEDED),
    ("Resource temporarily unavailable", FailureCode.LIMITS_EXCEEDED),  # no address space for a thread's stack
    ("Error while opening encoder", FailureCode.LIMITS_EXCEEDED),  # x264 says no more when memory ends
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
)
# Lines that say only that something went wrong.
_EMPTY_WORDS: Final = ("Conversion failed", "Error opening input files", "Task finished with error", "Terminating")
_CRASHES: Final = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
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
    said = quote(failed.log)
    if failed.returncode < 0:
        number = -failed.returncode
        name = signal.Signals(number).name
        if number == signal.SIGXFSZ:
            return MediaError(FailureCode.LIMITS_EXCEEDED, f"{doing} wrote a file larger than the limit")
        code = FailureCode.CORRUPT if number in _CRASHES else FailureCode.INTERNAL
        return MediaError(code, f"{doing} ended by {name}; ffmpeg said: {said}")
    lines = failed.log.complaints
    for words, code in _WORDS:
        line = next((line for line in lines if words in line), None)
        if line is not None:
            return MediaError(code, f"{doing} failed; ffmpeg said: {clean(line)}")
    return MediaError(otherwise, f"{doing} failed with code {failed.returncode}; ffmpeg said: {said}")


def quote(log: ChildLog) -> str:
    """The last line of a log that says something, without paths."""
    candidates = log.complaints or list(log.last)
    for line in reversed(candidates):
        if not any(words in line for words in _EMPTY_WORDS):
            return clean(line)
    return clean(candidates[-1]) if candidates else "nothing"


def clean(line: str) -> str:
    """A line without its prefix and without the folders of the files it names, at most 200 characters."""
    return _PATH.sub("", _PREFIX.sub("", line)).strip()[:200]


def cut_off(log: ChildLog) -> str | None:
    """What a demuxer said when the file ended too early, or None."""
    for line in log.complaints:
        if any(words in line for words in CUT_OFF):
            return clean(line)
    return None

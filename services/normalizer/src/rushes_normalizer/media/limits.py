"""What a source may cost before it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

_GIBIBYTE = 1024**3


@dataclass(frozen=True)
class Limits:
    """Bounds of one job. Passing one is `limits_exceeded`, named in the message.

    Attributes:
        max_source_bytes: size of the source file.
        max_pixels: pixels of one frame, of the source and of the canvas.
        max_side: longest side of a frame in pixels; x264 takes no more than 16384.
        max_duration_seconds: from the first frame's start to the last frame's end.
        max_frames: frames of the source, and of the output.
        max_streams: streams of every kind in the source; sixteen tracks of mono sound are common, a hundred are not.
        max_hold_seconds: how long one frame may stand in a movie of variable rate. A frame that stands longer is
            repeated at the output's rate: three frames with timestamps half an hour apart would otherwise become
            tens of thousands.
        max_memory_bytes: address space of one ffmpeg or ffprobe.
        max_output_bytes: size of one file that a child writes.
        max_cpu_seconds: processor time of one ffmpeg or ffprobe, all its threads together.
        timeout_floor_seconds: wall time that each ffmpeg or ffprobe gets, however short its movie is.
        timeout_per_second: wall time that it gets for each second of a longer movie.
        threads: threads of each decoder, encoder and filter graph; 0 lets ffmpeg take what the machine has.
    """

    max_source_bytes: int = 100 * _GIBIBYTE
    max_pixels: int = 100_000_000
    max_side: int = 16384
    max_duration_seconds: Fraction = Fraction(4 * 3600)
    max_frames: int = 500_000
    max_streams: int = 100
    max_hold_seconds: Fraction = Fraction(60)
    max_memory_bytes: int = 8 * _GIBIBYTE
    max_output_bytes: int = 100 * _GIBIBYTE
    max_cpu_seconds: int = 86_400
    timeout_floor_seconds: float = 1800
    timeout_per_second: float = 120
    threads: int = 0

    def timeout(self, duration: Fraction | None) -> float:
        """Seconds that a child may take for a movie of a duration in seconds, if it is known."""
        return max(self.timeout_floor_seconds, self.timeout_per_second * float(duration or 0))

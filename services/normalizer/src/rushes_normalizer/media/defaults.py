"""How movies are encoded when the publisher says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from rushes_schemas.encoding import X264Preset


@dataclass(frozen=True)
class EncodingDefaults:
    """The service's settings for what `Encoding` leaves out.

    Attributes:
        fps: output frames a second of every movie; None keeps the source's rate where players know it.
        height: canvas height in pixels.
        lowdef_width: width of the low definition movie in pixels.
        highdef_bitrate: target and cap of the high definition movie, with its unit.
        lowdef_bitrate: target and cap of the low definition movie, with its unit.
        vbv_bufsize_factor: VBV buffer in seconds of the bitrate.
        preset: an x264 preset, used as x264 defines it; None takes the tuning in `plan`, which costs less than
            half of `medium` at the same quality.
    """

    fps: Fraction | None = None
    height: int = 1080
    lowdef_width: int = 1280
    highdef_bitrate: str = "28M"
    lowdef_bitrate: str = "6M"
    vbv_bufsize_factor: float = 2.0
    preset: X264Preset | None = None

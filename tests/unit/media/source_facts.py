"""Facts of sources for tests of decisions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from rushes_normalizer.media.facts import AudioFacts, Cadence, ColourTags, SourceFacts, VideoFacts

STEREO = AudioFacts(index=1, codec="aac", channels=2, sample_rate=44100, layout="stereo")
_HD = VideoFacts(
    index=0,
    codec="h264",
    width=1920,
    height=1080,
    sample_aspect=Fraction(1),
    rotation=0,
    pixel_format="yuv420p",
    colour=ColourTags("bt709", "bt709", "bt709", "tv"),
    interlaced=False,
    hidden_packets=False,
    cadence=Cadence(100, Fraction(25), True, (), 0, Fraction(1, 12800), Fraction(0)),
)


def source(
    audio: AudioFacts | None = STEREO, frames: int = 100, rate: Fraction | None = None, **video: Any
) -> SourceFacts:
    """A full HD movie, but for what is named."""
    when = replace(_HD.cadence, frame_count=frames, rate=rate or Fraction(25))
    return SourceFacts("mov,mp4,m4a,3gp,3g2,mj2", 1000, replace(_HD, **{"cadence": when, **video}), audio)

"""What is known of a source movie, as values."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Cadence:
    """When the frames of a movie are shown.

    Attributes:
        frame_count: frames that a player shows; what an edit list cuts away is not counted.
        rate: frames a second, exact if `constant`, else the average.
        constant: whether frame n is shown at n / rate, within what the container can express.
        shown_at: for a variable rate, when each frame is shown, in ticks after the first; empty if `constant`.
        end: for a variable rate, when the last frame ends, in ticks after the first.
        tick: seconds.
        start: when the first frame is shown on the container's clock, in seconds; may be negative.
    """

    frame_count: int
    rate: Fraction
    constant: bool
    shown_at: tuple[int, ...]
    end: int
    tick: Fraction
    start: Fraction

    @property
    def duration(self) -> Fraction:
        """Seconds from the start of the first frame to the end of the last."""
        return self.frame_count / self.rate if self.constant else self.end * self.tick


@dataclass(frozen=True)
class ColourTags:
    """Colour of a stream in ffmpeg's names (`bt709`, `smpte170m`, `tv`, ...); None where it says nothing."""

    matrix: str | None
    primaries: str | None
    transfer: str | None
    range: str | None


@dataclass(frozen=True)
class VideoFacts:
    """The chosen video stream.

    Attributes:
        index: its number in the file.
        codec: ffmpeg's name of the codec.
        width: stored pixels, before rotation.
        height: stored pixels, before rotation.
        sample_aspect: width of a pixel over its height.
        rotation: clockwise turn that a player applies: 0, 90, 180 or 270 degrees.
        pixel_format: ffmpeg's name, or None if ffprobe has no decoder that tells.
        colour: its tags.
        interlaced: whether its frames may hold two fields.
        hidden_packets: whether some packets show no frame (VP8's alternate references).
        cadence: when its frames are shown.
    """

    index: int
    codec: str
    width: int
    height: int
    sample_aspect: Fraction
    rotation: int
    pixel_format: str | None
    colour: ColourTags
    interlaced: bool
    hidden_packets: bool
    cadence: Cadence

    @property
    def display_ratio(self) -> Fraction:
        """Width over height as it is seen: pixels made square, rotation applied."""
        ratio = Fraction(self.width, self.height) * self.sample_aspect
        return 1 / ratio if self.rotation in (90, 270) else ratio


@dataclass(frozen=True)
class AudioFacts:
    """The chosen audio stream; `layout` is None where the file names no speakers for its channels."""

    index: int
    codec: str
    channels: int
    sample_rate: int
    layout: str | None


@dataclass(frozen=True)
class SourceFacts:
    """A source movie: its container, the video stream that is used, and the audio stream if there is one."""

    container: str
    size_bytes: int
    video: VideoFacts
    audio: AudioFacts | None

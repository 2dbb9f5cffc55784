"""Decides what is made of a movie. Pure: facts and wishes in, a plan out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from rushes_schemas.encoding import Encoding, X264Preset, bitrate_bits
from rushes_schemas.failures import FailureCode

from rushes_normalizer.media.cadence import Retiming, longest_hold, output_rate, retime
from rushes_normalizer.media.colour import SourceColour, source_colour
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.facts import AudioFacts, Cadence, SourceFacts, VideoFacts
from rushes_normalizer.media.limits import Limits

# A keyframe every second frame lets a player step frame by frame; scene cuts add none of their own.
SEEKABLE: Final = "keyint=2:scenecut=0"


class Tuning(NamedTuple):
    """An x264 preset and what is set besides."""

    preset: X264Preset
    parameters: str


# With a keyframe every two frames nearly all bits are intra: B-frames, motion search and weighted prediction buy
# nothing. Ten frames of lookahead keep the rate at its target. Small dead zones keep grain and gradients at no cost,
# where trellis quantisation would take a tenth more CPU. Measured in docs/encoder-choice.md.
_TUNING: Final = "bframes=0:weightp=0:aq-mode=0:rc-lookahead=10:deblock=-2,-2:deadzone-inter=8:deadzone-intra=4"
# Where bits are many (28 Mbit/s at 1920 x 1080 and 25 a second are 0.54 a pixel) nothing better is seen than
# `ultrafast`; where they are few (6 Mbit/s at 1280 x 720: 0.26) `superfast` is worth six VMAF points.
AMPLE: Final = Tuning(X264Preset.ULTRAFAST, f"{_TUNING}:cabac=1:8x8dct=1:partitions=i8x8")
SPARSE: Final = Tuning(X264Preset.SUPERFAST, _TUNING)
_AMPLE_BITS_PER_PIXEL: Final = Fraction(2, 5)

TILE_COLUMNS: Final = 8
TILE_MAX_ROWS: Final = 480
TILE_MAX_FRAMES: Final = TILE_COLUMNS * TILE_MAX_ROWS
TILE_CELL_HEIGHT: Final = 100


@dataclass(frozen=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def ratio(self) -> Fraction:
        """Width over height."""
        return Fraction(self.width, self.height)


@dataclass(frozen=True)
class H264:
    """Settings of one x264 encode; target and cap are the same bitrate."""

    size: Size
    bits_per_second: int
    vbv_bits: int
    preset: X264Preset
    parameters: str


@dataclass(frozen=True)
class TileGrid:
    """The contact sheet: `columns` x `rows` cells, showing every `every`th frame."""

    columns: int
    rows: int
    cell: Size
    every: int

    @property
    def size(self) -> Size:
        """Size of the whole sheet."""
        return Size(self.columns * self.cell.width, self.rows * self.cell.height)


@dataclass(frozen=True)
class MoviePlan:
    """What one pass of ffmpeg makes of a source.

    Attributes:
        video: the source's video stream.
        audio: the source's audio stream; None for silence.
        colour: how its samples are to be read.
        rate: output frames a second, exact.
        retiming: frames out, repeated and dropped.
        canvas: size of the high definition picture, square pixels, even sides.
        picture: size of the source's picture on the canvas, centred on black.
        highdef: None if it is not made.
        lowdef: None if it is not made.
        tile: the contact sheet.
    """

    video: VideoFacts
    audio: AudioFacts | None
    colour: SourceColour
    rate: Fraction
    retiming: Retiming
    canvas: Size
    picture: Size
    highdef: H264 | None
    lowdef: H264 | None
    tile: TileGrid

    @property
    def frame_count(self) -> int:
        """Frames of each output movie."""
        return self.retiming.frame_count

    @property
    def still(self) -> Size:
        """Size of the frame that the pictures show: that of the best movie, or of the canvas if none is made."""
        best = self.highdef or self.lowdef
        return best.size if best else self.canvas

    @property
    def duration(self) -> Fraction:
        """Seconds of each output movie."""
        return self.frame_count / self.rate


def tuning_for(size: Size, bits_per_second: int, rate: Fraction) -> Tuning:
    """What x264 is told, by how many bits each pixel gets."""
    ample = bits_per_second >= _AMPLE_BITS_PER_PIXEL * size.width * size.height * rate
    return AMPLE if ample else SPARSE


def plan_movie(facts: SourceFacts, encoding: Encoding, defaults: EncodingDefaults, limits: Limits) -> MoviePlan:
    """Decide what is made.

    Raises:
        MediaError: `limits_exceeded`: the source or its outputs would be too long or too large.
    """
    video = facts.video
    if encoding.skip_normalization:
        rate = output_rate(video.cadence, None) if not video.cadence.constant else video.cadence.rate
        canvas = picture = _display_size(video)
    else:
        rate = output_rate(video.cadence, Fraction(encoding.fps) if encoding.fps else defaults.fps)
        canvas = plan_canvas(video.display_ratio, encoding, defaults)
        picture = fit(video.display_ratio, canvas)
    _check_canvas(canvas, limits)
    _check_time(video.cadence, limits)
    retiming = retime(video.cadence, rate)
    if retiming.frame_count > limits.max_frames:
        msg = f"the outputs would have {retiming.frame_count} frames; the limit is {limits.max_frames}"
        raise MediaError(FailureCode.LIMITS_EXCEEDED, msg)
    factor = encoding.vbv_bufsize_factor or defaults.vbv_bufsize_factor
    preset = encoding.preset or defaults.preset

    def h264(size: Size, bitrate: str) -> H264:
        bits = bitrate_bits(bitrate)
        tuning = tuning_for(size, bits, rate)
        return H264(
            size=size,
            bits_per_second=bits,
            vbv_bits=round(bits * factor),
            preset=preset or tuning.preset,
            parameters=SEEKABLE if preset else f"{SEEKABLE}:{tuning.parameters}",
        )

    highdef = lowdef = None
    if not encoding.skip_normalization:
        low = plan_lowdef(canvas, defaults.lowdef_width)
        lowdef = h264(low, encoding.lowdef_bitrate or defaults.lowdef_bitrate)
        if not encoding.skip_highdef:
            highdef = h264(canvas, encoding.highdef_bitrate or defaults.highdef_bitrate)
    return MoviePlan(
        video=video,
        audio=facts.audio,
        colour=source_colour(video),
        rate=rate,
        retiming=retiming,
        canvas=canvas,
        picture=picture,
        highdef=highdef,
        lowdef=lowdef,
        tile=plan_tile(retiming.frame_count, canvas.ratio),
    )


def plan_canvas(ratio: Fraction, encoding: Encoding, defaults: EncodingDefaults) -> Size:
    """The size asked for, both sides made even; a side that was not asked for follows by the source's ratio."""
    if encoding.width and encoding.height:
        return Size(even(encoding.width), even(encoding.height))
    if encoding.width:
        return Size(even(encoding.width), even(encoding.width / ratio))
    height = encoding.height or defaults.height
    return Size(even(height * ratio), even(height))


def fit(ratio: Fraction, canvas: Size) -> Size:
    """The largest picture of a ratio inside a canvas. Even sides: chroma of 4:2:0 has half the samples."""
    if ratio >= canvas.ratio:
        return Size(canvas.width, min(canvas.height, even(canvas.width / ratio)))
    return Size(min(canvas.width, even(canvas.height * ratio)), canvas.height)


def plan_lowdef(canvas: Size, width: int) -> Size:
    """Width as given, height `floor(height / width x 1280)` made even."""
    height = math.floor(width / canvas.ratio)
    return Size(width, max(2, height + height % 2))


def plan_tile(frame_count: int, ratio: Fraction) -> TileGrid:
    """The contact sheet by the player's rule: 8 columns, `min(ceil(N / 8), 480)` rows, cells 100 pixels high."""
    rows = min(math.ceil(frame_count / TILE_COLUMNS), TILE_MAX_ROWS)
    cell = Size(math.ceil(TILE_CELL_HEIGHT * ratio), TILE_CELL_HEIGHT)
    return TileGrid(TILE_COLUMNS, rows, cell, math.ceil(frame_count / TILE_MAX_FRAMES))


def even(length: Fraction | float) -> int:
    """The nearest even number of pixels, at least 2."""
    return max(2, math.floor(Fraction(length) / 2 + Fraction(1, 2)) * 2)


def _display_size(video: VideoFacts) -> Size:
    """The source's own size as it is seen: pixels made square by widening, rotation applied."""
    turned = video.rotation in (90, 270)
    height = video.width if turned else video.height
    return Size(even(height * video.display_ratio), even(height))


def _check_canvas(canvas: Size, limits: Limits) -> None:
    if max(canvas.width, canvas.height) > limits.max_side or canvas.width * canvas.height > limits.max_pixels:
        msg = (
            f"the outputs would be {canvas.width}x{canvas.height}; "
            f"the limit is {limits.max_side} a side and {limits.max_pixels} pixels"
        )
        raise MediaError(FailureCode.LIMITS_EXCEEDED, msg)


def _check_time(source: Cadence, limits: Limits) -> None:
    if source.duration > limits.max_duration_seconds:
        msg = (
            f"the source lasts {float(source.duration):.0f} s; the limit is {float(limits.max_duration_seconds):.0f} s"
        )
        raise MediaError(FailureCode.LIMITS_EXCEEDED, msg)
    hold = longest_hold(source)
    if hold > limits.max_hold_seconds:
        msg = f"one frame stands for {float(hold):.0f} s; the limit is {float(limits.max_hold_seconds):.0f} s"
        raise MediaError(FailureCode.LIMITS_EXCEEDED, msg)

"""How a source's samples are to be read. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rushes_normalizer.media.facts import VideoFacts

# ffmpeg's names of YUV matrices, in the names of its `scale` filter.
_MATRICES: Final = {
    "bt709": "bt709",
    "smpte170m": "smpte170m",
    "bt470bg": "smpte170m",  # the same coefficients; ffmpeg 6 has no other name for them here
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_RGB_PREFIXES: Final = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8")
_ALPHA_PREFIXES: Final = ("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya8", "ya16", "ayuv", "vuya", "pal8")
# Codecs whose samples are RGB, for an ffprobe that cannot decode them and so tells no pixel format.
_RGB_CODECS: Final = frozenset({"png", "apng", "exr", "zlib", "zmbv", "mszh", "flashsv", "flashsv2", "rasc"})
# Transfer functions of high dynamic range: PQ (SMPTE ST 2084) and HLG (ARIB STD-B67), ITU-R BT.2100.
_HDR: Final = frozenset({"smpte2084", "arib-std-b67"})
# Standard definition without a tag is BT.601, as every player assumes; larger pictures are BT.709.
_SD_WIDTH: Final = 1024
_SD_HEIGHT: Final = 576


@dataclass(frozen=True)
class SourceColour:
    """How to read samples.

    Attributes:
        matrix: from YUV to RGB, in the names of ffmpeg's `scale`; None for RGB samples.
        alpha: whether pixels may be transparent.
        deep: whether samples have, or may have, more than 8 bits.
        hdr: the transfer function of a movie of high dynamic range; None for any other.
        wide: whether the primaries are those of BT.2020.
    """

    matrix: str | None
    alpha: bool
    deep: bool
    hdr: str | None = None
    wide: bool = False


def source_colour(video: VideoFacts) -> SourceColour:
    """Read the tags of a stream; what they leave open follows what players assume."""
    name = video.pixel_format
    if name is None:
        unknown_rgb = video.codec in _RGB_CODECS
        return SourceColour(None if unknown_rgb else _matrix(video), alpha=unknown_rgb, deep=unknown_rgb)
    rgb = name.startswith(_RGB_PREFIXES)
    deep = any(f"{bits}" in name for bits in ("p9", "10", "12", "14", "16", "48", "64", "f32", "rgbf"))
    hdr = video.colour.transfer if video.colour.transfer in _HDR else None
    return SourceColour(
        None if rgb else _matrix(video),
        alpha=name.startswith(_ALPHA_PREFIXES),
        deep=deep,
        hdr=hdr,
        wide=video.colour.primaries == "bt2020" or (hdr is not None and video.colour.primaries is None),
    )


def _matrix(video: VideoFacts) -> str:
    tagged = _MATRICES.get(video.colour.matrix or "")
    if tagged:
        return tagged
    small = video.width <= _SD_WIDTH and video.height <= _SD_HEIGHT
    return "smpte170m" if small else "bt709"

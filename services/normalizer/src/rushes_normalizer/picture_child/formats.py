"""Which format a picture has, by its first bytes: an extension proves nothing. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from rushes_normalizer.picture_child.refusal import RefusedError

# An SVG may begin with a byte order mark, a declaration, a document type and comments of any length.
HEAD_BYTES: Final = 4096


class Format(StrEnum):
    """What can be read."""

    PNG = "PNG"
    JPEG = "JPEG"
    GIF = "GIF"
    WEBP = "WebP"
    TIFF = "TIFF"
    PSD = "PSD"
    EXR = "OpenEXR"
    RADIANCE = "Radiance HDR"


_SIGNATURES: Final = (
    (Format.PNG, re.compile(rb"\x89PNG\r\n\x1a\n")),
    (Format.JPEG, re.compile(rb"\xff\xd8\xff")),
    (Format.GIF, re.compile(rb"GIF8[79]a")),
    (Format.WEBP, re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    (Format.TIFF, re.compile(rb"II[*+]\x00|MM\x00[*+]")),  # "+" is BigTIFF
    (Format.PSD, re.compile(rb"8BPS")),
    (Format.EXR, re.compile(rb"\x76\x2f\x31\x01")),
    (Format.RADIANCE, re.compile(rb"#\?(RADIANCE|RGBE)\s")),
)
_SVG: Final = re.compile(rb"\s*<(\?xml|!--|!DOCTYPE|svg).*?(<|:)svg|\s*<(\w+:)?svg", re.DOTALL | re.IGNORECASE)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def picture_format(head: bytes) -> Format:
    """The format of a file that begins with `head` (`HEAD_BYTES` of it).

    Raises:
        RefusedError: `unsupported_codec` for SVG, `not_a_movie` for what is no picture.
    """
    for known, signature in _SIGNATURES:
        if signature.match(head):
            return known
    if _SVG.match(head.removeprefix(_BYTE_ORDER_MARK)):
        msg = "an SVG is refused: it is a program that may read other files, not a picture; export it as PNG"
        raise RefusedError("unsupported_codec", msg)
    raise RefusedError("not_a_movie", f"the source is none of {', '.join(Format)}")

"""What the header of an uploaded picture says. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from rushes_schemas.failures import FailureCode

from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.plan import Size

PNG: Final = b"\x89PNG\r\n\x1a\n"
# Markers of JPEG that start a frame and so hold its size (ITU T.81, table B.1): C0 to CF without the three that
# are tables (C4, C8, CC).
_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xDA)})


@dataclass(frozen=True)
class PictureHeader:
    """Format and size of a picture.

    Attributes:
        demuxer: ffmpeg's name of the format.
        size: as it is stored.
    """

    demuxer: str
    size: Size


def read_picture_header(head: bytes) -> PictureHeader:
    """Read the first bytes of a PNG, JPEG or GIF; a megabyte holds any JPEG's tables and thumbnails.

    Raises:
        MediaError: `not_a_movie` for anything else, `corrupt` for one that ends before its size.
    """
    if head.startswith(PNG):
        return _checked("png_pipe", _png_size(head))
    if head.startswith(b"\xff\xd8\xff"):
        return _checked("jpeg_pipe", _jpeg_size(head))
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _checked("gif", Size(*struct.unpack("<HH", head[6:10])) if len(head) >= 10 else None)
    raise MediaError(FailureCode.NOT_A_MOVIE, "the source is no PNG, JPEG or GIF")


def _checked(demuxer: str, size: Size | None) -> PictureHeader:
    if size is None or size.width < 1 or size.height < 1:
        raise MediaError(FailureCode.CORRUPT, "the picture ends before its size, or has none")
    return PictureHeader(demuxer, size)


def _png_size(head: bytes) -> Size | None:
    if len(head) < 24 or head[12:16] != b"IHDR":
        return None
    return Size(*struct.unpack(">II", head[16:24]))


def _jpeg_size(head: bytes) -> Size | None:
    at = 2
    while at + 4 <= len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        if marker in _STANDALONE_MARKERS:
            at += 2
            continue
        if marker in _FRAME_MARKERS:
            if at + 9 > len(head):
                return None
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return Size(width, height)
        at += 2 + int(struct.unpack(">H", head[at + 2 : at + 4])[0])
    return None

"""What the first bytes of a file say it is. Pure."""

from __future__ import annotations

import re
from typing import Final

_MOVIES: Final = (
    re.compile(rb"^.{4}(ftyp|moov|mdat|wide|free|skip|pnot)", re.DOTALL),  # MOV and MP4
    re.compile(rb"^\x1a\x45\xdf\xa3"),  # Matroska: EBML
    re.compile(rb"^RIFF.{4}AVI ", re.DOTALL),
    re.compile(rb"^.{0,2048}?\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", re.DOTALL),  # MXF: partition pack key
    re.compile(rb"^(\x47.{187}){4}", re.DOTALL),  # MPEG transport stream
    re.compile(rb"^\x00\x00\x01[\xb3\xba]"),  # MPEG program and elementary streams
    re.compile(rb"^FLV\x01"),
    re.compile(rb"^\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF
    re.compile(rb"^OggS"),
    re.compile(rb"^GIF8[79]a"),
    re.compile(rb"^YUV4MPEG2 "),
)


def looks_like_movie(head: bytes) -> bool:
    """Whether the first 4096 bytes of a file are those of a known container, readable or not."""
    return any(pattern.match(head) for pattern in _MOVIES)
